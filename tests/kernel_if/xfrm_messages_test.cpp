// XFRM messages against the layouts of <linux/xfrm.h>, field by field.
#include <doctest/doctest.h>

#include "tests/kernel_if/xfrm_fixture.hpp"

using namespace imago;
using namespace imago::testing;
using namespace imago::kernel_if::xfrm;
using data_plane::direction;

namespace {

// A request taken apart with nothing of ours: offsets from the kernel's structs.
class request_octets {
 public:
  explicit request_octets(const secret& message) : octets_{to_bytes(message.view())} {
    REQUIRE(octets_.size() >= sizeof(nlmsghdr));
    REQUIRE(head().nlmsg_len == octets_.size());
  }
  nlmsghdr head() const { return at<nlmsghdr>(0); }
  template <class fixed>
  fixed body() {
    body_size_ = (sizeof(fixed) + 3) / 4 * 4;
    return at<fixed>(sizeof(nlmsghdr));
  }
  // The attribute's value; empty if there is none. body() first.
  bytes attribute(std::uint16_t type) const {
    for (auto from = sizeof(nlmsghdr) + body_size_; from + sizeof(nlattr) <= octets_.size();) {
      auto one = at<nlattr>(from);
      REQUIRE(one.nla_len >= sizeof one);
      if (one.nla_type == type)
        return {octets_.begin() + static_cast<std::ptrdiff_t>(from + sizeof one),
                octets_.begin() + static_cast<std::ptrdiff_t>(from + one.nla_len)};
      from += (one.nla_len + 3U) / 4 * 4;
    }
    return {};
  }
  template <class fixed>
  fixed attribute_as(std::uint16_t type) const {
    auto value = attribute(type);
    REQUIRE(value.size() >= sizeof(fixed));
    fixed out;
    std::memcpy(&out, value.data(), sizeof out);
    return out;
  }

 private:
  template <class fixed>
  fixed at(std::size_t from) const {
    REQUIRE(octets_.size() >= from + sizeof(fixed));
    fixed out;
    std::memcpy(&out, octets_.data() + from, sizeof out);
    return out;
  }
  bytes octets_;
  std::size_t body_size_ = 0;
};

request_octets encoded(const data_plane::sa_parameters& sa, sa_command command = sa_command::add,
                       activity_thresholds thresholds = {}) {
  auto message = encode_sa(command, sa, thresholds, 42);
  REQUIRE(message.has_value());
  return request_octets{*message};
}

template <class body>
body parsed(bytes_view octets) {
  message_reader reader{octets};
  auto one = reader.next();
  REQUIRE(one.has_value());
  CHECK(reader.at_end());
  auto* found = std::get_if<body>(&one->body);
  REQUIRE(found);
  return std::move(*found);
}

std::string name_in(const char (&field)[64]) { return field; }

}  // namespace

TEST_CASE("xfrm messages: an inbound AEAD tunnel SA promotes its larval one by UPDSA") {
  ends e;
  auto message = encoded(e.sa(direction::inbound), sa_command::update);
  CHECK(message.head().nlmsg_type == XFRM_MSG_UPDSA);
  CHECK(message.head().nlmsg_flags == (NLM_F_REQUEST | NLM_F_ACK));
  CHECK(message.head().nlmsg_seq == 42);
  auto info = message.body<xfrm_usersa_info>();
  CHECK(ntohl(info.id.spi) == 0xc0ffee01);
  CHECK(info.id.proto == 50);
  CHECK(ntohl(info.id.daddr.a4) == 0xc0000202);
  CHECK(ntohl(info.saddr.a4) == 0xc0000201);
  CHECK(info.family == AF_INET);
  CHECK(info.reqid == 7);
  CHECK(info.mode == XFRM_MODE_TUNNEL);
  CHECK(info.flags == XFRM_STATE_AF_UNSPEC);
  CHECK(info.replay_window == 0);  // 64 is said by the bitmap
  CHECK(info.lft.hard_byte_limit == XFRM_INF);
  CHECK(info.lft.hard_add_expires_seconds == 0);
  auto aead = message.attribute_as<xfrm_algo_aead>(XFRMA_ALG_AEAD);
  CHECK(name_in(aead.alg_name) == "rfc4106(gcm(aes))");
  CHECK(aead.alg_key_len == 160);
  CHECK(aead.alg_icv_len == 128);
  auto key = message.attribute(XFRMA_ALG_AEAD);
  CHECK(bytes{key.begin() + sizeof aead, key.end()} == key_of(20, 0x10));
  auto replay = message.attribute_as<xfrm_replay_state_esn>(XFRMA_REPLAY_ESN_VAL);
  CHECK(replay.replay_window == 64);
  CHECK(replay.bmp_len == 2);
  CHECK(message.attribute(XFRMA_REPLAY_ESN_VAL).size() == sizeof replay + 8);
  // Inbound the peer's port is the source.
  auto encap = message.attribute_as<xfrm_encap_tmpl>(XFRMA_ENCAP);
  CHECK(encap.encap_type == 2);
  CHECK(ntohs(encap.encap_sport) == 4501);
  CHECK(ntohs(encap.encap_dport) == 4500);
  CHECK(message.attribute_as<std::uint32_t>(XFRMA_REPLAY_THRESH) == 0);
  CHECK(message.attribute_as<std::uint32_t>(XFRMA_ETIMER_THRESH) == 0);
  CHECK(message.attribute(XFRMA_MARK).empty());
}

