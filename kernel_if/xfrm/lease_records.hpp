// What Imago put into the kernel, as records of a file: written before the kernel is asked, read
// by the process that comes after one that was killed. Pure functions; what is read may be cut off
// or spoilt anywhere.
//
// File: a header, then records, each with its own checksum. The header says where the leases were
// valid (this boot, this network namespace) and the salt of their labels. A label is what marks an
// object of the kernel as ours without changing what it matches: the sequence number of an SA, the
// index of a policy.
#pragma once

#include <map>

#include "kernel_if/xfrm/messages.hpp"

namespace imago::kernel_if::xfrm {

struct lease_origin {
  std::string boot;  // the kernel's boot_id; at most 63 octets
  std::uint64_t namespace_device = 0;
  std::uint64_t namespace_inode = 0;
  std::uint64_t salt = 0;
  friend bool operator==(const lease_origin&, const lease_origin&) = default;
  bool is_same_place(const lease_origin& other) const {
    return boot == other.boot && namespace_device == other.namespace_device &&
           namespace_inode == other.namespace_inode;
  }
};

// A larval one has no reqid yet.
struct sa_lease {
  sa_key key;
  ip_address source;
  std::uint32_t reqid = 0;
  friend bool operator==(const sa_lease&, const sa_lease&) = default;
};

// Those of a key that were noted since it was last gone: the kernel has one of them.
struct lease_set {
  std::map<sa_key, std::vector<sa_lease>> sas;
  std::map<policy_key, std::vector<policy_entry>> policies;
  std::size_t size() const { return sas.size() + policies.size(); }
  bool empty() const { return size() == 0; }
};

bytes encode_lease_header(const lease_origin& origin);
bytes encode_lease(const sa_lease& one);
bytes encode_lease(const policy_entry& one);
bytes encode_lease_end(const sa_key& key);  // it is gone
bytes encode_lease_end(const policy_key& key);

struct lease_file {
  lease_origin origin;
  lease_set leases;
  std::size_t octets = 0;  // up to the first record that is cut off or spoilt
};
// Errors: input_too_short, bad_value (not such a file). Records after a spoilt one are not read.
result<lease_file> parse_leases(bytes_view octets);

// The labels that belong to a salt; never 0.
sequence label_of(std::uint64_t salt, data_plane::spi spi);
std::uint32_t index_of(std::uint64_t salt, const policy_key& key);

// Is what the kernel shows the thing that was noted, by its name, its label and all that was said
// of it?
bool is_ours(const lease_set& leases, std::uint64_t salt, const sa_image& shown);
bool is_ours(const lease_set& leases, std::uint64_t salt, const policy_image& shown);

}  // namespace imago::kernel_if::xfrm
