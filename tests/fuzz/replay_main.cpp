// Runs a fuzz target over the files of its corpus, for compilers without libFuzzer and for ctest.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int count, char** arguments) {
  namespace files = std::filesystem;
  if (count != 2 || !files::is_directory(arguments[1])) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER (which must exist)\n", arguments[0]);
    return 2;
  }
  std::vector<files::path> inputs;
  for (const auto& entry : files::directory_iterator{arguments[1]})
    if (entry.is_regular_file()) inputs.push_back(entry.path());
  std::sort(inputs.begin(), inputs.end());
  for (const auto& path : inputs) {
    std::ifstream file{path, std::ios::binary};
    std::vector<char> content{std::istreambuf_iterator<char>{file}, {}};
    // Exactly as large as the input, so that a sanitizer sees any read past its end.
    auto input = std::make_unique<std::uint8_t[]>(content.size());
    std::copy(content.begin(), content.end(), input.get());
    std::printf("%s\n", path.filename().c_str());
    std::fflush(stdout);  // a crash is to leave the name of its input behind
    LLVMFuzzerTestOneInput(input.get(), content.size());
  }
  std::printf("%zu inputs\n", inputs.size());
  return inputs.empty() ? 1 : 0;
}
