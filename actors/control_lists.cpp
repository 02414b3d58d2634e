// What is streamed: SAs, policies, connections, certificates, authorities. A stream pauses while
// the client does not read.
#include <algorithm>
#include <map>
#include <set>

#include "actors/control_commands.hpp"
#include "actors/control_listing.hpp"

namespace imago::actors {

namespace {

// A data plane that does not answer for so long is listed without its counters.
constexpr auto counters_wait_max = std::chrono::milliseconds{500};

// A stream of events made one by one.
class stream_command final : public control_command {
 public:
  using next_message = std::function<std::optional<vici::message>()>;
  stream_command(control_client& client, std::string event, next_message next)
      : control_command{client}, event_{std::move(event)}, next_{std::move(next)} {}

  void begin() override { on_drained(); }
  void on_drained() override {
    control_client::burst together{client_};
    while (!client_.should_wait()) {
      auto message = next_();
      if (!message) return client_.answer({});
      client_.stream(event_, std::move(*message));
    }
  }

 private:
  std::string event_;
  next_message next_;
};

vici::message wrapped(const std::string& name, vici::message section) {
  vici::message out;
  out.add_section(name, std::move(section));
  return out;
}

// list-sas: as published, with the counters of the data plane, batch by batch.
class list_sas_command final : public control_command {
 public:
  list_sas_command(control_client& client, const vici::message& request)
      : control_command{client},
        child_{request.value_or("child", "")},
        child_id_{static_cast<std::uint64_t>(
            std::max<std::int64_t>(0, request.number_or("child-id", 0)))} {
    which_.ike = request.value_or("ike", "");
    which_.ike_id =
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, request.number_or("ike-id", 0)));
  }

  // A filter for Child SAs leaves the IKE SAs in the list, so it is not the engine's.
  void begin() override {
    client_.shared().engine.tell(list_ike_sas{which_, client_.command(), client_.self()});
  }
  void on_listed(const ike_sas_listed& listed) override {
    list_ = listed.list;
    advance();
  }
  void on_kernel_reply(kernel_reply& reply) override {
    auto at = questions_.find(reply.id);
    if (at == questions_.end() || !reply.reply.has_value()) return;
    auto answer = reply.reply.take();
    const auto* usage = answer ? std::get_if<data_plane::sa_usage>(&*answer) : nullptr;
    if (usage) *at->second = *usage;
    questions_.erase(at);
    if (!questions_.empty()) return;
    client_.cancel_timer();
    advance();
  }
  void on_timeout() override {
    is_silent_ = true;
    questions_.clear();
    advance();
  }
  void on_drained() override { advance(); }

 private:
  // Asks for the counters of the next batch; false: nothing is asked, it can be told.
  bool ask_for_batch() {
    end_ = std::min(begun_ + limits::control_listing_batch, list_.size());
    usages_.clear();
    client_.arm_timer(counters_wait_max);
    for (auto index = begun_; index < end_ && !is_silent_; ++index)
      for (const auto& child : list_[index]->children)
        if (is_wanted(child)) ask_for(child);
    if (questions_.empty()) client_.cancel_timer();
    return !questions_.empty();
  }
  void ask_for(const child_sa_status& child) {
    auto& usage = usages_[child.id];
    ask(child.inbound, usage.inbound);
    ask(child.outbound, usage.outbound);
  }
  void ask(const data_plane::sa_id& id, std::optional<data_plane::sa_usage>& into) {
    if (id.spi == 0) return;
    auto number = client_.shared().new_id();
    questions_[number] = &into;
    client_.shared().kernel.tell(
        kernel_request{number, own(data_plane::request{data_plane::query_sa{id}}), client_.self()});
  }
  bool is_wanted(const child_sa_status& child) const {
    return (child_.empty() || child.name == child_) && (child_id_ == 0 || child.id == child_id_);
  }
  // Goes on until it has to wait, for counters or for the client.
  void advance() {
    if (!questions_.empty()) return;
    control_client::burst together{client_};
    while (begun_ < list_.size()) {
      if (begun_ == end_ && ask_for_batch()) return;
      if (client_.should_wait()) return;
      tell(*list_[begun_++]);
    }
    client_.answer({});
  }
  void tell(const ike_sa_status& sa) {
    auto now = client_.shared().time->now();
    auto out = message_of(sa, now);
    vici::message children;
    for (const auto& child : sa.children)
      if (is_wanted(child))
        children.add_section(section_name(child), message_of(child, usages_[child.id], now));
    out.add_section("child-sas", std::move(children));
    client_.stream("list-sa", wrapped(section_name(sa), std::move(out)));
  }

  sa_selector which_;
  std::string child_;
  std::uint64_t child_id_;
  std::vector<ike_sa_status_ptr> list_;
  std::size_t begun_ = 0, end_ = 0;              // the batch
  std::map<std::uint64_t, child_usage> usages_;  // by Child SA; its places are pointed at
  std::map<std::uint64_t, std::optional<data_plane::sa_usage>*> questions_;
  bool is_silent_ = false;
};

// list-policies: those that stand without a Child SA, by the kinds asked for.
class list_policies_command final : public control_command {
 public:
  list_policies_command(control_client& client, const vici::message& request)
      : control_command{client},
        child_{request.value_or("child", "")},
        ike_{request.value_or("ike", "")} {
    using data_plane::processing;
    for (auto [key, kind] :
         {std::pair{"trap", processing::protect}, std::pair{"pass", processing::bypass},
          std::pair{"drop", processing::discard}})
      if (request.find(key)) wanted_.insert(kind);
  }

