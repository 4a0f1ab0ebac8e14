// Floor: the largest integer not above x. -0 stays -0.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineFloor() { return Simple("Floor", InferUnary<kFloats>); }

}  // namespace fusee::ops