TEST_CASE("xfrm messages: an outbound SA with encryption and integrity, ESN and transport mode") {
  ends e;
  e.how.algorithms = suites[6];
  e.how.uses_esn = true;
  e.how.mode = data_plane::mode::transport;
  e.how.lifetime = {1, 2, 3, 4, 5, 6};
  auto message = encoded(e.sa(direction::outbound));
  CHECK(message.head().nlmsg_type == XFRM_MSG_NEWSA);
  CHECK(message.head().nlmsg_flags == (NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL));
  auto info = message.body<xfrm_usersa_info>();
  CHECK(ntohl(info.id.daddr.a4) == 0xc0000201);
  CHECK(info.mode == XFRM_MODE_TRANSPORT);
  CHECK(info.flags == XFRM_STATE_ESN);
  CHECK(info.lft.soft_byte_limit == 1);
  CHECK(info.lft.hard_byte_limit == 2);
  CHECK(info.lft.soft_packet_limit == 3);
  CHECK(info.lft.hard_packet_limit == 4);
  CHECK(info.lft.soft_add_expires_seconds == 5);
  CHECK(info.lft.hard_add_expires_seconds == 6);
  auto cipher = message.attribute_as<xfrm_algo>(XFRMA_ALG_CRYPT);
  CHECK(name_in(cipher.alg_name) == "cbc(aes)");
  CHECK(cipher.alg_key_len == 256);
  auto hash = message.attribute_as<xfrm_algo_auth>(XFRMA_ALG_AUTH_TRUNC);
  CHECK(name_in(hash.alg_name) == "hmac(sha512)");
  CHECK(hash.alg_key_len == 512);
  CHECK(hash.alg_trunc_len == 256);
  auto encap = message.attribute_as<xfrm_encap_tmpl>(XFRMA_ENCAP);
  CHECK(ntohs(encap.encap_sport) == 4500);
  CHECK(ntohs(encap.encap_dport) == 4501);
  CHECK(message.attribute_as<xfrm_replay_state_esn>(XFRMA_REPLAY_ESN_VAL).bmp_len == 1);
}

TEST_CASE("xfrm messages: every suite has its name in the kernel") {
  const char* names[] = {"rfc4106(gcm(aes))", "rfc4106(gcm(aes))",
                         "rfc4106(gcm(aes))", "rfc7539esp(chacha20,poly1305)",
                         "hmac(sha256)",      "hmac(sha384)",
                         "hmac(sha512)"};
  for (std::size_t i = 0; i < std::size(suites); ++i) {
    ends e;
    e.how.algorithms = suites[i];
    auto message = encoded(e.sa(direction::outbound));
    (void)message.body<xfrm_usersa_info>();
    auto value = message.attribute(i < 4 ? XFRMA_ALG_AEAD : XFRMA_ALG_AUTH_TRUNC);
    REQUIRE(value.size() > 64);
    CHECK(std::string{reinterpret_cast<const char*>(value.data())} == names[i]);
  }
  ends e;
  auto unknown = e.sa(direction::outbound);
  unknown.encryption = static_cast<encryption_algorithm>(3);
  auto refused = encode_sa(sa_command::add, unknown, {}, 1);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.failure().code == errc::unsupported_algorithm);
}

TEST_CASE("xfrm messages: replay windows from none to 4096") {
  for (std::uint32_t window : {0U, 32U, 33U, 1024U, 4096U}) {
    CAPTURE(window);
    ends e;
    e.how.replay_window = window;
    auto message = encoded(e.sa(direction::inbound));
    auto info = message.body<xfrm_usersa_info>();
    if (window <= 32) {
      CHECK(info.replay_window == window);
      CHECK(message.attribute(XFRMA_REPLAY_ESN_VAL).empty());
    } else {
      auto replay = message.attribute_as<xfrm_replay_state_esn>(XFRMA_REPLAY_ESN_VAL);
      CHECK(replay.replay_window == window);
      CHECK(replay.bmp_len == (window + 31) / 32);
    }
  }
}

