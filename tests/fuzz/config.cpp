// A configuration that anybody could have written: parsed and built, no file but itself.
#include <string_view>

#include "core/config/configuration.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace imago;
  using namespace imago::config;
  file_access files{[](const std::string& path) -> result<std::string> {
                      return error{errc::not_found, path};
                    },
                    [](const std::string&) { return std::vector<std::string>{}; }};
  std::string_view text{reinterpret_cast<const char*>(data), size};
  auto root = parse_settings(text, "fuzz.conf", files);
  if (!root) return 0;
  auto outcome = build_configuration(**root, "", files);
  if (auto* good = std::get_if<configuration>(&outcome))
    for (const auto& connection : good->connections) {
      for (const auto& proposal : connection.proposals) (void)text_of(proposal);
      (void)text_of(connection.remote.identity);
      (void)connection.remote.identity.matches(connection.local.identity.type,
                                               connection.local.identity.data);
    }
  wipe_values(**root);
  return 0;
}
