#include "ops/movement/einsum_equation.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>

namespace fusee::ops {
namespace {

constexpr std::string_view kEllipsis = "...";

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// One term as written: letters around at most one ellipsis.
struct Term {
  std::string letters;
  std::optional<size_t> ellipsis;  // how many letters stand before it
};

Result<Term> ParseTerm(std::string_view text) {
  Term term;
  for (size_t i = 0; i < text.size();) {
    if (text.substr(i, kEllipsis.size()) == kEllipsis) {
      if (term.ellipsis) return InvalidArgument(fmt::format("term '{}' has two ellipses", text));
      term.ellipsis = term.letters.size();
      i += kEllipsis.size();
    } else if (IsLetter(text[i])) {
      term.letters.push_back(text[i++]);
    } else {
      return InvalidArgument(
          fmt::format("term '{}' has '{}', expected letters and '...'", text, text[i]));
    }
  }
  return term;
}

// The labels of a term whose ellipsis stands for `hidden` axes.
std::vector<AxisLabel> Labels(const Term& term, int hidden) {
  std::vector<AxisLabel> labels(term.letters.begin(), term.letters.end());
  if (term.ellipsis) {
    std::vector<AxisLabel> axes;
    for (int i = 0; i < hidden; ++i) axes.push_back(kEllipsisLabel + i);
    labels.insert(labels.begin() + static_cast<std::ptrdiff_t>(*term.ellipsis), axes.begin(),
                  axes.end());
  }
  return labels;
}

Term ImplicitResult(std::span<const Term> terms, bool ellipsis) {
  std::map<char, int> counts;  // in ASCII order
  for (const Term& term : terms) {
    for (const char c : term.letters) ++counts[c];
  }
  Term result;
  if (ellipsis) result.ellipsis = 0;
  for (const auto& [letter, count] : counts) {
    if (count == 1) result.letters.push_back(letter);
  }
  return result;
}

Status CheckResult(const Term& result, std::span<const Term> terms) {
  for (const char c : result.letters) {
    if (std::ranges::count(result.letters, c) != 1) {
      return InvalidArgument(fmt::format("the result names '{}' twice", c));
    }
    if (std::ranges::none_of(
            terms, [&](const Term& term) { return term.letters.find(c) != std::string::npos; })) {
      return InvalidArgument(fmt::format("the result names '{}', which no operand has", c));
    }
  }
  return OkStatus();
}

}  // namespace

Result<EinsumEquation> ParseEinsumEquation(std::string_view text, std::span<const int> ranks) {
  std::string equation(text);
  std::erase(equation, ' ');
  const size_t arrow = equation.find("->");
  std::string_view rest = std::string_view(equation).substr(0, arrow);
  std::vector<Term> terms;
  for (bool more = true; more;) {
    const size_t comma = rest.find(',');
    more = comma != std::string_view::npos;
    FUSEE_TRY(Term term, ParseTerm(rest.substr(0, comma)));
    terms.push_back(std::move(term));
    if (terms.size() > ranks.size()) break;
    if (more) rest = rest.substr(comma + 1);
  }
  if (terms.size() != ranks.size()) {
    return InvalidArgument(
        fmt::format("the equation has another number of terms than the {} operands", ranks.size()));
  }
  std::optional<int> hidden;
  for (size_t i = 0; i < terms.size(); ++i) {
    const int slack = ranks[i] - static_cast<int>(terms[i].letters.size());
    if (slack < 0 || (slack > 0 && !terms[i].ellipsis)) {
      return InvalidArgument(fmt::format("term '{}' does not fit operand {}, which has rank {}",
                                         terms[i].letters, i, ranks[i]));
    }
    if (!terms[i].ellipsis) continue;
    if (hidden && *hidden != slack) {
      return InvalidArgument(fmt::format("'...' stands for {} axes and for {}", *hidden, slack));
    }
    hidden = slack;
  }
  Term result;
  if (arrow == std::string::npos) {
    result = ImplicitResult(terms, hidden.has_value());
  } else {
    FUSEE_TRY(result, ParseTerm(std::string_view(equation).substr(arrow + 2)));
  }
  FUSEE_TRY(CheckResult(result, terms));
  if (result.ellipsis && !hidden) {
    return InvalidArgument("the result has '...', which no operand has");
  }
  if (!result.ellipsis && hidden.value_or(0) > 0) {
    return Unimplemented(
        "'...' of the operands is missing in the result, which some implementations sum over and "
        "others refuse; name these axes by letters");
  }
  EinsumEquation parsed;
  for (const Term& term : terms) parsed.operands.push_back(Labels(term, hidden.value_or(0)));
  parsed.result = Labels(result, hidden.value_or(0));
  return parsed;
}

}  // namespace fusee::ops
