// The faults that an imagod started with --allow-impair can be told to make, as one table: the
// daemon, `imagoctl impair --list` and the manual page say the same. No CAF here.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace imago::actors {

enum class fault_kind : std::uint8_t {
  drop,
  delay,
  duplicate,
  corrupt,
  stall_crypto,
  fail_kernel,
  freeze_client,
};

struct fault_argument {
  std::string_view name{};   // the key in vici, the option of imagoctl; empty: none
  std::string_view value{};  // what stands for the value in a help text
  std::string_view story{};
  bool is_required = false;
};

struct fault_description {
  fault_kind kind{};
  std::string_view name;   // of the fault, as vici's `fault` and imagoctl's first argument
  std::string_view story;  // what it does, one or two sentences
  std::string_view example;
  std::array<fault_argument, 5> arguments{};
};

namespace fault_arguments {
inline constexpr fault_argument message{
    "message", "KIND",
    "an exchange (IKE_AUTH), with 'request' or 'response' behind it or alone; or 'any'. Each "
    "datagram counts, so a retransmission or a fragment is one more",
    true};
inline constexpr fault_argument direction{"direction", "sent|received|both",
                                          "which way it goes, seen from this daemon (both)"};
inline constexpr fault_argument nth{"nth", "N", "the N-th one from now on (1: the next)"};
inline constexpr fault_argument count{"count", "N", "so many in a row, from that one on (1)"};
inline constexpr fault_argument delay{"seconds", "S", "how long, for example 0.5", true};
inline constexpr fault_argument until{"seconds", "S",
                                      "lifted after so long; without it, by impair-clear"};
}  // namespace fault_arguments

// clang-format off: a table
inline constexpr fault_description fault_table[] = {
    {fault_kind::drop,
     "drop",
     "Loses a message: what is to be sent is not, what was received is not seen.",
     "imagoctl impair drop --message \"IKE_AUTH response\" --nth 2",
     {fault_arguments::message, fault_arguments::nth, fault_arguments::count,
      fault_arguments::direction}},
    {fault_kind::delay,
     "delay",
     "Holds a message back for some seconds; others overtake it.",
     "imagoctl impair delay --message \"CREATE_CHILD_SA request\" --seconds 0.5 --direction sent",
     {fault_arguments::message, fault_arguments::delay, fault_arguments::nth,
      fault_arguments::count, fault_arguments::direction}},
    {fault_kind::duplicate,
     "duplicate",
     "Lets a message come, or go, twice.",
     "imagoctl impair duplicate --message \"INFORMATIONAL request\" --direction received",
     {fault_arguments::message, fault_arguments::nth, fault_arguments::count,
      fault_arguments::direction}},
    {fault_kind::corrupt,
     "corrupt",
     "Changes the last octet of a message: of a protected one, its integrity check then fails.",
     "imagoctl impair corrupt --message \"IKE_AUTH request\" --direction received",
     {fault_arguments::message, fault_arguments::nth, fault_arguments::count,
      fault_arguments::direction}},
    {fault_kind::stall_crypto,
     "stall-crypto",
     "The crypto pool takes jobs but begins none until the fault is lifted; then all of them.",
     "imagoctl impair stall-crypto --seconds 5",
     {fault_arguments::until}},
    {fault_kind::fail_kernel,
     "fail-kernel",
     "Refuses a request to the data plane, which does not see it, with an error.",
     "imagoctl impair fail-kernel --request install_sa --error no_buffer_space",
     {fault_argument{"request", "NAME",
                     "allocate_spi, install_sa, remove_sa, install_policy, remove_policy, "
                     "update_sa, query_sa, query_activity, flush; or 'any'",
                     true},
      fault_argument{"error", "NAME",
                     "no_buffer_space (the default), no_such_sa, already_exists, out_of_memory, "
                     "data_plane_busy, data_plane_lost, not_supported, system_error"},
      fault_arguments::nth, fault_arguments::count}},
    {fault_kind::freeze_client,
     "freeze-client",
     "A control client is neither read nor written, as if it had stopped reading. Too much that "
     "waits for it ends it.",
     "imagoctl impair freeze-client --name newest --seconds 10",
     {fault_argument{"name", "NUMBER|newest",
                     "its number, as the log and `imagoctl impair --status` show it; newest: the "
                     "last one that connected, but who asks",
                     true},
      fault_arguments::until}},
};
// clang-format on

}  // namespace imago::actors
