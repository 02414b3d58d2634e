#include "bench/load/flood.hpp"

#include <cstring>

namespace imago::bench {

namespace {

constexpr std::size_t notify_fixed_size = 8;  // RFC 7296 §3.10, without an SPI

void put(std::uint8_t* place, std::uint64_t number) {
  for (int at = 0; at < 8; ++at) place[at] = static_cast<std::uint8_t>(number >> (56 - 8 * at));
}

}  // namespace

// splitmix64: what a flood needs is to be different each time, not to be unguessable.
std::uint64_t flood::next_number() {
  auto mixed = seed_ += 0x9e3779b97f4a7c15U;
  mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9U;
  mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebU;
  return mixed ^ mixed >> 31;
}

// The nonce follows from the SPI, so that the request can be made again with a cookie.
bytes_view flood::fill(sender whose, std::uint32_t number) {
  auto spi = std::uint64_t{static_cast<std::uint8_t>(whose)} << 56 | number;
  put(pattern_.datagram.data(), spi);
  put(pattern_.datagram.data() + pattern_.nonce_at, spi * 0x9e3779b97f4a7c15U);
  return pattern_.datagram;
}

void flood::send_spoofed() {
  auto chance = next_number();
  ++spoofed_.sent;
  out_.send_spoofed(nth_address(options_.spoofed, chance >> 16),
                    static_cast<std::uint16_t>(chance | 1024),
                    fill(sender::nobody, static_cast<std::uint32_t>(chance >> 32)));
}

// One octet changed, the end cut off, or noise behind a header that looks right.
void flood::send_malformed() {
  auto chance = next_number();
  auto good = fill(sender::nobody, static_cast<std::uint32_t>(chance >> 32));
  auto broken = to_bytes(good);
  auto at = wire::header_size + (chance >> 8) % (broken.size() - wire::header_size);
  switch (chance % 3) {
    case 0: broken[at] = static_cast<std::uint8_t>(broken[at] ^ (1 + (chance >> 40) % 255)); break;
    case 1: broken.resize(at); break;
    default:
      for (auto octet = wire::header_size; octet + 8 < broken.size(); octet += 8)
        put(broken.data() + octet, next_number());
  }
  ++malformed_.sent;
  out_.send_spoofed(nth_address(options_.spoofed, chance >> 16),
                    static_cast<std::uint16_t>(chance | 1024), broken);
}

void flood::send_returning() {
  auto number = flooder_count_++;
  ++returning_.sent;
  out_.send(nth_address(options_.flooders, number), fill(sender::flooder, number));
}

// The data of a COOKIE notify that is the first payload; empty: it is none.
bytes_view flood::cookie_in(bytes_view datagram) {
  auto first = static_cast<payload_type>(datagram[16]);
  if (first != payload_type::notify || datagram.size() < wire::header_size + notify_fixed_size)
    return {};
  auto notify = datagram.subspan(wire::header_size);
  auto size = static_cast<std::size_t>(notify[2]) << 8 | notify[3];
  auto type = static_cast<notify_type>(notify[6] << 8 | notify[7]);
  if (type != notify_type::cookie || size < notify_fixed_size || size > notify.size()) return {};
  return notify.subspan(notify_fixed_size, size - notify_fixed_size);
}

void flood::receive(const wire::header& header, bytes_view datagram) {
  auto number = static_cast<std::uint32_t>(header.initiator_spi);
  if (header.responder_spi != 0) {
    ++returning_.admitted;
    return;
  }
  auto cookie = cookie_in(datagram);
  if (cookie.empty()) return;
  ++returning_.cookies;
  if (!options_.honours_cookies) return;
  out_.send(nth_address(options_.flooders, number),
            messages::with_cookie(fill(sender::flooder, number), cookie));
}

}  // namespace imago::bench
