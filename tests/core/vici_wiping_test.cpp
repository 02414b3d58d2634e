// Keys come over the control socket: what the segmenter has had in its hands is nowhere afterwards,
// neither in its buffer nor in memory it gave back. The allocator of this program tells.
// Not under AddressSanitizer, whose own allocator must stay in place.
#ifndef __SANITIZE_ADDRESS__
#include <array>
#include <cstdlib>
#include <new>

#include <doctest/doctest.h>
#include <malloc.h>

#include "core/base/secret.hpp"
#include "core/vici/message.hpp"

using namespace imago;
using namespace imago::vici;

namespace {

constexpr std::string_view marker = "-----the key that nobody may see-----";

bool has_marker(const void* memory) {
  auto block = std::string_view{static_cast<const char*>(memory),
                                ::malloc_usable_size(const_cast<void*>(memory))};
  return block.find(marker) != block.npos;
}

// While one is alive, it knows every block that its thread gets and gives back.
class memory_watch {
 public:
  memory_watch() { current = this; }
  ~memory_watch() { current = nullptr; }
  memory_watch(const memory_watch&) = delete;
  memory_watch& operator=(const memory_watch&) = delete;

  void on_new(void* memory) {
    for (auto& one : live_)
      if (!one) {
        // What an earlier owner left in it is not ours.
        wipe(memory, ::malloc_usable_size(memory));
        one = memory;
        return;
      }
    is_full_ = true;
  }
  void on_delete(void* memory) {
    for (auto& one : live_)
      if (one == memory) {
        given_back_with_marker_ += has_marker(memory);
        ++given_back_;
        one = nullptr;
      }
  }
  // Blocks that still hold the marker.
  std::size_t holding() const {
    std::size_t count = 0;
    for (auto* one : live_) count += one && has_marker(one);
    return count;
  }
  std::size_t given_back() const { return given_back_; }
  std::size_t given_back_with_marker() const { return given_back_with_marker_; }
  bool is_full() const { return is_full_; }

  static thread_local memory_watch* current;

 private:
  std::array<void*, 256> live_{};
  std::size_t given_back_ = 0, given_back_with_marker_ = 0;
  bool is_full_ = false;
};
thread_local memory_watch* memory_watch::current = nullptr;

bytes request_with_key() {
  message body;
  for (int i = 0; i < 3; ++i) body.add("data", std::string{marker} + std::string(20'000, 'k'));
  auto octets = encode_packet({packet_type::command_request, "load-key", std::move(body)});
  REQUIRE(octets);
  return *octets;
}

}  // namespace

// gcc sees malloc and delete of one block where it has inlined only one of the two.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wunknown-warning-option"
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void* operator new(std::size_t size) {
  auto* memory = std::malloc(size == 0 ? 1 : size);
  if (!memory) throw std::bad_alloc{};
  if (memory_watch::current) memory_watch::current->on_new(memory);
  return memory;
}
void operator delete(void* memory) noexcept {
  if (memory && memory_watch::current) memory_watch::current->on_delete(memory);
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { ::operator delete(memory); }
#pragma GCC diagnostic pop

TEST_CASE("vici segmenter: what was taken is not left in memory") {
  auto stream = request_with_key();
  for (std::size_t part : {std::size_t{7}, std::size_t{1000}, std::size_t{65536}}) {
    CAPTURE(part);
    memory_watch watch;
    segmenter segments;
    std::size_t requests = 0, held_on_the_way = 0;
    bool all_added = true;
    for (int turn = 0; turn < 3; ++turn)
      for (std::size_t at = 0; at < stream.size(); at += part) {
        auto octets = bytes_view{stream}.subspan(at);
        all_added = all_added && segments.add(octets.first(std::min(part, octets.size())));
        held_on_the_way += watch.holding() != 0;
        while (auto segment = segments.next()) {
          ++requests;
          wipe(*segment);
        }
      }
    auto held_afterwards = watch.holding();
    CHECK(all_added);
    CHECK(requests == 3);
    CHECK(held_on_the_way != 0);  // the watch can see it
    CHECK(watch.given_back() != 0);
    CHECK(held_afterwards == 0);
    CHECK(watch.given_back_with_marker() == 0);
    CHECK(!watch.is_full());
  }
}

TEST_CASE("vici segmenter: a client that leaves in the middle of a key leaves nothing") {
  auto stream = request_with_key();
  memory_watch watch;
  {
    segmenter segments;
    bool added = segments.add(bytes_view{stream}.first(stream.size() - 1)).has_value();
    CHECK(added);
    CHECK(watch.holding() == 1);
  }
  CHECK(watch.holding() == 0);
  CHECK(watch.given_back_with_marker() == 0);
}
#endif
