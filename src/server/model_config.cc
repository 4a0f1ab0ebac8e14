#include "server/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace fusee::server {
namespace {

constexpr int kDepthMax = 64;
constexpr std::array<std::string_view, 2> kKinds = {"cuda", "cpu"};

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
// Of names, numbers and enum values; a sign or a dot may stand in a number.
bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-' || c == '+';
}

// What a `parameters` message said.
struct Parameter {
  std::string key, value;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<std::optional<std::string>> DeviceOrder() {
    FUSEE_TRY(Fields('\0', 0, Level::kModel, nullptr));
    return found_;
  }

 private:
  // Where in the schema a message lies, as far as it matters here.
  enum class Level : uint8_t { kModel, kParameter, kValue, kOther };

  Status Error(std::string_view what) const {
    const auto line = 1 + std::ranges::count(text_.substr(0, at_), '\n');
    return DataLoss(fmt::format("line {}: {}", line, what));
  }

  char Peek() {
    while (at_ < text_.size() && (IsSpace(text_[at_]) || text_[at_] == '#')) {
      if (text_[at_] == '#') {
        const size_t end = text_.find('\n', at_);
        at_ = end == text_.npos ? text_.size() : end;
      } else {
        ++at_;
      }
    }
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool Take(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }

  Result<std::string> Quoted() {
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote && text_[at_] != '\n') {
      // An escape stands for its letter: no kind of device has one.
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      out += text_[at_++];
    }
    if (at_ >= text_.size() || text_[at_] != quote) return Error("a string without its end");
    ++at_;
    return out;
  }
  Result<std::string> Word() {
    Peek();
    const size_t begin = at_;
    while (at_ < text_.size() && IsWord(text_[at_])) ++at_;
    if (at_ == begin) return Error("expected a name or a value");
    return std::string(text_.substr(begin, at_ - begin));
  }

  // A field's value; text of scalars into *scalar.
  Status Value(int depth, Level level, Parameter* parameter, std::string* scalar) {
    if (depth > kDepthMax) return Error(fmt::format("nested deeper than {}", kDepthMax));
    const char next = Peek();
    if (next == '{' || next == '<') {
      ++at_;
      return Message(next == '{' ? '}' : '>', depth + 1, level, parameter);
    }
    if (next == '[') {
      ++at_;
      if (Take(']')) return OkStatus();
      do {
        FUSEE_TRY(Value(depth + 1, level, parameter, scalar));
      } while (Take(','));
      return Take(']') ? OkStatus() : Error("expected ']'");
    }
    if (next == '"' || next == '\'') {
      scalar->clear();
      while (Peek() == '"' || Peek() == '\'') {  // adjacent strings are one
        FUSEE_TRY(const std::string part, Quoted());
        *scalar += part;
      }
      return OkStatus();
    }
    FUSEE_TRY(*scalar, Word());
    return OkStatus();
  }

  Status Message(char end, int depth, Level level, Parameter* parameter) {
    if (level != Level::kParameter) return Fields(end, depth, level, parameter);
    Parameter own;
    FUSEE_TRY(Fields(end, depth, level, &own));
    if (own.key == "device_order") found_ = own.value;
    return OkStatus();
  }

  // Fields until `end`, or until the text's end when it is 0.
  Status Fields(char end, int depth, Level level, Parameter* parameter) {
    while (true) {
      const char next = Peek();
      if (next == '\0' && end == '\0' && at_ >= text_.size()) return OkStatus();
      if (end != '\0' && next == end) {
        ++at_;
        return OkStatus();
      }
      if (next == '\0') return Error("a message without its end");
      FUSEE_TRY(const std::string name, Word());
      const bool colon = Take(':');
      const char opening = Peek();
      if (!colon && opening != '{' && opening != '<' && opening != '[')
        return Error("expected ':' or '{'");
      Level inner = Level::kOther;
      if (level == Level::kModel && name == "parameters") inner = Level::kParameter;
      if (level == Level::kParameter && name == "value") inner = Level::kValue;
      std::string scalar;
      FUSEE_TRY(Value(depth, inner, parameter, &scalar));
      if (level == Level::kParameter && name == "key") parameter->key = scalar;
      if (level == Level::kValue && name == "string_value") parameter->value = scalar;
      if (!Take(',')) Take(';');
    }
  }

  const std::string_view text_;
  size_t at_ = 0;
  std::optional<std::string> found_;
};

}  // namespace

Result<std::vector<std::string>> ParseDeviceOrder(std::string_view text) {
  std::vector<std::string> order;
  while (true) {
    const size_t comma = text.find(',');
    std::string_view one = text.substr(0, comma);
    while (!one.empty() && IsSpace(one.front())) one.remove_prefix(1);
    while (!one.empty() && IsSpace(one.back())) one.remove_suffix(1);
    if (std::ranges::find(kKinds, one) == kKinds.end()) {
      return InvalidArgument(fmt::format("device order: expected kinds of {}, got '{}'",
                                         fmt::join(kKinds, ", "), one.substr(0, 64)));
    }
    if (std::ranges::find(order, one) != order.end())
      return InvalidArgument(fmt::format("device order: '{}' stands there twice", one));
    order.emplace_back(one);
    if (comma == text.npos) return order;
    text.remove_prefix(comma + 1);
  }
}

Result<std::vector<std::string>> ReadDeviceOrder(std::string_view text) {
  if (text.size() > kModelConfigBytesMax)
    return DataLoss(fmt::format("more than {} bytes", kModelConfigBytesMax));
  FUSEE_TRY(const auto value, Parser(text).DeviceOrder());
  if (!value) return std::vector<std::string>();
  return ParseDeviceOrder(*value);
}

}  // namespace fusee::server
