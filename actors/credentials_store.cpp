#include "actors/engine_parts.hpp"

namespace imago::actors {

namespace {

// Connections that did not change keep their object, so that the engine can tell.
void keep_unchanged(std::vector<config::connection_config_ptr>& fresh,
                    const ikev2::policy& current) {
  for (auto& one : fresh)
    if (auto known = current.find(one->name); known && *known->config == *one) one = known->config;
}

}  // namespace

status engine_parts::credentials_store::publish(ikev2::policy_parts files,
                                                ikev2::policy_parts control) {
  if (current_) {
    keep_unchanged(files.connections, *current_);
    keep_unchanged(control.connections, *current_);
  }
  ikev2::policy_parts all = files;
  auto join = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  join(all.connections, control.connections);
  join(all.shared_keys, control.shared_keys);
  join(all.private_keys, control.private_keys);
  join(all.certificates, control.certificates);
  join(all.authorities, control.authorities);
  auto built = ikev2::build_policy(*shared_->library, std::move(all));
  if (!built) return built.failure();
  files_ = std::move(files);
  control_ = std::move(control);
  current_ = *built;
  // The demux from here, so that whatever arrives after our return meets the new policy.
  shared_->demux.tell(update_policy{current_});
  shared_->engine.tell(replace_policy{current_, 0, {}});
  return {};
}

status engine_parts::credentials_store::replace_files(ikev2::policy_parts parts) {
  std::lock_guard guard{mutex_};
  return publish(std::move(parts), control_);
}

status engine_parts::credentials_store::change_control(
    const std::function<status(ikev2::policy_parts&)>& change) {
  std::lock_guard guard{mutex_};
  auto edited = control_;
  if (auto changed = change(edited); !changed) return changed;
  return publish(files_, std::move(edited));
}

ikev2::policy_parts engine_parts::credentials_store::files() const {
  std::lock_guard guard{mutex_};
  return files_;
}

ikev2::policy_parts engine_parts::credentials_store::control() const {
  std::lock_guard guard{mutex_};
  return control_;
}

ikev2::policy_ptr engine_parts::credentials_store::current() const {
  std::lock_guard guard{mutex_};
  return current_;
}

}  // namespace imago::actors
