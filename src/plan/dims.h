// Evaluation of a plan's table of dimension expressions. One pass, no recursion, overflow-checked.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "plan/plan.h"

namespace fusee::plan {

// A closed interval.
struct DimBounds {
  int64_t min = 0;
  int64_t max = 0;
};

// Values of all expressions for these symbol values (one per Plan::symbols), into out (one per
// Plan::dims). FloorDiv rounds towards minus infinity, Mod has the divisor's sign; a divisor of 0
// gives 0. Precondition: the table's operands are earlier entries (verified at decode). Errors:
// kOutOfRange on overflow. Allocates nothing when ok.
Status EvaluateDims(std::span<const DimExpr> dims, std::span<const int64_t> symbol_values,
                    std::span<int64_t> out);

// For each expression an interval that holds all its values while symbols stay within [min, max]
// (interval arithmetic, saturating at +-2^62; may be wider than the truth). Its upper ends are the
// max_shapes that the runtime binds kernels with, so a builder must bind with these too.
std::vector<DimBounds> BoundDims(std::span<const DimExpr> dims, std::span<const Symbol> symbols);

// The values of every symbol at one end: the profile's minimum, optimum or maximum.
enum class ProfilePoint { kMin, kOpt, kMax };
std::vector<int64_t> SymbolValues(const Plan& plan, ProfilePoint point);

// The shape of one tensor, given all dimension values. Errors: kOutOfRange on a negative dimension
// or when the byte size overflows. Precondition: verified plan.
Result<Shape> ShapeOf(const TensorDef& tensor, std::span<const int64_t> dim_values);

}  // namespace fusee::plan
