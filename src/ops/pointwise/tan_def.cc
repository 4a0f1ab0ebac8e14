// Tan: the tangent of an angle in radians.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineTan() { return Simple("Tan", InferUnary<kFloats>); }

}  // namespace fusee::ops
