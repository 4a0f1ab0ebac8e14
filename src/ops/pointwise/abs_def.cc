// Abs: |x|. The smallest signed integer stays itself, as two's complement has it.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

TrackedDim Track(const InferContext& context, const ir::Dim& x) {
  const ir::DimRange range = x.Range(context.symbols());
  if (range.min >= 0) return x;
  if (range.max <= 0) return ir::Dim(0) - x;
  return std::nullopt;
}

}  // namespace

OpDef DefineAbs() { return Simple("Abs", InferUnary<kNumbers, Track>); }

}  // namespace fusee::ops
