// Neg: -x, for signed types.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

TrackedDim Track(const InferContext&, const ir::Dim& x) { return ir::Dim(0) - x; }

}  // namespace

OpDef DefineNeg() { return Simple("Neg", InferUnary<kFloats | kSignedInts, Track>); }

}  // namespace fusee::ops
