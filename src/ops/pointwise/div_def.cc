// Div: a / b with numpy broadcasting. Integers truncate towards zero, as in C; a zero divisor is a
// run-time error.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

// Dimension arithmetic rounds towards minus infinity, which is the same where nothing is negative.
TrackedDim Track(const InferContext& context, const ir::Dim& a, const ir::Dim& b) {
  if (b == ir::Dim(0)) return std::nullopt;
  if (b == ir::Dim(1)) return a;
  if (a.is_constant() && b == ir::Dim(-1)) return ir::Dim(0) - a;
  if (a.is_constant() && b.is_constant()) return ir::Dim(a.constant() / b.constant());
  const bool plain = a.Range(context.symbols()).min >= 0 && b.Range(context.symbols()).min > 0;
  return plain ? TrackedDim(FloorDiv(a, b)) : std::nullopt;
}

}  // namespace

OpDef DefineDiv() { return Simple("Div", InferBinary<kNumbers, Track>); }

}  // namespace fusee::ops
