// The table of keys: level, key, kind of value, how it is handled. To add a key: one line in
// keys.cpp. Private to core/config and its tests.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/config/connection.hpp"
#include "core/config/settings.hpp"
#include "core/config/values.hpp"

namespace imago::config {

// Where what is being read comes from.
struct load_context {
  const file_access* files = nullptr;  // borrowed for one call; none: no files may be named
  std::string base_directory;
  bool is_message = false;  // from a vici message: lists come as lists, certificates inline
};

// A value as it came: one text, or the items of a list.
using arguments = std::vector<std::string>;

struct value_kind {
  std::string_view name;
  bool is_list = false;
  std::string_view expects;     // completes "write ..."
  std::string_view words = {};  // if any, the only ones that are good, one blank apart
  bool (*is_valid)(std::string_view) = nullptr;
};

template <class Draft>
struct key_row {
  std::string_view key;  // "id*": any key that begins so
  const value_kind* kind = nullptr;
  // nullptr: not done by this version, then only the values in `inert` are taken.
  status (*read)(Draft&, const arguments&) = nullptr;
  // Words, one blank apart; booleans, numbers, times: any spelling. With `read`: what it takes of
  // words that this version does not all do. The first is told as what to write instead.
  std::string_view inert = {};
};

// --- what the rows fill: a model and what was left open ---
struct connection_draft : connection_config {
  std::optional<duration> given_rekey_time, given_over_time, given_rand_time;
};
template <class T>
struct given_lifetimes {
  std::optional<T> rekey, life, rand;
};
struct child_draft : child_config {
  given_lifetimes<duration> time;
  given_lifetimes<std::uint64_t> octets, packets;
};
struct end_draft {
  const load_context* context = nullptr;
  authentication_choice auth;
  config::identity identity;
  std::vector<bytes> certificates, authorities;
};
struct certificate_draft {
  const load_context* context = nullptr;
  std::string folder;
  std::optional<bytes> der;
};
struct shared_key_draft {
  std::optional<secret> value;
  std::vector<identity> owners;
};
struct private_key_draft {
  std::string file;
  secret passphrase;
};
struct authority_draft {
  std::string cacert, file;
};

std::span<const key_row<connection_draft>> connection_keys();
std::span<const key_row<end_draft>> local_keys();
std::span<const key_row<end_draft>> remote_keys();
std::span<const key_row<certificate_draft>> certificate_keys();
std::span<const key_row<child_draft>> child_keys();
std::span<const key_row<shared_key_draft>> shared_key_keys();
std::span<const key_row<private_key_draft>> private_key_keys();
std::span<const key_row<authority_draft>> authority_keys();

// One line of the whole table, for hints, for tests and for printing.
struct known_key {
  std::string_view level;  // "connections.<conn>.local"
  std::string_view key;
  const value_kind* kind;
  bool is_supported;
  std::string_view inert;
};
const std::vector<known_key>& known_keys();

// Is `text` a value that a row of this kind takes as asking for nothing?
bool is_inert(const value_kind& kind, std::string_view inert, std::string_view text);
// The content of a file named in a configuration: absolute, or below base_directory/folder.
std::string credential_path(const load_context& context, std::string_view folder,
                            std::string_view file);
result<std::string> read_credential(const load_context& context, const std::string& path);

}  // namespace imago::config
