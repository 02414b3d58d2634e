#include "kernel_if/route/link_watch.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace imago::kernel_if {

namespace {

constexpr std::size_t datagram_size_max = 65536;  // the kernel's dumps come in 32 KiB at most

constexpr std::size_t aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

template <class fixed>
bool take(bytes_view& from, fixed& to) {
  if (from.size() < sizeof to) return false;
  std::memcpy(&to, from.data(), sizeof to);
  from = from.subspan(std::min(aligned(sizeof to), from.size()));
  return true;
}

template <class function>
void for_attributes(bytes_view rest, function each) {
  nlattr head;
  while (rest.size() >= sizeof head) {
    std::memcpy(&head, rest.data(), sizeof head);
    if (head.nla_len < sizeof head || head.nla_len > rest.size()) return;
    each(static_cast<std::uint16_t>(head.nla_type & NLA_TYPE_MASK),
         rest.subspan(sizeof head, head.nla_len - sizeof head));
    rest = rest.subspan(std::min(aligned(head.nla_len), rest.size()));
  }
}

bool is_main_route(bytes_view payload) {
  rtmsg route;
  return take(payload, route) && route.rtm_table == RT_TABLE_MAIN && route.rtm_type == RTN_UNICAST;
}

error refused(const char* what) {
  return {errc::system_error, std::string{"rtnetlink: "} + what + ": " + std::strerror(errno)};
}

}  // namespace

// --- what was said -------------------------------------------------------------------------------

link_table::change link_table::apply(bytes_view datagram) {
  change made;
  while (!datagram.empty()) {
    nlmsghdr head;
    if (datagram.size() < sizeof head) break;
    std::memcpy(&head, datagram.data(), sizeof head);
    if (head.nlmsg_len < sizeof head || head.nlmsg_len > datagram.size()) break;
    auto payload = datagram.subspan(sizeof head, head.nlmsg_len - sizeof head);
    switch (head.nlmsg_type) {
      case RTM_NEWLINK:
      case RTM_DELLINK:
        made.has_links = on_link(payload, head.nlmsg_type == RTM_NEWLINK) || made.has_links;
        break;
      case RTM_NEWADDR:
      case RTM_DELADDR:
        made.has_links = on_address(payload, head.nlmsg_type == RTM_NEWADDR) || made.has_links;
        break;
      case RTM_NEWROUTE:
      case RTM_DELROUTE: made.has_routes = made.has_routes || is_main_route(payload); break;
      default: break;
    }
    datagram = datagram.subspan(std::min(aligned(head.nlmsg_len), datagram.size()));
  }
  made.is_broken = !datagram.empty();
  return made;
}

bool link_table::on_link(bytes_view payload, bool is_new) {
  ifinfomsg info;
  if (!take(payload, info) || info.ifi_index <= 0) return false;
  // Of a bridge's ports the bridge speaks with AF_BRIDGE: no link comes or goes by that.
  if (info.ifi_family != AF_UNSPEC) return false;
  auto index = static_cast<std::uint32_t>(info.ifi_index);
  if (!is_new) return links_.erase(index) != 0;
  auto& one = links_[index];
  auto before = one;
  one.index = index;
  // The carrier itself: IFF_RUNNING follows it up to a second later (the kernel's linkwatch), while
  // packets pass already.
  one.is_up = (info.ifi_flags & IFF_UP) != 0 && (info.ifi_flags & IFF_LOWER_UP) != 0;
  for_attributes(payload, [&](std::uint16_t type, bytes_view value) {
    if (type != IFLA_IFNAME) return;
    while (!value.empty() && value.back() == 0) value = value.first(value.size() - 1);
    one.name = to_text(value);
  });
  return one != before;
}

bool link_table::on_address(bytes_view payload, bool is_new) {
  ifaddrmsg info;
  if (!take(payload, info) || info.ifa_scope == RT_SCOPE_LINK) return false;
  std::optional<ip_address> address;
  for_attributes(payload, [&](std::uint16_t type, bytes_view value) {
    // Of a point-to-point link IFA_ADDRESS is the other end.
    if (type == IFA_LOCAL || (type == IFA_ADDRESS && !address))
      if (auto parsed = ip_address::from_octets(value)) address = *parsed;
  });
  if (!address) return false;
  auto& addresses = links_[info.ifa_index].addresses;
  return is_new ? addresses.insert(*address).second : addresses.erase(*address) != 0;
}

