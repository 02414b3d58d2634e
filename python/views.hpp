// What a script sees of a host: values, taken when it asks. Nothing is run for it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "python/bind.hpp"

namespace imago::python {

struct child_sa_values {
  std::string name, state, mode, algorithms;
  std::uint32_t inbound_spi = 0, outbound_spi = 0, reqid = 0;
  std::vector<std::string> local_selectors, remote_selectors;
  bool is_encapsulated = false, created_by_us = false;
};

struct ike_sa_values {
  std::string name, connection, state, role, algorithms;
  std::string local, remote, local_identity, remote_identity;
  std::uint64_t initiator_spi = 0, responder_spi = 0, epoch = 0;
  std::vector<child_sa_values> child_sas;
};

struct connection_values {
  std::string name;
  std::vector<std::string> children;
};

struct kernel_sa_values {
  std::string direction, source, destination, mode, algorithms;
  std::uint32_t spi = 0, reqid = 0;
  std::size_t key_fingerprint = 0;
  std::optional<std::string> encap_local, encap_remote;
  std::vector<std::string> local_selectors, remote_selectors;
  std::uint64_t octets = 0, packets = 0;
};
struct kernel_policy_values {
  std::uint32_t reqid = 0;
  std::string mode, outer_local, outer_remote;
  std::vector<std::string> local_selectors, remote_selectors;
};
struct larval_sa_values {
  std::uint32_t spi = 0;
  std::string destination, remote;
};

struct fact_values {
  std::string name, level, group, connection, story, line;
  std::uint64_t ike_sa = 0;
  double seconds = 0;
  std::map<std::string, std::string> fields;
};

std::vector<ike_sa_values> ike_sas_of(const world::world& in, const world::host& host);
std::vector<connection_values> connections_of(const world::host& host);
std::vector<kernel_sa_values> kernel_sas_of(const kernel_if::fake_backend& from);
std::vector<kernel_policy_values> kernel_policies_of(const kernel_if::fake_backend& from);
std::vector<larval_sa_values> larval_sas_of(const kernel_if::fake_backend& from);
std::vector<fact_values> journal_of(world::host& host);

}  // namespace imago::python
