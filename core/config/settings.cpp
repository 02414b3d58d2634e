// The grammar of swanctl.conf (reference: strongSwan's swanctl.conf(5)):
//   file      = statement*
//   statement = name [":" reference {"," reference}] "{" statement* "}"
//             | name "=" {word | string}  until the end of line, "#" or "}"
//             | "include" pattern
#include "core/config/settings.hpp"

#include <algorithm>

#include "core/base/limits.hpp"
#include "core/base/secret.hpp"
#include "core/config/raw_section.hpp"

namespace imago::config {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
bool is_space(char c) { return is_blank(c) || c == '\n'; }
bool is_name(char c) {
  return !is_space(c) && c != '\0' &&
         std::string_view{"#{}:.,=\""}.find(c) == std::string_view::npos;
}

// What one file still has to say.
struct source {
  std::string_view text;
  std::shared_ptr<const std::string> name;
  std::size_t index = 0;
  int line = 1;
  int column = 1;

  bool at_end() const { return index >= text.size(); }
  char peek() const { return at_end() ? '\n' : text[index]; }
  position here() const { return {name, line, column}; }
  char next() {
    char c = text[index++];
    if (c == '\n') {
      ++line;
      column = 1;
    } else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) {
      ++column;  // UTF-8: the octets that continue a character take no column
    }
    return c;
  }
  void skip_blanks() {
    while (!at_end() && is_blank(peek())) next();
  }
  void skip_comment() {
    while (!at_end() && peek() != '\n') next();
  }
  void skip_spaces_and_comments() {
    while (!at_end() && (is_space(peek()) || peek() == '#'))
      if (peek() == '#')
        skip_comment();
      else
        next();
  }
};

error syntax_error(const position& at, const std::string& what) {
  return {errc::bad_syntax, at.text() + ": " + what};
}

std::string shown(const source& in) {
  if (in.at_end()) return "the end of the file";
  if (in.peek() == '\n') return "the end of the line";
  return "'" + escaped(in.text.substr(in.index, 1)) + "'";
}

class settings_parser {
 public:
  explicit settings_parser(const file_access& files) : files_{files} {}

  status parse(std::string_view text, const std::string& name, raw_section& into) {
    if (text.size() > limits::config_text_size_max - std::min(size_, limits::config_text_size_max))
      return {errc::limit_exceeded, name + ": the configuration is larger than 16 MiB"};
    size_ += text.size();
    if (++file_count_ > limits::config_file_count_max)
      return {errc::limit_exceeded, name + ": too many files are included"};
    source in{text, std::make_shared<const std::string>(name)};
    return parse_statements(in, into, std::nullopt);
  }

 private:
  // `opened`: where the section began that a "}" has to close.
  status parse_statements(source& in, raw_section& into, std::optional<position> opened);
  status parse_statement(source& in, raw_section& into);
  status parse_section(source& in, raw_section& into, const std::string& name, const position& at);
  status parse_reference(source& in, raw_section& section);
  status parse_value(source& in, raw_setting& setting);
  status parse_include(source& in, raw_section& into, const position& at);
  result<std::string> parse_string(source& in);
  status count_item(const position& at) {
    if (++item_count_ <= limits::config_item_count_max) return {};
    return {errc::limit_exceeded, at.text() + ": there are too many settings"};
  }

  const file_access& files_;
  std::size_t size_ = 0;
  std::size_t file_count_ = 0;
  std::size_t item_count_ = 0;
  int section_depth_ = 0;
  int include_depth_ = 0;
};

status settings_parser::parse_statements(source& in, raw_section& into,
                                         std::optional<position> opened) {
  for (;;) {
    in.skip_spaces_and_comments();
    if (in.at_end()) {
      if (opened)
        return syntax_error(*opened,
                            "section '" + escaped(into.name) + "' is not closed: write '}'");
      return {};
    }
    if (in.peek() == '}') {
      if (!opened) return syntax_error(in.here(), "this '}' closes nothing");
      in.next();
      return {};
    }
    if (auto done = parse_statement(in, into); !done) return done;
  }
}

