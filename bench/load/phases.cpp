// The phases of the generator: hold, measure, tear down; what is told between them.
#include <cstdio>
#include <limits>

#include <nlohmann/json.hpp>
#include <poll.h>
#include <unistd.h>

#include "bench/load/generator.hpp"

namespace imago::bench {

namespace {

constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t progress_interval_us = 1'000'000;

}  // namespace

std::string_view generator::name_of(kind one) {
  switch (one) {
    case kind::hold: return "hold";
    case kind::handshake: return "handshake";
    case kind::dpd: return "dpd";
    case kind::rekey: return "rekey";
    case kind::clean_up: return "delete_child";
    case kind::teardown: return "teardown";
  }
  return "";
}

void generator::wait(std::uint64_t until) {
  auto now = now_us();
  // Progress and retransmissions want a look now and then.
  auto remaining_us = until > now ? std::min<std::uint64_t>(until - now, 200'000) : 0;
  timespec timeout{static_cast<time_t>(remaining_us / 1'000'000),
                   static_cast<long>(remaining_us % 1'000'000 * 1000)};
  pollfd watched{out_.descriptor(), POLLIN, 0};
  (void)::ppoll(&watched, 1, &timeout, nullptr);
}

void generator::turn(std::uint64_t next_due) {
  auto now = now_us();
  next_due = std::min({next_due, issue(now), retransmit(now)});
  out_.flush();
  auto count = out_.receive([this](bytes_view datagram) { receive(datagram); });
  out_.flush();
  if (count == 0) wait(next_due);
}

void generator::show_progress(std::uint64_t now, std::string_view phase) {
  if (now - told_us_ < progress_interval_us) return;
  told_us_ = now;
  const auto& good = figures_of(kind::handshake);
  std::fprintf(stderr, "imago-load: %.*s: %zu up, %zu under way", static_cast<int>(phase.size()),
               phase.data(), established_, in_flight_);
  if (is_measuring_)
    std::fprintf(stderr, "; %zu of %zu handshakes, %zu flood",
                 static_cast<std::size_t>(good.completed), static_cast<std::size_t>(good.offered),
                 static_cast<std::size_t>(flood_.spoofed().sent + flood_.returning().sent +
                                          flood_.malformed().sent));
  std::fprintf(stderr, "\n");
}

bool generator::hold(std::size_t count) {
  auto begun = now_us();
  auto wanted = peers_.size() + count;
  while (peers_.size() < wanted || in_flight_ > 0) {
    while (peers_.size() < wanted && in_flight_ < options_.window)
      begin_handshake(kind::hold, now_us());
    turn(never);
    show_progress(now_us(), "hold");
  }
  report("held", now_us() - begun);
  return pause("held");
}

bool generator::measure() {
  auto begun = now_us();
  measured_until_ = begun + static_cast<std::uint64_t>(options_.seconds * 1e6);
  auto patient_until =
      measured_until_ + static_cast<std::uint64_t>(options_.patience_seconds * 1e6);
  for (auto& of : paces_) of.begin(begun);
  for (auto* of : {&spoofed_, &malformed_, &returning_}) of->begin(begun);
  is_measuring_ = true;
  for (auto now = begun; now < measured_until_ || (in_flight_ > 0 && now < patient_until);
       now = now_us()) {
    turn(now < measured_until_ ? measured_until_ : patient_until);
    show_progress(now, "measured time");
  }
  count_unanswered();
  is_measuring_ = false;
  report("measured", now_us() - begun);
  return pause("measured");
}

bool generator::tear_down() {
  auto begun = now_us();
  std::size_t next = 0;
  while (next < idle_.size() || in_flight_ > 0) {
    for (; next < idle_.size() && in_flight_ < options_.window; ++next) {
      auto& one = peers_[idle_[next]];
      if (one.at != stage::established) continue;
      one.scheduled_us = now_us();
      ++figures_of(kind::teardown).offered;
      (void)ask(one, idle_[next], kind::teardown);
    }
    turn(never);
    show_progress(now_us(), "teardown");
  }
  report("torn_down", now_us() - begun);
  return pause("torn_down");
}

void generator::report(std::string_view phase, std::uint64_t took_us) {
  nlohmann::ordered_json line{{"phase", phase},
                              {"seconds", static_cast<double>(took_us) / 1e6},
                              {"established", established_}};
  timespec cpu{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  line["own_cpu_seconds"] =
      static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) / 1e9;
  for (std::size_t at = 0; at < kind_count; ++at)
    if (figures_[at].offered > 0)
      line[std::string{name_of(static_cast<kind>(at))}] = json_of(figures_[at]);
  for (const auto& [name, figures] : {std::pair{"spoofed_flood", flood_.spoofed()},
                                      std::pair{"malformed_flood", flood_.malformed()},
                                      std::pair{"cookie_flood", flood_.returning()}})
    if (figures.sent > 0) line[name] = json_of(figures);
  line["strays"] = strays_;
  line["unsent"] = out_.refused();
  if (tells_json_) {
    std::printf("%s\n", line.dump().c_str());
  } else {
    std::printf("%.*s after %.2f s\n", static_cast<int>(phase.size()), phase.data(),
                static_cast<double>(took_us) / 1e6);
    for (const auto& [name, value] : line.items())
      if (value.is_object()) std::printf("  %-16s %s\n", name.c_str(), value.dump().c_str());
  }
  std::fflush(stdout);
}

// Until a line comes; what peers ask meanwhile is answered.
bool generator::pause(std::string_view phase) {
  while (options_.is_stepwise) {
    auto now = now_us();
    retransmit(now);
    out_.receive([this](bytes_view datagram) { receive(datagram); });
    out_.flush();
    pollfd watched[2] = {{out_.descriptor(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (::poll(watched, 2, 200) < 0 || watched[1].revents == 0) continue;
    char octets[64];
    auto count = ::read(STDIN_FILENO, octets, sizeof octets);
    if (count <= 0) {
      std::fprintf(stderr, "imago-load: standard input was closed after '%.*s'\n",
                   static_cast<int>(phase.size()), phase.data());
      return false;
    }
    break;
  }
  return true;
}

bool generator::run(bool tells_json) {
  tells_json_ = tells_json;
  told_us_ = now_us();
  for (auto count : options_.hold_steps)
    if (!hold(count)) return false;
  if (options_.seconds > 0 && !measure()) return false;
  return !options_.tears_down || tear_down();
}

}  // namespace imago::bench
