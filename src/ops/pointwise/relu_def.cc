// Relu: max(x, 0); NaN stays NaN.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

TrackedDim Track(const InferContext&, const ir::Dim& x) { return Max(x, ir::Dim(0)); }

}  // namespace

OpDef DefineRelu() { return Simple("Relu", InferUnary<kFloats | kSignedInts, Track>); }

}  // namespace fusee::ops
