#include "cli/usage.h"

#include <fmt/format.h>

#include <algorithm>

namespace fusee::cli {
namespace {

// Words longer than this are no typing errors.
constexpr size_t kWordMax = 64;

std::string Plain(std::string_view word) {
  word.remove_prefix(std::min(word.find_first_not_of('-'), word.size()));
  std::string plain(word);
  for (char& c : plain) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return plain;
}

// Letters to change, insert, drop or swap with their neighbour until a is b.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      const size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(sub->get_name());
  return names;
}

std::vector<std::string> OptionNames(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// An option by the name that CLI11's messages call it; null when there is none.
const CLI::Option* Find(const CLI::App& command, std::string_view name) {
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_name() == name) return option;
  }
  return nullptr;
}

// As people give it: "MODEL" for a positional argument, whatever other names it has.
std::string Shown(const CLI::App& command, const std::string& name) {
  const CLI::Option* option = Find(command, name);
  if (option == nullptr || !option->get_positional()) return name;
  std::string shown = option->get_name(/*positional=*/true);
  for (char& c : shown) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return shown;
}

// What the help page says of it, behind ": "; or nothing.
std::string Described(const CLI::App& command, std::string_view name) {
  const CLI::Option* option = Find(command, name);
  return option == nullptr || option->get_description().empty() ? ""
                                                                : ": " + option->get_description();
}

// What can be read as its value, in words.
std::string_view ExpectedValue(const CLI::App& command, std::string_view name) {
  const CLI::Option* option = Find(command, name);
  const std::string type = option == nullptr ? "" : option->get_type_name();
  if (type.ends_with(":POSITIVE")) return "a number above 0";
  if (type.ends_with(":NONNEGATIVE")) return "a number of 0 or more";
  if (type.starts_with("BOOLEAN")) return "true or false";
  if (type.starts_with("INT")) return "a whole number";
  if (type.starts_with("UINT")) return "a whole number, 0 or more";
  if (type.starts_with("FLOAT")) return "a number";
  return "another value";
}

std::string Unexpected(const CLI::App& command, const std::string& word) {
  if (!word.starts_with('-') || word.size() == 1)
    return fmt::format("unexpected argument '{}'", word);
  const std::string option = word.substr(0, word.find('='));
  const std::string meant = Nearest(option, OptionNames(command));
  return meant.empty() ? fmt::format("there is no option '{}'", option)
                       : fmt::format("there is no option '{}'; did you mean {}?", option, meant);
}

// "--http-port: Value x not in range 0 to 65535" said again; nothing when text is no such message.
std::string ExplainRange(const CLI::App& command, const std::string& text) {
  constexpr std::string_view kValue = ": Value ", kRange = " not in range ";
  constexpr size_t kLimitsMax = 64;  // CLI11 writes "no upper end" as a number of 300 digits
  const size_t value = text.find(kValue), range = text.find(kRange);
  if (value == std::string::npos || range == std::string::npos) return "";
  const std::string name = text.substr(0, value);
  const size_t given = value + kValue.size();
  const std::string limits = text.substr(range + kRange.size());
  return fmt::format("{}: cannot take '{}'; expected {}", name, text.substr(given, range - given),
                     limits.size() > kLimitsMax ? ExpectedValue(command, name) : limits);
}

// CLI11's message of a known kind, said again; its own words otherwise.
std::string Explain(const CLI::ParseError& error, const CLI::App& command) {
  const std::string text = error.what();
  const std::string kind = error.get_name();
  const auto has = [&](std::string_view part) { return text.find(part) != std::string::npos; };
  const auto until = [&](std::string_view end) { return text.substr(0, text.find(end)); };
  if (kind == "RequiredError" && text.ends_with(" is required")) {
    const std::string name = until(" is required");
    return fmt::format("{} is missing{}", Shown(command, name), Described(command, name));
  }
  if (kind == "ArgumentMismatch") {
    const std::string name = until(":");
    if (text.ends_with(" missing"))
      return fmt::format("{} needs a value{}", name, Described(command, name));
    if (has("At Most 1 required"))
      return fmt::format("{} is given more than once", Shown(command, name));
    if (has(" disallowed flag override")) return fmt::format("{} takes no value", until(" was "));
  }
  if (kind == "ValidationError") {
    if (std::string range = ExplainRange(command, text); !range.empty()) return range;
  }
  constexpr std::string_view kConvert = "Could not convert: ";  // "--threads = x"
  if (kind == "ConversionError" && text.starts_with(kConvert) && has(" = ")) {
    const std::string name = until(" = ").substr(kConvert.size());
    return fmt::format("{}: cannot take '{}'; expected {}", name, text.substr(text.find(" = ") + 3),
                       ExpectedValue(command, name));
  }
  constexpr std::string_view kExcludes = " excludes ";
  if (kind == "ExcludesError" && has(kExcludes)) {
    return fmt::format("{} and {} contradict each other; leave one out", until(kExcludes),
                       text.substr(text.find(kExcludes) + kExcludes.size()));
  }
  return text;
}

}  // namespace

std::string Nearest(std::string_view word, const std::vector<std::string>& choices) {
  const std::string typed = Plain(word);
  if (typed.empty() || typed.size() > kWordMax) return "";
  std::string nearest, part_of;
  size_t least = typed.size() / 3 + 1;
  size_t parts = 0;
  for (const std::string& choice : choices) {
    const std::string plain = Plain(choice);
    if (plain.size() > kWordMax) continue;
    if (const size_t distance = Distance(typed, plain); distance < least) {
      least = distance;
      nearest = choice;
    }
    if (typed.size() > 2 && (plain.starts_with(typed) || plain.ends_with(typed))) {
      part_of = choice;
      ++parts;
    }
  }
  if (!nearest.empty()) return nearest;
  return parts == 1 ? part_of : "";
}

Status UsageError(const CLI::ParseError& error, const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  if (parsed.empty() && app.remaining().empty()) {
    return InvalidArgument(fmt::format("no command; the commands are: {}; see: fusee --help",
                                       fmt::join(CommandNames(app), ", ")));
  }
  const CLI::App& command = parsed.empty() ? app : *parsed.front();
  const std::string name = parsed.empty() ? "fusee" : "fusee " + command.get_name();
  // A mistyped option also looks like a missing one: name what was typed.
  std::vector<std::string> rest = command.remaining();
  std::stable_partition(rest.begin(), rest.end(),
                        [](const std::string& w) { return w.starts_with('-'); });
  const std::string what = rest.empty() ? Explain(error, command) : Unexpected(command, rest[0]);
  return InvalidArgument(fmt::format("{}: {}{} {} --help", name, what,
                                     what.ends_with('?') ? " See:" : "; see:", name));
}

Status NoSuchCommand(std::string_view word, const CLI::App& app) {
  const std::vector<std::string> names = CommandNames(app);
  const std::string meant = Nearest(word, names);
  return InvalidArgument(
      fmt::format("no command '{}'{} commands are: {}", word.substr(0, kWordMax),
                  meant.empty() ? "; the" : fmt::format("; did you mean {}? The", meant),
                  fmt::join(names, ", ")));
}

}  // namespace fusee::cli
