// What a plan's table of dimension expressions says of shapes and their bounds.
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

// A plan's table is evaluated by tensor/dim_program.h.
using fusee::EvaluateDims;

// For each expression an interval that holds all its values while symbols stay within [min, max]
// (interval arithmetic, saturating at +-2^62; may be wider than the truth). Its upper ends are the
// max_shapes that the runtime binds kernels with, so a builder must bind with these too.
std::vector<DimBounds> BoundDims(std::span<const DimExpr> dims, std::span<const Symbol> symbols);

// The step after which each expression is known, an index into plan.steps; kKnownAtStart when it
// depends on no size that a run finds. Precondition: expressions and steps name counts in range,
// operands are earlier entries.
inline constexpr int64_t kKnownAtStart = -1;
std::vector<int64_t> KnownAfter(const Plan& plan);

// The same of a step's or model's tensors together (kNoTensor is passed over), and of one.
// known_after: of KnownAfter.
int64_t LastKnown(const Plan& plan, std::span<const int64_t> known_after,
                  std::span<const uint32_t> tensors);
inline int64_t LastKnown(const Plan& plan, std::span<const int64_t> known_after, uint32_t tensor) {
  return LastKnown(plan, known_after, std::span(&tensor, 1));
}

// The values of every symbol at one end: the profile's minimum, optimum or maximum.
enum class ProfilePoint { kMin, kOpt, kMax };
std::vector<int64_t> SymbolValues(const Plan& plan, ProfilePoint point);

// The shape of one tensor, given all dimension values. Errors: kOutOfRange on a negative dimension
// or when the byte size overflows. Precondition: verified plan.
Result<Shape> ShapeOf(const TensorDef& tensor, std::span<const int64_t> dim_values);

}  // namespace fusee::plan