TEST_CASE(
    "xfrm messages: marks, interface identifiers and thresholds are attributes of their own") {
  ends e;
  auto sa = e.sa(direction::outbound);
  sa.mark = {0x10, 0xff};
  sa.output_mark = {0x20, 0xfff};
  sa.if_id = 9;
  auto message = encoded(sa, sa_command::add, {1, 20});
  (void)message.body<xfrm_usersa_info>();
  auto mark = message.attribute_as<xfrm_mark>(XFRMA_MARK);
  CHECK(mark.v == 0x10);
  CHECK(mark.m == 0xff);
  CHECK(message.attribute_as<std::uint32_t>(XFRMA_SET_MARK) == 0x20);
  CHECK(message.attribute_as<std::uint32_t>(XFRMA_SET_MARK_MASK) == 0xfff);
  CHECK(message.attribute_as<std::uint32_t>(XFRMA_IF_ID) == 9);
  CHECK(message.attribute_as<std::uint32_t>(XFRMA_REPLAY_THRESH) == 1);
  CHECK(message.attribute_as<std::uint32_t>(XFRMA_ETIMER_THRESH) == 20);
  sa.offload_device = "lo";
  auto offload = encoded(sa);
  (void)offload.body<xfrm_usersa_info>();
  CHECK(offload.attribute_as<xfrm_user_offload>(XFRMA_OFFLOAD_DEV).ifindex == 1);
  sa.offload_device = "no-such-device";
  auto refused = encode_sa(sa_command::add, sa, {}, 1);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.failure().code == errc::not_found);
}

TEST_CASE("xfrm messages: requests that only name an SA") {
  sa_key key{at("2001:db8::2"), 0x1234, {}};
  struct named {
    secret message;
    std::uint16_t type;
    std::uint16_t flags;
  };
  named list[] = {{encode_delete_sa(key, 5), XFRM_MSG_DELSA, NLM_F_REQUEST | NLM_F_ACK},
                  {encode_get_sa(key, 5), XFRM_MSG_GETSA, NLM_F_REQUEST}};
  for (auto& one : list) {
    request_octets message{one.message};
    CHECK(message.head().nlmsg_type == one.type);
    CHECK(message.head().nlmsg_flags == one.flags);
    auto id = message.body<xfrm_usersa_id>();
    CHECK(ntohl(id.spi) == 0x1234);
    CHECK(id.family == AF_INET6);
    CHECK(id.proto == 50);
    CHECK(address_of(id.daddr, ip_family::v6) == key.destination);
  }
  request_octets shown{encode_get_thresholds(key, 5)};
  CHECK(shown.head().nlmsg_type == XFRM_MSG_GETAE);
  CHECK(shown.head().nlmsg_flags == NLM_F_REQUEST);
  auto asked = shown.body<xfrm_aevent_id>();
  CHECK(asked.flags == XFRM_AE_ETHR);
  CHECK(ntohl(asked.sa_id.spi) == 0x1234);
  request_octets changed{encode_thresholds(key, {3, 4}, 5)};
  CHECK(changed.head().nlmsg_type == XFRM_MSG_NEWAE);
  CHECK(changed.head().nlmsg_flags == (NLM_F_REQUEST | NLM_F_ACK | NLM_F_REPLACE));
  CHECK(ntohl(changed.body<xfrm_aevent_id>().sa_id.spi) == 0x1234);
  CHECK(changed.attribute_as<std::uint32_t>(XFRMA_REPLAY_THRESH) == 3);
}

