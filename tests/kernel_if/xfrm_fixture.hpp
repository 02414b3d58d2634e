// Samples of what XFRM is asked and what it says, shared by tests and the fuzz target's seeds.
#pragma once

#include <cstring>

#include <linux/netlink.h>
#include <linux/xfrm.h>

#include "kernel_if/xfrm/messages.hpp"
#include "kernel_if/xfrm/octets.hpp"
#include "kernel_if/xfrm/selectors.hpp"
#include "tests/kernel_if/esp_fixture.hpp"

namespace imago::testing {

namespace xfrm = kernel_if::xfrm;

struct ends {
  peer own{{at("192.0.2.2"), 4500}, net("10.2.0.0/16"), 2};
  peer other{{at("192.0.2.1"), 4501}, net("10.1.0.0/16"), 1};
  plan how;
  data_plane::sa_parameters sa(data_plane::direction way, data_plane::spi spi = 0xc0ffee01) {
    return parameters(how, way, own, other, spi);
  }
};

inline traffic_selector selector_with(std::string_view prefix, std::uint8_t protocol,
                                      std::uint16_t first, std::uint16_t last) {
  auto out = traffic_selector::from_prefix(*ip_prefix::parse(prefix));
  out.ip_protocol = protocol;
  out.start_port = first;
  out.end_port = last;
  return out;
}

// What the kernel would send: header, then the parts as they are.
class kernel_message {
 public:
  kernel_message(std::uint16_t type, xfrm::sequence number, std::uint16_t flags = 0) {
    head_.nlmsg_type = type;
    head_.nlmsg_seq = number;
    head_.nlmsg_flags = flags;
  }
  template <class fixed>
  kernel_message& put(const fixed& part) {
    const auto* from = reinterpret_cast<const std::uint8_t*>(&part);
    append(payload_, {from, sizeof part});
    payload_.resize((payload_.size() + 3) / 4 * 4);
    return *this;
  }
  template <class value>
  kernel_message& attribute(std::uint16_t type, const value& part) {
    const auto* from = reinterpret_cast<const std::uint8_t*>(&part);
    return attribute(type, bytes_view{from, sizeof part});
  }
  kernel_message& attribute(std::uint16_t type, bytes_view value) {
    nlattr head{static_cast<std::uint16_t>(sizeof head + value.size()), type};
    put(head);
    append(payload_, value);
    payload_.resize((payload_.size() + 3) / 4 * 4);
    return *this;
  }
  bytes octets() const {
    auto head = head_;
    head.nlmsg_len = static_cast<std::uint32_t>(sizeof head + payload_.size());
    bytes out(sizeof head);
    std::memcpy(out.data(), &head, sizeof head);
    append(out, payload_);
    return out;
  }

 private:
  nlmsghdr head_{};
  bytes payload_;
};

inline bytes acknowledgement_of(xfrm::sequence number, int code) {
  nlmsgerr said{};
  said.error = -code;
  return kernel_message{NLMSG_ERROR, number, NLM_F_CAPPED}.put(said).octets();
}

inline bytes refusal_with_text(xfrm::sequence number, int code, std::string_view text) {
  nlmsgerr said{};
  said.error = -code;
  auto shown = to_bytes(text);
  shown.push_back(0);
  return kernel_message{NLMSG_ERROR, number, NLM_F_CAPPED | NLM_F_ACK_TLVS}
      .put(said)
      .attribute(NLMSGERR_ATTR_MSG, bytes_view{shown})
      .octets();
}

inline bytes dump_end(xfrm::sequence number) {
  std::int32_t code = 0;
  return kernel_message{NLMSG_DONE, number, NLM_F_MULTI}.put(code).octets();
}

inline xfrm_usersa_info sa_info(const ip_address& source, const ip_address& destination,
                                data_plane::spi spi, std::uint32_t reqid = 0) {
  xfrm_usersa_info info{};
  info.id.daddr = xfrm::to_kernel(destination);
  info.id.spi = htonl(spi);
  info.id.proto = 50;
  info.saddr = xfrm::to_kernel(source);
  info.family = xfrm::family_number(destination.family());
  info.reqid = reqid;
  info.mode = XFRM_MODE_TUNNEL;
  return info;
}

inline xfrm_usersa_id sa_name(const ip_address& destination, data_plane::spi spi) {
  xfrm_usersa_id id{};
  id.daddr = xfrm::to_kernel(destination);
  id.spi = htonl(spi);
  id.family = xfrm::family_number(destination.family());
  id.proto = 50;
  return id;
}

// The answer to ALLOCSPI, as the kernel gives it: a larval SA.
inline bytes larval_answer(xfrm::sequence number, const ip_address& source,
                           const ip_address& destination, data_plane::spi spi) {
  return kernel_message{XFRM_MSG_NEWSA, number}.put(sa_info(source, destination, spi)).octets();
}

// What the kernel shows while packets wait for an SA: larval, without an SPI.
inline bytes acquired_sa(xfrm::sequence number, const xfrm::selector& packet, std::uint32_t reqid,
                         const ip_address& source, const ip_address& destination) {
  auto info = sa_info(source, destination, 0, reqid);
  info.sel = xfrm::to_kernel(packet);
  info.seq = 99;
  return kernel_message{XFRM_MSG_NEWSA, number}.put(info).octets();
}

inline bytes expire_event(const ip_address& source, const ip_address& destination,
                          data_plane::spi spi, bool is_hard) {
  xfrm_user_expire expired{};
  expired.state = sa_info(source, destination, spi, 7);
  expired.hard = is_hard ? 1 : 0;
  return kernel_message{XFRM_MSG_EXPIRE, 0}.put(expired).octets();
}

inline bytes activity_event(const ip_address& destination, data_plane::spi spi,
                            std::uint32_t flags = XFRM_AE_CR, std::uint64_t packets = 0) {
  xfrm_aevent_id active{};
  active.sa_id = sa_name(destination, spi);
  active.flags = flags;
  xfrm_lifetime_cur carried{};
  carried.packets = packets;
  kernel_message event{XFRM_MSG_NEWAE, 0};
  event.put(active);
  if (packets != 0) event.attribute(XFRMA_LTIME_VAL, carried);
  return event.octets();
}

inline bytes mapping_event(const ip_address& destination, data_plane::spi spi,
                           const endpoint& before, const endpoint& after) {
  xfrm_user_mapping mapped{};
  mapped.id = sa_name(destination, spi);
  mapped.old_saddr = xfrm::to_kernel(before.address);
  mapped.old_sport = htons(before.port);
  mapped.new_saddr = xfrm::to_kernel(after.address);
  mapped.new_sport = htons(after.port);
  return kernel_message{XFRM_MSG_MAPPING, 0}.put(mapped).octets();
}

inline bytes acquire_event(const xfrm::selector& packet, std::uint32_t reqid,
                           const ip_address& source, const ip_address& destination) {
  xfrm_user_acquire asked{};
  asked.id.daddr = xfrm::to_kernel(destination);
  asked.saddr = xfrm::to_kernel(source);
  asked.sel = xfrm::to_kernel(packet);
  asked.seq = 77;
  xfrm_user_tmpl wanted{};
  wanted.reqid = reqid;
  wanted.mode = XFRM_MODE_TUNNEL;
  wanted.family = xfrm::family_number(destination.family());
  return kernel_message{XFRM_MSG_ACQUIRE, 0}.put(asked).attribute(XFRMA_TMPL, wanted).octets();
}

}  // namespace imago::testing