status settings_parser::parse_statement(source& in, raw_section& into) {
  auto at = in.here();
  if (in.peek() == '"')
    return syntax_error(at, "expected the name of a section or a key, found a string");
  std::string name;
  while (!in.at_end() && is_name(in.peek())) name += in.next();
  if (name.empty())
    return syntax_error(at, "expected the name of a section or a key, found " + shown(in));
  if (name.size() > limits::config_name_size_max)
    return {errc::limit_exceeded, at.text() + ": a name is longer than 256 octets"};
  if (auto counted = count_item(at); !counted) return counted;

  bool blank_follows = is_blank(in.peek());
  in.skip_blanks();
  if (name == "include" && (blank_follows || in.peek() == '"') &&
      (in.peek() == '"' || in.peek() == '.' || is_name(in.peek())))
    return parse_include(in, into, at);
  if (in.peek() == '=') {
    in.next();
    raw_setting setting{name, {}, false, at};
    auto done = parse_value(in, setting);
    if (done) into.set(std::move(setting));
    return done;
  }
  if (in.peek() == '.')
    return syntax_error(in.here(), "a name has no dots here; write '" + escaped(name) +
                                       " { ... { } }', one section inside the other");
  // Only "{" may stand on a later line.
  auto after = in.here();
  auto found = shown(in);
  in.skip_spaces_and_comments();
  if (!in.at_end() && (in.peek() == '{' || in.peek() == ':'))
    return parse_section(in, into, name, at);
  return syntax_error(after,
                      "expected '=', ':' or '{' after '" + escaped(name) + "', found " + found);
}

status settings_parser::parse_section(source& in, raw_section& into, const std::string& name,
                                      const position& at) {
  auto& section = into.section_named(name, at);
  if (in.peek() == ':') {
    do {
      in.next();
      in.skip_spaces_and_comments();
      if (auto done = parse_reference(in, section); !done) return done;
      in.skip_spaces_and_comments();
    } while (in.peek() == ',');
  }
  if (in.at_end() || in.peek() != '{')
    return syntax_error(in.here(), "expected '{' or ',' after a reference, found " + shown(in));
  auto opened = in.here();
  in.next();
  if (section_depth_ == limits::config_section_depth_max)
    return {errc::limit_exceeded, opened.text() + ": sections nest deeper than 16"};
  ++section_depth_;
  auto done = parse_statements(in, section, opened);
  --section_depth_;
  return done;
}

status settings_parser::parse_reference(source& in, raw_section& section) {
  reference to{{}, in.here()};
  for (;;) {
    std::string part;
    while (!in.at_end() && is_name(in.peek())) part += in.next();
    if (part.empty())
      return syntax_error(in.here(), "expected the name of a section, found " + shown(in));
    to.path.push_back(std::move(part));
    if (in.at_end() || in.peek() != '.') break;
    in.next();
  }
  if (to.path.size() > static_cast<std::size_t>(limits::config_section_depth_max))
    return {errc::limit_exceeded, to.at.text() + ": the reference is too deep"};
  if (auto counted = count_item(to.at); !counted) return counted;
  section.references.push_back(std::move(to));
  return {};
}

status settings_parser::parse_value(source& in, raw_setting& setting) {
  setting.cleared = true;
  auto add = [&](std::string_view part) {
    if (!setting.cleared) setting.value += ' ';
    setting.cleared = false;
    setting.value += part;
    return setting.value.size() <= limits::config_value_size_max;
  };
  for (;;) {
    in.skip_blanks();
    if (in.at_end() || in.peek() == '\n' || in.peek() == '#' || in.peek() == '}') return {};
    if (in.peek() == '\0') return syntax_error(in.here(), "a NUL octet may not stand in a value");
    bool fits = false;
    if (in.peek() == '"') {
      auto text = parse_string(in);
      if (!text) return text.failure();
      fits = add(*text);
      wipe(text->data(), text->size());
    } else {
      auto from = in.index;
      while (!in.at_end() && !is_space(in.peek()) && in.peek() != '#' && in.peek() != '}' &&
             in.peek() != '"' && in.peek() != '\0')
        in.next();
      fits = add(in.text.substr(from, in.index - from));
    }
    if (!fits) return {errc::limit_exceeded, setting.at.text() + ": the value is too long"};
  }
}

