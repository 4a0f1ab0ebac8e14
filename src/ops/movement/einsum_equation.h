// The equation of an Einsum, read into one list of axis labels per operand.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace fusee::ops {

// An axis label: a letter's code, or kEllipsisLabel + i for axis i of what "..." stands for.
using AxisLabel = int;
inline constexpr AxisLabel kEllipsisLabel = 256;

struct EinsumEquation {
  std::vector<std::vector<AxisLabel>> operands;  // as many labels as the operand has axes
  std::vector<AxisLabel> result;                 // distinct; each occurs in an operand
};

// Spaces do not count. Without "->" the result is what "..." stands for, then the letters that
// occur once, in ASCII order. Errors: kInvalidArgument saying what is wrong with the equation or
// does not fit the ranks; kUnimplemented for "..." in operands but not in the result, which
// implementations read differently.
Result<EinsumEquation> ParseEinsumEquation(std::string_view text, std::span<const int> ranks);

}  // namespace fusee::ops