  void begin() override {
    if (wanted_.empty()) return client_.answer({});
    client_.shared().engine.tell(
        list_child_policies{ike_, child_, client_.command(), client_.self()});
  }
  void on_policies_listed(const child_policies_listed& listed) override {
    for (const auto& one : listed.list)
      if (wanted_.count(one.policy.processing) != 0) waiting_.push_back(one);
    on_drained();
  }
  void on_drained() override {
    control_client::burst together{client_};
    for (; told_ < waiting_.size(); ++told_) {
      if (client_.should_wait()) return;
      const auto& one = waiting_[told_];
      client_.stream("list-policy",
                     wrapped(section_name(one.connection + "/" + one.child), message_of(one)));
    }
    client_.answer({});
  }

 private:
  std::set<data_plane::processing> wanted_;
  std::string child_, ike_;
  std::vector<child_policy_status> waiting_;
  std::size_t told_ = 0;
};

}  // namespace

std::unique_ptr<control_command> make_list_sas(control_client& client, vici::message& request) {
  return std::make_unique<list_sas_command>(client, request);
}

std::unique_ptr<control_command> make_list_policies(control_client& client,
                                                    vici::message& request) {
  return std::make_unique<list_policies_command>(client, request);
}

std::unique_ptr<control_command> make_list_connections(control_client& client,
                                                       vici::message& request) {
  auto next = [policy = client.context().parts.credentials->current(),
               ike = request.value_or("ike", ""),
               index = std::size_t{0}]() mutable -> std::optional<vici::message> {
    while (policy && index < policy->connections.size()) {
      const auto& connection = *policy->connections[index++]->config;
      if (ike.empty() || connection.name == ike)
        return wrapped(section_name(connection.name), message_of(connection));
    }
    return std::nullopt;
  };
  return std::make_unique<stream_command>(client, "list-conn", std::move(next));
}

namespace {

struct listed_certificate {
  crypto::certificate_ptr certificate;
  bool is_authority = false, has_key = false;
};

// What was loaded, from both origins, each once.
std::vector<listed_certificate> all_certificates(const control_context& context) {
  std::vector<listed_certificate> found;
  auto add = [&](const ikev2::policy_parts& parts, const ikev2::policy_parts& keys,
                 bool authority) {
    for (const auto& one : authority ? parts.authorities : parts.certificates) {
      auto is_same = [&](const auto& known) { return known.certificate->der() == one->der(); };
      if (std::any_of(found.begin(), found.end(), is_same)) continue;
      auto fits = [&](const auto& key) {
        return key->public_half()->key_id() == one->key()->key_id();
      };
      bool has_key = std::any_of(parts.private_keys.begin(), parts.private_keys.end(), fits) ||
                     std::any_of(keys.private_keys.begin(), keys.private_keys.end(), fits);
      found.push_back({one, authority, has_key});
    }
  };
  auto files = context.parts.credentials->files();
  auto control = context.parts.credentials->control();
  for (bool authority : {false, true}) {
    add(files, control, authority);
    add(control, files, authority);
  }
  return found;
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

}  // namespace

std::unique_ptr<control_command> make_list_certificates(control_client& client,
                                                        vici::message& request) {
  auto type = request.value_or("type", "ANY");
  auto flag = request.value_or("flag", "ANY");
  auto subject = request.value_or("subject", "");
  bool wants_x509 = is_one_of(type, {"", "ANY", "any", "X509", "x509", "x509ca"});
  bool wants_authorities = is_one_of(flag, {"", "ANY", "CA"}) && type != "x509";
  bool wants_others = is_one_of(flag, {"", "ANY", "NONE"}) && type != "x509ca";
  std::vector<listed_certificate> list;
  if (wants_x509) {
    for (auto& one : all_certificates(client.context())) {
      if (!(one.is_authority ? wants_authorities : wants_others)) continue;
      if (!subject.empty() && one.certificate->subject() != subject) continue;
      list.push_back(std::move(one));
    }
  }
  auto next = [list = std::move(list),
               index = std::size_t{0}]() mutable -> std::optional<vici::message> {
    if (index == list.size()) return std::nullopt;
    const auto& one = list[index++];
    return message_of(*one.certificate, one.is_authority, one.has_key);
  };
  return std::make_unique<stream_command>(client, "list-cert", std::move(next));
}

std::unique_ptr<control_command> make_list_authorities(control_client& client,
                                                       vici::message& request) {
  std::map<std::string, bytes> list;
  {
    std::lock_guard guard{client.context().authorities_mutex};
    list = client.context().authorities;
  }
  auto name = request.value_or("name", "");
  if (!name.empty())
    for (auto at = list.begin(); at != list.end();)
      at = at->first == name ? std::next(at) : list.erase(at);
  auto library = client.shared().library;
  auto next = [list = std::move(list), library]() mutable -> std::optional<vici::message> {
    while (!list.empty()) {
      auto one = list.extract(list.begin());
      auto certificate = crypto::certificate::load(*library, one.mapped());
      if (!certificate) continue;
      vici::message out;
      out.add("cacert", (*certificate)->subject());
      return wrapped(section_name(one.key()), std::move(out));
    }
    return std::nullopt;
  };
  return std::make_unique<stream_command>(client, "list-authority", std::move(next));
}

}  // namespace imago::actors
