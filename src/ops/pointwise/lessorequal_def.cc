// LessOrEqual: a <= b with numpy broadcasting; false where one is NaN.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

TrackedDim Track(const InferContext& context, const ir::Dim& a, const ir::Dim& b) {
  return TrackNot(TrackLess(context, b, a));
}

}  // namespace

OpDef DefineLessOrEqual() {
  return Simple("LessOrEqual", InferBinary<kNumbers, Track, DType::kBool>);
}

}  // namespace fusee::ops
