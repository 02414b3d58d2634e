// imagoctl: what people and scripts tell a running imagod.
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "tools/control_connection.hpp"
#include "tools/impair_text.hpp"
#include "tools/status_text.hpp"

namespace {

using namespace imago;  // NOLINT(google-build-using-namespace): a program, not a library

enum exit_code : int {
  exit_done = 0,
  exit_refused = 1,
  exit_usage = 2,
  exit_unreachable = 3,
  exit_timed_out = 4,
};

struct arguments {
  std::string uri = "unix:///run/imago/vici";
  double timeout_s = 0;  // 0: the command's own
  std::string name, ike, child;
  std::uint64_t ike_id = 0, child_id = 0;
  bool json = false, force = false, quiet = false, returns_at_once = false;
  int level = 1;
  impair_arguments impair;
};

void say(std::string_view text) { fmt::print(stderr, "imagoctl: {}\n", escaped(text)); }

int complain(const error& failure) {
  say(failure.where.empty() ? std::string{text_of(failure.code)} : failure.where);
  return failure.code == errc::timed_out ? exit_timed_out : exit_refused;
}

// One connection and the deadline of the whole command.
class session {
 public:
  static result<session> open(const arguments& chosen, double timeout_s) {
    auto connection = control_connection::open(chosen.uri);
    if (!connection) return connection.failure();
    session made{std::move(*connection)};
    auto seconds = chosen.timeout_s > 0 ? chosen.timeout_s : timeout_s;
    if (seconds > 0) {
      // The daemon's own limit comes first, so that its words are heard.
      made.timeout_ms = static_cast<std::int64_t>(seconds * 1000);
      made.set_deadline(std::chrono::milliseconds{made.timeout_ms + 3000});
    }
    return made;
  }
  void set_deadline(std::chrono::milliseconds from_now) {
    connection.set_deadline(control_connection::clock::now() + from_now);
  }

  control_connection connection;
  std::int64_t timeout_ms = 0;

