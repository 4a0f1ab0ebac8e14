// Not: logical negation.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

TrackedDim Track(const InferContext&, const ir::Dim& x) { return ir::Dim(1) - x; }

}  // namespace

OpDef DefineNot() { return Simple("Not", InferUnary<kBool, Track>); }

}  // namespace fusee::ops
