// What the kernel reports by itself, and how what was not heard is made up for.
#include <cerrno>

#include "core/base/limits.hpp"
#include "kernel_if/xfrm/driver.hpp"
#include "kernel_if/xfrm/errors.hpp"
#include "kernel_if/xfrm/selectors.hpp"

namespace imago::kernel_if::xfrm {

using namespace data_plane;

namespace {

// Datagrams taken in before requests have their turn again.
constexpr int event_batch_max = 1024;

bool is_reached(std::uint64_t limit, std::uint64_t count) { return limit != 0 && count >= limit; }

}  // namespace

void driver::receive_events() {
  bytes datagram;
  for (int count = 0; count < event_batch_max; ++count) {
    int code = events_.receive(datagram);
    if (code == EAGAIN) return;
    if (code != 0) {
      must_resync_ = true;
      resync_attempts_ = 0;
      if (code == ENOBUFS || code == EMSGSIZE) continue;
      return;
    }
    message_reader reader{datagram};
    while (!reader.at_end()) {
      auto one = reader.next();
      if (one) {
        on_event(one->body);
      } else {
        must_resync_ = true;
        resync_attempts_ = 0;
      }
    }
  }
}

void driver::on_event(message_body& body) {
  if (auto* expired = std::get_if<sa_expire>(&body)) {
    on_expire(*expired);
  } else if (auto* active = std::get_if<sa_activity>(&body)) {
    on_activity(*active);
  } else if (auto* changed = std::get_if<source_changed>(&body)) {
    auto* sa = sas_.find(changed->key);
    // The kernel says it with every packet until the SA is told.
    if (!sa || sa->is_larval || sa->source_reported == changed->after) return;
    sa->source_reported = changed->after;
    sink_.on_event(remote_endpoint_changed{sa->id, changed->after});
  } else if (auto* acquire = std::get_if<sa_acquire>(&body)) {
    if (acquire->reqid != 0 && policies_.wants(acquire->reqid))
      sink_.on_event(
          sa_acquired{acquire->reqid, source_of(acquire->packet), destination_of(acquire->packet)});
  }
}

void driver::on_expire(const sa_expire& expired) {
  auto* sa = sas_.find(expired.key);
  if (!sa) return;
  if (sa->is_larval) {
    if (!expired.is_hard) return;
    note_end(sa->key);
    sas_.remove(sa->id);
    return;
  }
  auto& is_reported = expired.is_hard ? sa->is_gone : sa->is_soft_reported;
  if (std::exchange(is_reported, true)) return;
  sink_.on_event(lifetime_reached{sa->id, expired.is_hard});
}

void driver::resync() {
  must_resync_ = false;
  is_resyncing_ = true;
  ++resyncs_;
  if (resync_attempts_++ == 0) sink_.on_event(events_lost{});
  auto seen = std::make_shared<std::map<sa_key, sa_usage>>();
  auto acquires = std::make_shared<std::vector<sa_acquired>>();
  // What is installed while the dump runs may or may not be in it.
  auto asked = std::make_shared<std::set<sa_id>>();
  for (const auto& [id, sa] : sas_.all()) asked->insert(id);
  pipeline_.ask(
      encode_dump_sas(0), answer_kind::dump,
      [this, seen, asked, acquires](answer& said) {
        is_resyncing_ = false;
        for (const auto& one : *acquires) sink_.on_event(one);
        if (said.code == 0) return compare(*seen, *asked);
        if (resync_attempts_ < options_.resync_attempts_max) must_resync_ = true;
      },
      [this, seen, acquires](message_body& body) {
        auto* image = std::get_if<sa_image>(&body);
        if (!image) return;
        // A larval SA without an SPI: a packet waits for an SA. It does not ask again while that is
        // there.
        if (image->key.spi == 0 && !image->has_keys) {
          if (image->reqid != 0 && policies_.wants(image->reqid))
            acquires->push_back(
                {image->reqid, source_of(image->packet), destination_of(image->packet)});
          return;
        }
        (*seen)[{image->key.destination, image->key.spi, {}}] = usage_of(*image, now_, 0);
      });
}

void driver::compare(const std::map<sa_key, sa_usage>& seen, const std::set<sa_id>& asked) {
  for (const auto& id : asked) {
    auto* sa = sas_.find(id);
    if (!sa) continue;
    auto at = seen.find({sa->key.destination, sa->key.spi, {}});
    if (at == seen.end()) {
      on_expire({sa->key, sa->reqid, true});
      continue;
    }
    if (sa->is_larval) continue;
    const auto& usage = at->second;
    if (is_reached(sa->lifetime.soft_octets, usage.octets) ||
        is_reached(sa->lifetime.soft_packets, usage.packets))
      on_expire({sa->key, sa->reqid, false});
    if (usage.packets > sa->packets_seen) on_packets(*sa, usage.packets);
  }
}

}  // namespace imago::kernel_if::xfrm