result<std::string> settings_parser::parse_string(source& in) {
  auto opened = in.here();
  in.next();
  std::string text;
  while (!in.at_end()) {
    char c = in.next();
    if (c == '"') return text;
    if (c == '\r') continue;
    if (c == '\\') {
      if (in.at_end()) break;
      c = in.next();
      if (c == '\r' && in.peek() == '\n') c = in.next();
      if (c == '\n') continue;  // joins the lines
      c = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
    }
    if (c == '\0') return syntax_error(in.here(), "a NUL octet may not stand in a string");
    text += c;
  }
  return syntax_error(opened, "the string has no end: write '\"'");
}

status settings_parser::parse_include(source& in, raw_section& into, const position& at) {
  std::string pattern;
  if (in.peek() == '"') {
    auto text = parse_string(in);
    if (!text) return text.failure();
    pattern = *text;
  } else {
    while (!in.at_end() && !is_space(in.peek()) && in.peek() != '#' && in.peek() != '}') {
      char c = in.next();
      if (c == '\\' && !in.at_end() &&
          std::string_view{"\"#} "}.find(in.peek()) != std::string::npos)
        c = in.next();
      pattern += c;
    }
  }
  in.skip_blanks();
  if (!in.at_end() && in.peek() != '\n' && in.peek() != '#' && in.peek() != '}')
    return syntax_error(in.here(),
                        "one pattern only may follow include; quote it if it has spaces");
  if (pattern.empty() || pattern.find('\0') != pattern.npos)
    return syntax_error(at, "include needs a file name or a pattern");
  if (pattern.front() != '/') {
    auto slash = in.name->rfind('/');
    if (slash != std::string::npos) pattern = in.name->substr(0, slash + 1) + pattern;
  }
  if (include_depth_ == limits::config_include_depth_max)
    return {errc::limit_exceeded, at.text() + ": includes nest deeper than 16"};
  ++include_depth_;
  for (const auto& path : files_.glob(pattern)) {
    auto text = files_.read(path);
    if (!text) return {text.failure().code, at.text() + ": cannot read the included file " + path};
    auto done = parse(*text, path, into);
    wipe(text->data(), text->size());
    if (!done) return done;
  }
  --include_depth_;
  return {};
}

}  // namespace

std::string position::text() const {
  if (line == 0) return {};
  return (file ? *file : std::string{}) + ":" + std::to_string(line) + ":" + std::to_string(column);
}

const setting* section::find(std::string_view key) const {
  for (const auto& one : settings)
    if (one.key == key) return &one;
  return nullptr;
}

const section* section::find_section(std::string_view child) const {
  for (const auto& one : sections)
    if (one->name == child) return one.get();
  return nullptr;
}

void wipe_values(section& section) {
  for (auto& one : section.settings) {
    wipe(one.value.data(), one.value.size());
    for (auto& item : one.items) wipe(item.data(), item.size());
  }
  for (auto& child : section.sections) wipe_values(*child);  // depth: 16 (the parsers' limit)
}

result<std::unique_ptr<section>> parse_settings(std::string_view text, const std::string& name,
                                                const file_access& files) {
  raw_section root;
  settings_parser parser{files};
  if (auto done = parser.parse(text, name, root); !done) return done.failure();
  return resolve_references(root);
}

result<std::unique_ptr<section>> parse_setting_files(const std::vector<std::string>& paths,
                                                     const file_access& files) {
  raw_section root;
  settings_parser parser{files};
  for (const auto& path : paths) {
    auto text = files.read(path);
    if (!text) return error{text.failure().code, path};
    auto done = parser.parse(*text, path, root);
    wipe(text->data(), text->size());
    if (!done) return done.failure();
  }
  return resolve_references(root);
}

}  // namespace imago::config
