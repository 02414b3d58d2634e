#include "core/ikev2/cookie.hpp"

#include "core/base/writer.hpp"

namespace imago::ikev2 {

namespace {

constexpr std::size_t secret_size = 32;
constexpr std::size_t mac_size = 16;

// RFC 7296 §2.6: <VersionIDofSecret> | Hash(Ni | IPi | SPIi | <secret>), the hash being keyed.
bytes cookie_of(const crypto::library& library, std::uint8_t version, const secret& key,
                bytes_view initiator_nonce, const ip_address& from, std::uint64_t initiator_spi) {
  writer spi;
  spi.u64(initiator_spi);
  auto mac = crypto::prf(library, prf_algorithm::hmac_sha2_256, key.view(),
                         {initiator_nonce, from.octets(), spi.written()});
  if (!mac) return {};
  writer cookie;
  cookie.u8(version);
  cookie.put(mac->view().first(mac_size));
  return cookie.finish();
}

}  // namespace

cookie_jar::cookie_jar(const crypto::library& library, random_source& random,
                       duration secret_lifetime)
    : library_{library}, random_{random}, secret_lifetime_{secret_lifetime} {}

bytes cookie_jar::make(instant now, bytes_view initiator_nonce, const ip_address& from,
                       std::uint64_t initiator_spi) {
  turn(now);
  return cookie_of(library_, version_, current_, initiator_nonce, from, initiator_spi);
}

bool cookie_jar::check(instant now, bytes_view cookie, bytes_view initiator_nonce,
                       const ip_address& from, std::uint64_t initiator_spi) {
  turn(now);
  if (cookie.size() != 1 + mac_size) return false;
  bool is_current = cookie[0] == version_;
  bool is_previous = cookie[0] == static_cast<std::uint8_t>(version_ - 1);
  if (!is_current && !(is_previous && !previous_.empty())) return false;
  auto expected = cookie_of(library_, cookie[0], is_current ? current_ : previous_, initiator_nonce,
                            from, initiator_spi);
  return equal_in_constant_time(expected, cookie);
}

void cookie_jar::turn(instant now) {
  auto age = now - secret_made_at_;
  if (!current_.empty() && age < secret_lifetime_) return;
  // After a quiet time the last secret may be too old to serve as the previous one.
  previous_ = age < 2 * secret_lifetime_ ? std::move(current_) : secret{};
  current_ = secret{random_.octets(secret_size)};
  secret_made_at_ = now;
  ++version_;
}

}  // namespace imago::ikev2
