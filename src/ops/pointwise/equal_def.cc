// Equal: a == b with numpy broadcasting; NaN equals nothing.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

// Decided where the ranges are apart or meet in one point only.
TrackedDim Track(const InferContext& context, const ir::Dim& a, const ir::Dim& b) {
  const ir::DimRange ra = a.Range(context.symbols());
  const ir::DimRange rb = b.Range(context.symbols());
  if (a == b) return ir::Dim(1);
  if (ra.max < rb.min || rb.max < ra.min) return ir::Dim(0);
  return std::nullopt;
}

}  // namespace

OpDef DefineEqual() { return Simple("Equal", InferBinary<kAny, Track, DType::kBool>); }

}  // namespace fusee::ops
