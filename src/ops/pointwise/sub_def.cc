// Sub: a - b with numpy broadcasting; integers wrap around.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

TrackedDim Track(const InferContext&, const ir::Dim& a, const ir::Dim& b) { return a - b; }

}  // namespace

OpDef DefineSub() { return Simple("Sub", InferBinary<kNumbers, Track>); }

}  // namespace fusee::ops