TEST_CASE("xfrm messages: SPIs, dumps and flushes") {
  request_octets spi{encode_allocate_spi(at("192.0.2.2"), at("192.0.2.1"), 0x100, 0xffffffff, 6)};
  CHECK(spi.head().nlmsg_type == XFRM_MSG_ALLOCSPI);
  auto range = spi.body<xfrm_userspi_info>();
  CHECK(range.min == 0x100);
  CHECK(range.max == 0xffffffff);
  CHECK(ntohl(range.info.id.daddr.a4) == 0xc0000202);
  CHECK(ntohl(range.info.saddr.a4) == 0xc0000201);
  CHECK(range.info.id.proto == 50);
  CHECK((request_octets{encode_dump_sas(1)}.head().nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP);
  CHECK(request_octets{encode_dump_policies(1)}.head().nlmsg_type == XFRM_MSG_GETPOLICY);
  CHECK(request_octets{encode_flush_sas(1)}.body<xfrm_usersa_flush>().proto == 50);
  CHECK(request_octets{encode_flush_policies(1)}.head().nlmsg_type == XFRM_MSG_FLUSHPOLICY);
}

TEST_CASE("xfrm messages: a migration names old and new ends") {
  ends e;
  auto entries = entries_of(policy_between(e.how, e.own, e.other));
  REQUIRE(entries.has_value());
  auto before = *entries->front().protection;
  auto after = before;
  after.destination = at("192.0.2.99");
  request_octets message{encode_migrate({entries->front().key, before, after}, 3)};
  CHECK(message.head().nlmsg_type == XFRM_MSG_MIGRATE);
  CHECK(message.body<xfrm_userpolicy_id>().dir == XFRM_POLICY_OUT);
  auto one = message.attribute_as<xfrm_user_migrate>(XFRMA_MIGRATE);
  CHECK(ntohl(one.old_daddr.a4) == 0xc0000201);
  CHECK(ntohl(one.new_daddr.a4) == 0xc0000263);
  CHECK(one.reqid == 7);
  CHECK(one.proto == 50);
  CHECK(one.new_family == AF_INET);
}

TEST_CASE("xfrm messages: a policy is read as it was written") {
  ends e;
  e.own.inner = {selector_with("10.2.0.0/16", 6, 80, 80)};
  auto wanted = policy_between(e.how, e.own, e.other);
  wanted.mark = {5, 0xf};
  wanted.if_id = 3;
  auto entries = entries_of(wanted);
  REQUIRE(entries.has_value());
  REQUIRE(entries->size() == 3);
  for (const auto& entry : *entries) {
    auto message = encode_policy(policy_command::add, entry, 9);
    request_octets raw{message};
    auto info = raw.body<xfrm_userpolicy_info>();
    CHECK(info.dir == static_cast<std::uint8_t>(entry.key.direction));
    CHECK(info.action == XFRM_POLICY_ALLOW);
    CHECK(info.sel.proto == 6);
    CHECK(info.lft.hard_byte_limit == XFRM_INF);
    auto wants = raw.attribute_as<xfrm_user_tmpl>(XFRMA_TMPL);
    CHECK(wants.id.proto == 50);
    CHECK(wants.mode == XFRM_MODE_TUNNEL);
    CHECK(wants.aalgos == 0xffffffff);
    CHECK(parsed<policy_image>(message.view()).entry == entry);
    CHECK(request_octets{encode_delete_policy(entry.key, 1)}.body<xfrm_userpolicy_id>().dir ==
          info.dir);
  }
  auto out = request_octets{encode_policy(policy_command::add, entries->front(), 9)}
                 .body<xfrm_userpolicy_info>();
  CHECK(out.sel.prefixlen_s == 16);
  CHECK(ntohs(out.sel.sport) == 80);
  CHECK(out.sel.sport_mask == 0xffff);
  CHECK(out.sel.dport_mask == 0);
}

TEST_CASE("xfrm messages: an SA that was read can be made again elsewhere") {
  ends e;
  e.how.uses_esn = true;
  auto message = encode_sa(sa_command::add, e.sa(direction::outbound), {}, 1);
  REQUIRE(message.has_value());
  auto image = parsed<sa_image>(message->view());
  CHECK(image.key.spi == 0xc0ffee01);
  CHECK(image.source == at("192.0.2.2"));
  CHECK(image.reqid == 7);
  CHECK(image.has_keys);
  CHECK(image.encap_destination_port == 4501);
  endpoint from{at("192.0.2.2"), 4500};
  endpoint to{at("192.0.2.77"), 999};
  request_octets moved{
      encode_moved_sa(sa_command::add, image, from.address, to.address, from, to, {1, 0}, 8)};
  auto info = moved.body<xfrm_usersa_info>();
  CHECK(ntohl(info.id.daddr.a4) == 0xc000024d);
  CHECK(ntohl(info.id.spi) == 0xc0ffee01);
  CHECK((info.flags & XFRM_STATE_ESN) != 0);
  CHECK(ntohs(moved.attribute_as<xfrm_encap_tmpl>(XFRMA_ENCAP).encap_dport) == 999);
  auto original = encoded(e.sa(direction::outbound));
  (void)original.body<xfrm_usersa_info>();
  CHECK_FALSE(moved.attribute(XFRMA_ALG_AEAD).empty());
  CHECK(moved.attribute(XFRMA_ALG_AEAD) == original.attribute(XFRMA_ALG_AEAD));
  CHECK(moved.attribute(XFRMA_REPLAY_ESN_VAL).size() == sizeof(xfrm_replay_state_esn) + 4);
  CHECK(moved.attribute_as<std::uint32_t>(XFRMA_REPLAY_THRESH) == 1);
}

TEST_CASE("xfrm messages: what the kernel answers") {
  auto good = parsed<acknowledgement>(acknowledgement_of(3, 0));
  CHECK(good.code == 0);
  auto refused = parsed<acknowledgement>(refusal_with_text(4, ENOSYS, "no \x01 such algorithm"));
  CHECK(refused.code == ENOSYS);
  CHECK(refused.text == "no \\x01 such algorithm");
  // Not capped: the whole request stands before the text.
  ends e;
  auto request = encode_sa(sa_command::add, e.sa(direction::outbound), {}, 5);
  REQUIRE(request.has_value());
  nlmsgerr said{};
  said.error = -EEXIST;
  std::memcpy(&said.msg, request->view().data(), sizeof said.msg);
  kernel_message echoed{NLMSG_ERROR, 5, NLM_F_ACK_TLVS};
  echoed.put(said);
  bytes octets = echoed.octets();
  append(octets, request->view().subspan(sizeof(nlmsghdr)));
  auto size = static_cast<std::uint32_t>(octets.size());
  std::memcpy(octets.data(), &size, sizeof size);
  CHECK(parsed<acknowledgement>(octets).code == EEXIST);
  CHECK(parsed<dump_ended>(dump_end(6)).code == 0);
  // As from Linux 6.9 on: no code behind it.
  CHECK(parsed<dump_ended>(kernel_message{NLMSG_DONE, 6}.octets()).code == 0);
  auto larval = parsed<sa_image>(larval_answer(7, at("192.0.2.1"), at("192.0.2.2"), 0xabcdef));
  CHECK(larval.key.spi == 0xabcdef);
  CHECK_FALSE(larval.has_keys);
}

TEST_CASE("xfrm messages: what the kernel reports") {
  auto own = at("192.0.2.2");
  auto other = at("192.0.2.1");
  auto soft = parsed<sa_expire>(expire_event(other, own, 0x1000, false));
  CHECK_FALSE(soft.is_hard);
  CHECK(soft.key == sa_key{own, 0x1000, {}});
  CHECK(parsed<sa_expire>(expire_event(other, own, 0x1000, true)).is_hard);
  auto active = parsed<sa_activity>(activity_event(own, 0x1000, XFRM_AE_CE, 17));
  CHECK(active.key == sa_key{own, 0x1000, {}});
  CHECK(active.flags == XFRM_AE_CE);
  CHECK(active.packets == 17);
  CHECK_FALSE(active.timer.has_value());
  auto moved =
      parsed<source_changed>(mapping_event(own, 0x1000, {other, 4500}, {at("192.0.2.7"), 1025}));
  CHECK(moved.after == endpoint{at("192.0.2.7"), 1025});
  CHECK(moved.before == endpoint{other, 4500});
  selector packet;
  packet.source = *ip_prefix::parse("10.2.0.1/32");
  packet.destination = *ip_prefix::parse("10.1.0.9/32");
  packet.ip_protocol = 17;
  packet.destination_port = 53;
  packet.destination_port_mask = 0xffff;
  auto asked = parsed<sa_acquire>(acquire_event(packet, 7, own, other));
  CHECK(asked.reqid == 7);
  CHECK(asked.packet == packet);
  CHECK(asked.number == 77);
  CHECK(asked.destination == other);
}

TEST_CASE("xfrm messages: every truncation of every event is refused, none is read past its end") {
  auto own = at("192.0.2.2");
  auto other = at("192.0.2.1");
  const bytes whole[] = {expire_event(other, own, 0x1000, true), activity_event(own, 0x1000),
                         mapping_event(own, 0x1000, {other, 1}, {other, 2}),
                         larval_answer(1, other, own, 0x1000), acknowledgement_of(1, ENOENT)};
  for (const auto& octets : whole) {
    for (std::size_t size = 0; size < octets.size(); ++size) {
      bytes cut{octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(size)};
      message_reader reader{cut};
      CHECK_FALSE(reader.next().has_value());
      CHECK(reader.at_end());
      if (size < sizeof(nlmsghdr)) continue;
      // The same with a header that admits to it.
      auto length = static_cast<std::uint32_t>(size);
      std::memcpy(cut.data(), &length, sizeof length);
      message_reader honest{cut};
      CHECK_FALSE(honest.next().has_value());
    }
  }
}