 private:
  explicit session(control_connection opened) : connection{std::move(opened)} {}
};

void print_log(const vici::packet& event) {
  auto about = escaped(event.body.value_or("ikesa-name", ""));
  if (auto id = event.body.value_or("ikesa-uniqueid", ""); !id.empty()) about += "#" + escaped(id);
  fmt::print("{} {}{}{}\n", escaped(event.body.value_or("group", "")), about,
             about.empty() ? "" : "  ", escaped(event.body.value_or("msg", "")));
  std::fflush(stdout);
}

// success=yes, or the daemon's reason.
int verdict(const result<vici::message>& response) {
  if (!response) return complain(response.failure());
  if (response->value_or("success", "yes") == "yes") return exit_done;
  auto why = response->value_or("errmsg", "the daemon refused without a reason");
  say(why);
  // What the daemon says when the time is up: "... not established after 500ms".
  return why.find(" not established after ") != why.npos ? exit_timed_out : exit_refused;
}

using command = int (*)(const arguments&, session&);

struct found_name {
  bool is_connection = false, is_child = false;
};

// What the daemon knows under a name; a connection goes before a child of the same name.
result<found_name> look_up(session& with, const std::string& name) {
  found_name found;
  if (auto listening = with.connection.listen_to("list-conn"); !listening)
    return listening.failure();
  auto look = [&](const vici::packet& event) {
    for (const auto& one : event.body.elements) {
      if (one.name == name) found.is_connection = true;
      const auto* body = std::get_if<std::unique_ptr<vici::message>>(&one.content);
      const auto* children = body ? (*body)->find_section("children") : nullptr;
      if (!children) continue;
      for (const auto& child : children->elements) found.is_child |= child.name == name;
    }
  };
  auto listed = with.connection.call("list-conns", {}, look);
  if (!listed) return listed.failure();
  return found;
}

// The children that an `up CONNECTION` means.
result<std::vector<std::string>> children_of(session& with, const std::string& connection) {
  std::vector<std::string> names;
  vici::message request;
  request.add("ike", connection);
  auto listed = with.connection.call("list-conns", std::move(request), [&](const auto& event) {
    for (const auto& one : event.body.elements) {
      const auto* body = std::get_if<std::unique_ptr<vici::message>>(&one.content);
      const auto* children = body ? (*body)->find_section("children") : nullptr;
      if (!children || one.name != connection) continue;
      for (const auto& child : children->elements) names.push_back(child.name);
    }
  });
  if (!listed) return listed.failure();
  return names;
}

int initiate(const arguments& chosen, session& with, const std::string& ike,
             const std::string& child) {
  vici::message request;
  if (!child.empty()) request.add("child", child);
  if (!ike.empty()) request.add("ike", ike);
  request.add("timeout", std::to_string(with.timeout_ms));
  request.add("loglevel", std::to_string(chosen.level));
  return verdict(with.connection.call("initiate", std::move(request), print_log));
}

status listen_to_command(const arguments& chosen, session& with) {
  return chosen.quiet ? status{} : with.connection.listen_to("control-log");
}

int up(const arguments& chosen, session& with) {
  auto found = look_up(with, chosen.name);
  if (!found) return complain(found.failure());
  if (auto listening = listen_to_command(chosen, with); !listening)
    return complain(listening.failure());
  if (!found->is_connection) return initiate(chosen, with, chosen.ike, chosen.name);
  auto children = children_of(with, chosen.name);
  if (!children) return complain(children.failure());
  if (children->empty()) return initiate(chosen, with, chosen.name, "");
  for (const auto& child : *children)
    if (int code = initiate(chosen, with, chosen.name, child); code != exit_done) return code;
  return exit_done;
}

// The names and numbers that were given. False if there is none.
bool add_selector(const arguments& chosen, vici::message& request) {
  if (!chosen.ike.empty()) request.add("ike", chosen.ike);
  if (!chosen.child.empty()) request.add("child", chosen.child);
  if (chosen.ike_id != 0) request.add("ike-id", std::to_string(chosen.ike_id));
  if (chosen.child_id != 0) request.add("child-id", std::to_string(chosen.child_id));
  return !request.elements.empty();
}

// A bare NAME is a connection if there is one of that name, else a child.
status resolve_name(const arguments& chosen, session& with, arguments& resolved) {
  resolved = chosen;
  if (chosen.name.empty()) return {};
  auto found = look_up(with, chosen.name);
  if (!found) return found.failure();
  bool is_child = found->is_child && !found->is_connection;
  (is_child ? resolved.child : resolved.ike) = chosen.name;
  return {};
}

int select(const arguments& chosen, session& with, const std::string& name,
           const std::function<void(vici::message&)>& complete = {}) {
  arguments resolved;
  if (auto done = resolve_name(chosen, with, resolved); !done) return complain(done.failure());
  vici::message request;
  if (!add_selector(resolved, request)) {
    say("say which: NAME, --ike, --child, --ike-id or --child-id");
    return exit_usage;
  }
  if (complete) complete(request);
  return verdict(with.connection.call(name, std::move(request), print_log));
}

int down(const arguments& chosen, session& with) {
  if (auto listening = listen_to_command(chosen, with); !listening)
    return complain(listening.failure());
  return select(chosen, with, "terminate", [&](vici::message& request) {
    if (chosen.force) request.add("force", "yes");
    request.add("timeout", std::to_string(chosen.force ? 0 : with.timeout_ms));
    request.add("loglevel", std::to_string(chosen.level));
  });
}

// Does an event ike-rekey or child-rekey tell of what was asked for?
bool is_asked_for(const arguments& chosen, const vici::packet& event) {
  bool wants_child = !chosen.child.empty() || chosen.child_id != 0;
  if (event.name != (wants_child ? "child-rekey" : "ike-rekey")) return false;
  for (const auto& one : event.body.elements) {
    const auto* body = std::get_if<std::unique_ptr<vici::message>>(&one.content);
    if (!body || (!chosen.ike.empty() && one.name != chosen.ike)) continue;
    if (!wants_child || chosen.child.empty()) return true;
    const auto* children = (*body)->find_section("child-sas");
    for (std::size_t at = 0; children && at < children->elements.size(); ++at)
      if (children->elements[at].name == chosen.child) return true;
  }
  return false;
}

int rekey(const arguments& chosen, session& with) {
  for (const char* event : {"ike-rekey", "child-rekey"})
    if (auto listening = with.connection.listen_to(event); !listening)
      return complain(listening.failure());
  vici::message request;
  if (!add_selector(chosen, request)) {
    say("say which: --ike, --child, --ike-id or --child-id");
    return exit_usage;
  }
  std::int64_t rekeyed = 0;
  auto count = [&](const vici::packet& event) { rekeyed += is_asked_for(chosen, event) ? 1 : 0; };
  auto response = with.connection.call("rekey", std::move(request), count);
  if (int code = verdict(response); code != exit_done || chosen.returns_at_once) return code;
  auto wanted = response->number_or("matches", 0);
  with.set_deadline(std::chrono::milliseconds{with.timeout_ms});
  while (rekeyed < wanted) {
    auto event = with.connection.receive();
    if (!event && event.failure().code == errc::timed_out)
      return complain({errc::timed_out,
                       fmt::format("{} of {} SAs rekeyed in time; see status", rekeyed, wanted)});
    if (!event) return complain(event.failure());
    count(*event);
  }
  return exit_done;
}

int kill(const arguments& chosen, session& with) { return select(chosen, with, "kill"); }

int show_status(const arguments& chosen, session& with) {
  if (auto listening = with.connection.listen_to("list-sa"); !listening)
    return complain(listening.failure());
  std::vector<nlohmann::ordered_json> sas;
  vici::message request;
  add_selector(chosen, request);
  auto listed = with.connection.call("list-sas", std::move(request), [&](const auto& event) {
    sas.push_back(json_of_sa(event.body));
  });
  if (!listed) return complain(listed.failure());
  if (chosen.json) {
    nlohmann::ordered_json out = {{"ike-sas", sas}};
    fmt::print("{}\n", out.dump(2, ' ', true, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}", status_table(sas));
  }
  return exit_done;
}

int follow_log(const arguments& chosen, session& with) {
  // More than level 1 is an event of our own: `log` may not tell so much.
  auto event = chosen.level > 1 ? "log-debug" : "log";
  if (auto listening = with.connection.listen_to(event); !listening)
    return complain(listening.failure());
  with.connection.set_deadline(std::nullopt);
  if (chosen.timeout_s > 0)
    with.set_deadline(
        std::chrono::milliseconds{static_cast<std::int64_t>(chosen.timeout_s * 1000)});
  auto ended = with.connection.follow([&](const vici::packet& told) {
    if (told.body.number_or("level", 0) <= chosen.level) print_log(told);
  });
  return ended.failure().code == errc::timed_out ? exit_done : complain(ended.failure());
}

int load(const arguments&, session& with) {
  return verdict(with.connection.call("reload-settings", {}));
}

int show(const arguments& chosen, session& with, const std::string& name) {
  auto response = with.connection.call(name, {});
  if (!response) return complain(response.failure());
  auto object = json_of(*response);
  if (chosen.json || name == "stats")
    fmt::print("{}\n", object.dump(2, ' ', true, nlohmann::json::error_handler_t::replace));
  else
    fmt::print(
        "{} {} ({}, {}, {})\n", escaped(response->value_or("daemon", "")),
        escaped(response->value_or("version", "")), escaped(response->value_or("sysname", "")),
        escaped(response->value_or("release", "")), escaped(response->value_or("machine", "")));
  return exit_done;
}

int show_version(const arguments& chosen, session& with) { return show(chosen, with, "version"); }
int show_stats(const arguments& chosen, session& with) { return show(chosen, with, "stats"); }

int impair(const arguments& chosen, session& with) {
  auto asked = impair_request(chosen.impair);
  if (!asked) return say(asked.failure().where), exit_usage;
  auto response = with.connection.call(asked->first, std::move(asked->second));
  if (int code = verdict(response); code != exit_done) return code;
  if (chosen.json)
    fmt::print("{}\n",
               json_of(*response).dump(2, ' ', true, nlohmann::json::error_handler_t::replace));
  else if (chosen.impair.shows_status)
    fmt::print("{}", impairments_text(*response));
  else if (chosen.impair.clears)
    fmt::print("{} cleared\n", escaped(response->value_or("cleared", "")));
  else
    fmt::print("impairment {}: {}\n", escaped(response->value_or("id", "")),
               escaped(response->value_or("what", "")));
  return exit_done;
}

constexpr double answer_s = 10;     // of what the daemon knows by itself
constexpr double exchange_s = 180;  // of what a peer must answer: retransmission gives up before

constexpr double rekey_s = 30;

struct choice {
  CLI::App* app;
  command run;
  double timeout_s;  // 0: none
};

void add_selection(CLI::App& to, arguments& chosen, bool has_name) {
  if (has_name) to.add_option("NAME", chosen.name, "a connection, or a child of one");
  to.add_option("--ike", chosen.ike, "IKE SAs of this connection");
  to.add_option("--child", chosen.child, "Child SAs of this name");
  to.add_option("--ike-id", chosen.ike_id, "the IKE SA of this number (see status)");
  to.add_option("--child-id", chosen.child_id, "the Child SA of this number (see status)");
}

void declare_changes(CLI::App& app, arguments& chosen, std::vector<choice>& choices) {
  auto add = [&](const char* name, const char* text, command run) {
    choices.push_back({app.add_subcommand(name, text), run, exchange_s});
    return choices.back().app;
  };
  auto* app_up = add("up", "bring up a connection (all its children) or one child", &up);
  app_up->add_option("NAME", chosen.name, "a connection, or a child of one")->required();
  app_up->add_option("--ike", chosen.ike, "the connection that the child belongs to");
  app_up->footer(
      "Waits until the SAs are established and shows how.\n\nexamples:\n"
      "  imagoctl up office              every child of the connection office\n"
      "  imagoctl up --ike office net    the child net of office\n"
      "  imagoctl --timeout 5 up net || echo \"exit code $?: 4 means too late\"");
  auto* app_down = add("down", "end a connection's SAs or a child's; the peer is told", &down);
  add_selection(*app_down, chosen, true);
  app_down->add_flag("--force", chosen.force, "tell the peer, but do not wait for its answer");
  app_down->footer(
      "examples:\n  imagoctl down office\n  imagoctl down --child-id 12\n"
      "  imagoctl --timeout 3 down office");
  auto* app_rekey = add("rekey", "replace the keys of an IKE SA or of a Child SA now", &rekey);
  add_selection(*app_rekey, chosen, false);
  app_rekey->add_flag("--no-wait", chosen.returns_at_once, "return when the SAs have been told");
  choices.back().timeout_s = rekey_s;
  app_rekey->footer(
      "Returns when the new SAs are there.\n\nexamples:\n"
      "  imagoctl rekey --child net\n  imagoctl rekey --ike office");
  auto* app_kill = add("kill", "drop SAs at once, whatever they do; the peer is not asked", &kill);
  add_selection(*app_kill, chosen, true);
  app_kill->footer(
      "For SAs that hang: the actor ends, its keys are wiped, the data plane is emptied.\n"
      "An IKE SA takes all its Child SAs with it.\n\nexamples:\n  imagoctl kill office\n"
      "  imagoctl kill --ike-id 7");
  for (auto* one : {app_up, app_down}) {
    one->add_flag("--quiet,-q", chosen.quiet, "do not show what happens meanwhile");
    one->add_option("--level", chosen.level, "how much is shown of what happens (0 to 3)")
        ->check(CLI::Range(0, 3));
  }
  auto* app_load = add("load", "read the configuration again (as SIGHUP does)", &load);
  app_load->footer(
      "What came over the control socket stays. With an error nothing changes, and the first "
      "error\n"
      "is shown; the daemon's log has them all.");
}

void declare_views(CLI::App& app, arguments& chosen, std::vector<choice>& choices) {
  auto add = [&](const char* name, const char* text, command run, double timeout_s) {
    choices.push_back({app.add_subcommand(name, text), run, timeout_s});
    return choices.back().app;
  };
  auto* app_status =
      add("status", "IKE SAs, their Child SAs, traffic and ages", &show_status, answer_s);
  app_status->add_flag("--json", chosen.json, "one JSON object, {\"ike-sas\": [...]}");
  add_selection(*app_status, chosen, false);
  app_status->footer(
      "examples:\n  imagoctl status\n"
      "  imagoctl status --json | jq '.\"ike-sas\"[].\"child-sas\"[].\"bytes-in\"'");
  auto* app_log = add("log", "follow the daemon's log until interrupted", &follow_log, 0);
  app_log->add_option("--level", chosen.level, "0 (audit) to 3 (everything)")
      ->check(CLI::Range(0, 3));
  app_log->footer("With --timeout it ends by itself, with exit code 0.");
  auto* app_version = add("version", "the daemon's version", &show_version, answer_s);
  app_version->add_flag("--json", chosen.json, "as JSON");
  add("stats", "what the daemon counts, as JSON", &show_stats, answer_s);
  auto* app_impair = add("impair", "make something go wrong, for tests", &impair, answer_s);
  declare_impair(*app_impair, chosen.impair);
  app_impair->add_flag("--json", chosen.json, "what the daemon answers, as JSON");
}

void declare(CLI::App& app, arguments& chosen, std::vector<choice>& choices) {
  app.description("Talks to a running imagod over its control socket.");
  app.require_subcommand(1);
  app.set_version_flag("--version", "imagoctl " IMAGO_VERSION);
  app.add_option("--uri", chosen.uri, "the daemon's control socket, unix://PATH")
      ->envname("IMAGO_URI")
      ->capture_default_str();
  app.add_option("--timeout", chosen.timeout_s, "seconds that the whole command may take")
      ->check(CLI::PositiveNumber);
  app.footer(
      "examples:\n"
      "  imagoctl up office          bring it up, show how\n"
      "  imagoctl status             what is up\n"
      "  imagoctl rekey --child net  new keys for the Child SAs named net\n"
      "  imagoctl down office        end it\n\n"
      "exit codes: 0 done, 1 the daemon refused or it failed, 2 wrong command line,\n"
      "3 no daemon answers, 4 it took too long.\n"
      "`imagoctl COMMAND --help` explains a command.");
  declare_changes(app, chosen, choices);
  declare_views(app, chosen, choices);
}

}  // namespace

int main(int count, char** values) {
  arguments chosen;
  std::vector<choice> choices;
  CLI::App app;
  declare(app, chosen, choices);
  try {
    app.parse(count, values);
  } catch (const CLI::ParseError& wrong) {
    return app.exit(wrong) == 0 ? exit_done : exit_usage;
  }
  for (const auto& one : choices) {
    if (!one.app->parsed()) continue;
    if (chosen.impair.lists) return fmt::print("{}", fault_descriptions()), exit_done;
    auto opened = session::open(chosen, one.timeout_s);
    if (!opened) {
      say(opened.failure().where);
      return opened.failure().code == errc::bad_value ? exit_usage : exit_unreachable;
    }
    return one.run(chosen, *opened);
  }
  return exit_usage;
}