std::vector<link> link_table::links() const {
  std::vector<link> list;
  for (const auto& [index, one] : links_)
    if (!one.name.empty()) list.push_back(one);
  return list;
}

// --- who says it ---------------------------------------------------------------------------------

result<std::unique_ptr<link_watch>> link_watch::start(listener who) {
  std::unique_ptr<link_watch> made{new link_watch};
  made->who_ = std::move(who);
  made->socket_ = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
  constexpr unsigned groups =
      RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (!made->socket_ || mnl_socket_bind(made->socket_, groups, MNL_SOCKET_AUTOPID) != 0)
    return refused("socket");
  made->end_event_ = eventfd(0, EFD_CLOEXEC);
  if (made->end_event_ < 0) return refused("eventfd");
  if (!made->ask_for_all()) return refused("dump");
  made->thread_ = std::thread{[watch = made.get()] { watch->run(); }};
  return made;
}

link_watch::~link_watch() {
  if (thread_.joinable()) {
    std::uint64_t one = 1;
    if (write(end_event_, &one, sizeof one) != static_cast<ssize_t>(sizeof one)) std::abort();
    thread_.join();
  }
  if (end_event_ >= 0) close(end_event_);
  if (socket_) mnl_socket_close(socket_);
}

bool link_watch::ask(std::uint16_t type, std::size_t header_size) {
  alignas(nlmsghdr) std::array<char, 128> buffer{};
  auto* head = mnl_nlmsg_put_header(buffer.data());
  head->nlmsg_type = type;
  head->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  head->nlmsg_seq = ++sequence_;
  mnl_nlmsg_put_extra_header(head, header_size);  // zeros: of any family
  return mnl_socket_sendto(socket_, head, head->nlmsg_len) >= 0;
}

// At the start, and when something was said that could not be heard.
bool link_watch::ask_for_all() {
  table_.clear();
  is_complete_ = false;
  asks_links_ = true;
  return ask(RTM_GETLINK, sizeof(ifinfomsg));
}

void link_watch::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals are the main program's
  for (;;) {
    pollfd watched[2] = {{end_event_, POLLIN, 0}, {mnl_socket_get_fd(socket_), POLLIN, 0}};
    poll(watched, 2, -1);
    if (watched[0].revents != 0) return;
    receive();
  }
}

void link_watch::on_dump_end(std::uint32_t number) {
  if (number != sequence_) {
    ask_for_all();  // that of before something was lost; the new one was refused meanwhile
  } else if (std::exchange(asks_links_, false)) {
    ask(RTM_GETADDR, sizeof(ifaddrmsg));
  } else {
    is_complete_ = true;
  }
}

void link_watch::receive() {
  bytes datagram(datagram_size_max);
  bool has_links = false, has_routes = false, has_lost = false;
  for (;;) {
    auto size = mnl_socket_recvfrom(socket_, datagram.data(), datagram.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
      has_lost = true;
      continue;
    }
    if (size <= 0) break;
    auto said = bytes_view{datagram}.first(static_cast<std::size_t>(size));
    auto made = table_.apply(said);
    has_links = has_links || made.has_links;
    has_routes = has_routes || made.has_routes;
    has_lost = has_lost || made.is_broken;
    // The end of a dump: in a datagram of its own, or behind the last of its objects.
    for (auto rest = said; rest.size() >= sizeof(nlmsghdr);) {
      nlmsghdr head;
      std::memcpy(&head, rest.data(), sizeof head);
      if (head.nlmsg_len < sizeof head || head.nlmsg_len > rest.size()) break;
      if ((head.nlmsg_flags & NLM_F_DUMP_INTR) != 0) has_lost = true;
      if (head.nlmsg_type == NLMSG_DONE && !is_complete_) {
        on_dump_end(head.nlmsg_seq);
        has_links = has_links || is_complete_;
      }
      rest = rest.subspan(std::min(aligned(head.nlmsg_len), rest.size()));
    }
  }
  if (has_lost) {
    ask_for_all();
    has_routes = true;
  }
  if (has_links && is_complete_ && who_.on_links) who_.on_links(table_.links());
  if (has_routes && who_.on_routes) who_.on_routes();
}

}  // namespace imago::kernel_if
