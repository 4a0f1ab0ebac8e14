// Reads a dimension expression back from its text (Dim::Parse).
#include <fmt/format.h>

#include "base/checked_math.h"
#include "ir/dim.h"

namespace fusee::ir {
namespace {

// expr := term (('+' | '-') term)*;  term := unary (('*' | 'floordiv' | 'mod') unary)*;
// unary := '-' unary | integer | symbol | '?' | '(' expr ')' | ('min' | 'max') '(' expr ',' expr
// ')'
class DimParser {
 public:
  explicit DimParser(std::string_view text) : text_(text) {}

  Result<Dim> ParseAll() {
    if (text_.size() > 4 * kMaxDimTextBytes) return Error("at most 16384 characters");
    FUSEE_TRY(Dim d, Expression());
    SkipSpace();
    if (at_ != text_.size()) return Error("an operator or the end");
    return d;
  }

 private:
  static constexpr int kMaxDepth = 600;  // above what kMaxDimTextBytes can print

  Status Error(std::string_view expected) const {
    const std::string got =
        at_ < text_.size()
            ? fmt::format("'{}'", text_.substr(at_, std::min<size_t>(8, text_.size() - at_)))
            : "the end";
    return InvalidArgument(fmt::format("dimension expression, column {}: expected {}, got {}",
                                       at_ + 1, expected, got));
  }
  void SkipSpace() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  bool Accept(char c) {
    SkipSpace();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  static bool IsWordChar(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  }
  std::string_view PeekWord() {
    SkipSpace();
    size_t end = at_;
    while (end < text_.size() && IsWordChar(text_[end])) ++end;
    return text_.substr(at_, end - at_);
  }
  bool AcceptWord(std::string_view word) {
    if (PeekWord() != word) return false;
    at_ += word.size();
    return true;
  }

  Result<Dim> Expression() {
    if (++depth_ > kMaxDepth) return Error("at most 600 levels of nesting");
    FUSEE_TRY(Dim sum, Product());
    while (true) {
      if (Accept('+')) {
        FUSEE_TRY(const Dim next, Product());
        sum = sum + next;
      } else if (Accept('-')) {
        FUSEE_TRY(const Dim next, Product());
        sum = sum - next;
      } else {
        --depth_;
        return sum;
      }
    }
  }

  Result<Dim> Product() {
    FUSEE_TRY(Dim product, Unary());
    while (true) {
      if (Accept('*')) {
        FUSEE_TRY(const Dim next, Unary());
        product = product * next;
      } else if (AcceptWord("floordiv")) {
        FUSEE_TRY(const Dim next, Unary());
        product = FloorDiv(product, next);
      } else if (AcceptWord("mod")) {
        FUSEE_TRY(const Dim next, Unary());
        product = Mod(product, next);
      } else {
        return product;
      }
    }
  }

  Result<Dim> Unary() {
    bool negative = false;
    while (Accept('-')) negative = !negative;
    SkipSpace();
    if (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') return Integer(negative);
    FUSEE_TRY(const Dim d, Primary());
    return negative ? 0 - d : d;
  }

  Result<Dim> Integer(bool negative) {
    int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const int64_t digit = text_[at_] - '0';
      // Built downwards for negative numbers, so that the smallest one can be read.
      if (!CheckedMul<int64_t>(value, 10, &value) ||
          !CheckedAdd(value, negative ? -digit : digit, &value)) {
        return Error("an integer of 64 bits");
      }
    }
    return Dim(value);
  }

  Result<Dim> Primary() {
    if (Accept('(')) {
      FUSEE_TRY(const Dim d, Expression());
      if (!Accept(')')) return Error("')'");
      return d;
    }
    if (Accept('"')) return QuotedSymbol();
    if (Accept('?')) return Dim::Unknown();
    const std::string_view word = PeekWord();
    if (word == "min" || word == "max") {
      at_ += word.size();
      if (!Accept('(')) return Error("'('");
      FUSEE_TRY(const Dim a, Expression());
      if (!Accept(',')) return Error("','");
      FUSEE_TRY(const Dim b, Expression());
      if (!Accept(')')) return Error("')'");
      return word == "min" ? Min(a, b) : Max(a, b);
    }
    // A bare word is a symbol exactly when it prints bare ("floordiv" and "2nd" print in quotes).
    if (word.empty()) return Error("a number, a symbol or '('");
    const Dim symbol = Dim::Symbol(std::string(word));
    if (symbol.ToString() != word) return Error("a number, a symbol or '('");
    at_ += word.size();
    return symbol;
  }

  // After the opening quote. Escapes: \" \\ \xHH.
  Result<Dim> QuotedSymbol() {
    const auto hex = [](char c) {
      return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    };
    std::string name;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] != '\\') {
        name += text_[at_++];
      } else if (at_ + 1 < text_.size() && (text_[at_ + 1] == '"' || text_[at_ + 1] == '\\')) {
        name += text_[at_ + 1];
        at_ += 2;
      } else if (at_ + 3 < text_.size() && text_[at_ + 1] == 'x' && hex(text_[at_ + 2]) >= 0 &&
                 hex(text_[at_ + 3]) >= 0) {
        name += static_cast<char>(hex(text_[at_ + 2]) * 16 + hex(text_[at_ + 3]));
        at_ += 4;
      } else {
        return Error("an escape \\\", \\\\ or \\xHH");
      }
    }
    if (at_ >= text_.size()) return Error("'\"'");
    if (name.empty()) return Error("a symbol's name");
    ++at_;
    return Dim::Symbol(std::move(name));
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Result<Dim> Dim::Parse(std::string_view text) { return DimParser(text).ParseAll(); }

}  // namespace fusee::ir
