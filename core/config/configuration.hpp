// From settings to the typed model, all or nothing; every error says file, line, column and what to
// write instead.
#pragma once

#include "core/config/connection.hpp"
#include "core/config/settings.hpp"

namespace imago::config {

// The whole of swanctl.conf's top level: connections, secrets, authorities (pools come later and
// are an error that says so). Files named in it (certificates, keys) are read through `files`,
// relative to x509/, x509ca/, private/ etc. of `base_directory`; the credential folders there are
// loaded too. An unknown key is an error that names the nearest known one. Collects up to 20
// errors, so that an operator mends them in one round.
struct configuration_errors {
  std::vector<error> errors;
};
std::variant<configuration, configuration_errors> build_configuration(
    const section& root, const std::string& base_directory, const file_access& files);

// A path may be a file or a directory (then every *.conf in it, sorted, as one text).
std::variant<configuration, configuration_errors> load_configuration(const std::string& path,
                                                                     const file_access& files);

// One connection, as in load-conn's message; certificates inline (PEM or DER in the value).
// Errors: bad_value etc. with vici's texts: "unknown option: K, config discarded".
result<connection_config> build_connection(const section& connection, const file_access* files,
                                           const std::string& base_directory);

}  // namespace imago::config
