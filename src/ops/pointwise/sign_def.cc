// Sign: -1, 0 or 1; NaN stays NaN.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

TrackedDim Track(const InferContext& context, const ir::Dim& x) {
  const ir::DimRange range = x.Range(context.symbols());
  if (range.min > 0) return ir::Dim(1);
  if (range.max < 0) return ir::Dim(-1);
  if (x == ir::Dim(0)) return ir::Dim(0);
  return std::nullopt;
}

}  // namespace

OpDef DefineSign() { return Simple("Sign", InferUnary<kNumbers, Track>); }

}  // namespace fusee::ops
