// Greater: a > b with numpy broadcasting; false where one is NaN.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

TrackedDim Track(const InferContext& context, const ir::Dim& a, const ir::Dim& b) {
  return TrackLess(context, b, a);
}

}  // namespace

OpDef DefineGreater() { return Simple("Greater", InferBinary<kNumbers, Track, DType::kBool>); }

}  // namespace fusee::ops
