#include "actors/live_network.hpp"

#include <algorithm>

#include "actors/front_door.hpp"
#include "actors/packets.hpp"
#include "core/base/limits.hpp"
#include "core/ikev2/exchanges/common.hpp"
#include "core/wire/message.hpp"
#include "kernel_if/udp/local_address.hpp"

namespace imago::actors {

result<std::shared_ptr<live_network>> live_network::open(const engine_options& options) {
  auto opened = std::make_shared<live_network>();
  opened->ike_port_ = options.ike_port;
  opened->nat_port_ = options.nat_port;
  opened->mark_ = options.socket_mark;
  kernel_if::udp_options how;
  how.mark = options.socket_mark;
  for (const auto& address : options.addresses) {
    if (options.ike_port != 0) {
      auto plain = kernel_if::udp_socket::bind({address, options.ike_port}, how);
      if (!plain) return plain.failure();
      opened->ports_.push_back({std::move(*plain), false});
    }
    auto nat = kernel_if::udp_socket::bind({address, opened->nat_port_}, how);
    if (!nat) return nat.failure();
    opened->nat_port_ = nat->local().port;
    opened->ports_.push_back({std::move(*nat), true});
  }
  opened->gate_ = std::make_shared<inbox_gate>(limits::demux_inbox_max);
  return opened;
}

status live_network::start(services_ptr shared, kernel_if::backend* backend) {
  shared_ = std::move(shared);
  backend_ = backend;
  std::vector<const kernel_if::udp_socket*> sockets;
  for (const auto& one : ports_) {
    if (backend_) {
      auto family = one.socket.local().address.family();
      auto adopted = backend_->adopt_socket(one.socket.descriptor(), family, one.is_nat);
      if (!adopted) return adopted;
    }
    sockets.push_back(&one.socket);
  }
  return reader_.start(sockets,
                       [this](const endpoint& local, const endpoint& remote, bytes_view octets,
                              std::size_t index) { on_datagram(local, remote, octets, index); });
}

void live_network::on_datagram(const endpoint& local, const endpoint& remote, bytes_view octets,
                               std::size_t index) {
  if (ports_[index].is_nat) {
    switch (kernel_if::classify_datagram(octets)) {
      case kernel_if::datagram_kind::esp:
        if (backend_) backend_->deliver_esp(local, remote, octets);
        return;
      case kernel_if::datagram_kind::ike:
        octets = octets.subspan(sizeof kernel_if::non_esp_marker);
        break;
      case kernel_if::datagram_kind::keepalive:
      case kernel_if::datagram_kind::malformed: return;
    }
  }
  if (inspector_) return inspector_({local, remote, to_bytes(octets), shared_->time->now()});
  let_in(local, remote, octets);
}

namespace {

// By the fixed header alone (RFC 7296 §3.1); a cookie is the first payload (§2.6). Nothing: it is
// no new peer's.
std::optional<front_door::line> line_for(const wire::header& header) {
  if (header.exchange != exchange_type::ike_sa_init || header.is_response ||
      header.responder_spi != 0)
    return std::nullopt;
  return header.next_payload == payload_type::notify ? front_door::line::returning
                                                     : front_door::line::stranger;
}

}  // namespace

// Who is known goes straight to the demux, and first; new peers wait at the door.
void live_network::let_in(const endpoint& local, const endpoint& remote, bytes_view octets) {
  auto header = wire::parse_header(octets);
  if (!header) return void(++dropped_);
  auto& door = *shared_->door;
  auto now = shared_->time->now();
  auto line = line_for(*header);
  if (line == front_door::line::stranger && door.is_pressed()) {
    if (door.is_behind(now)) return void(++dropped_);
    return ask_for_cookie(local, remote, octets, *header, now);
  }
  auto what = [&] {
    return std::make_shared<const packet>(packet{local, remote, to_bytes(octets), now});
  };
  if (line) return door.wait(*line, what());
  auto place = inbox_gate::enter(gate_);  // before anything is copied
  if (!place) return void(++dropped_);
  shared_->demux.tell_in_haste(receive_packet{what(), std::move(place)});
}

// Here and now: a flood of strangers is not worth the way to the demux.
void live_network::ask_for_cookie(const endpoint& local, const endpoint& remote, bytes_view octets,
                                  const wire::header& header, instant now) {
  auto nonce = wire::find_nonce(octets);
  if (!nonce || header.version >> 4 != 2 || header.initiator_spi == 0) return void(++dropped_);
  auto cookie = shared_->door->make_cookie(now, *nonce, remote.address, header.initiator_spi);
  answer_unprotected(*shared_, local, remote, header,
                     ikev2::make_notify(notify_type::cookie, std::move(cookie)));
}

// The socket bound to this address, or to any of its family.
const live_network::port* live_network::port_for(const endpoint& local) const {
  const port* any = nullptr;
  for (const auto& one : ports_) {
    const auto& bound = one.socket.local();
    if (bound.port != local.port || bound.address.family() != local.address.family()) continue;
    if (bound.address == local.address) return &one;
    if (bound.address.is_any()) any = &one;
  }
  return any;
}

void live_network::send_ike(const endpoint& local, const endpoint& remote, bytes_view message) {
  const auto* from = port_for(local);
  if (!from) return;
  ++sent_;
  auto sent = from->is_nat
                  ? from->socket.send(local.address, remote, kernel_if::non_esp_marker, message)
                  : from->socket.send(local.address, remote, message);
  (void)sent;  // lost, as on any network: it will be retransmitted
}

void live_network::send_keepalive(const endpoint& local, const endpoint& remote) {
  const auto* from = port_for(local);
  if (!from) return;
  ++sent_;
  (void)from->socket.send(local.address, remote, kernel_if::nat_keepalive).has_value();
}

void live_network::send_esp(const endpoint& local, const endpoint& remote, bytes_view packet) {
  const auto* from = port_for(local);
  if (!from) return;
  ++sent_;
  (void)from->socket.send(local.address, remote, packet).has_value();
}

bool live_network::has_route(const ip_address& remote) const {
  return kernel_if::local_address_for({remote, 500}, mark_).has_value();
}

result<endpoint> live_network::local_for(const endpoint& remote,
                                         const std::vector<config::address_pattern>& allowed) {
  // A peer on a port of its own speaks with the marker, as on 4500.
  auto port = ike_port_ != 0 && remote.port == 500 ? ike_port_ : nat_port_;
  auto family = remote.address.family();
  auto usable = [&](const ip_address& address) {
    return address.family() == family && port_for({address, port}) != nullptr;
  };
  for (const auto& one : allowed)
    if (one.is_single() && usable(one.first)) return endpoint{one.first, port};
  auto routed = kernel_if::local_address_for(remote, mark_);
  if (!routed) return routed.failure();
  bool is_allowed = allowed.empty() || std::any_of(allowed.begin(), allowed.end(),
                                                   [&](auto& one) { return one.matches(*routed); });
  if (!is_allowed || !usable(*routed))
    return {errc::peer_unreachable, "no allowed local address reaches " + remote.address.text() +
                                        " (routing would use " + routed->text() + ")"};
  return endpoint{*routed, port};
}

}  // namespace imago::actors
