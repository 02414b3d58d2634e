// The interfaces of this host, as values.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "core/base/address.hpp"

namespace imago::kernel_if {

struct link {
  std::uint32_t index = 0;
  std::string name;
  bool is_up = false;              // set up, and with carrier
  std::set<ip_address> addresses;  // without link-local ones
  friend bool operator==(const link&, const link&) = default;
};

}  // namespace imago::kernel_if
