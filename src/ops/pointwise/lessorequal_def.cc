// LessOrEqual: a <= b with numpy broadcasting; false where one is NaN.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

// Decided where the ranges are apart or meet in one point only.
TrackedDim Track(const InferContext& context, const ir::Dim& a, const ir::Dim& b) {
  const ir::DimRange ra = a.Range(context.symbols());
  const ir::DimRange rb = b.Range(context.symbols());
  if (a == b || ra.max <= rb.min) return ir::Dim(1);
  if (ra.min > rb.max) return ir::Dim(0);
  return std::nullopt;
}

}  // namespace

OpDef DefineLessOrEqual() {
  return Simple("LessOrEqual", InferBinary<kNumbers, Track, DType::kBool>);
}

}  // namespace fusee::ops
