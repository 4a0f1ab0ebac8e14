// Cos: the cosine of an angle in radians.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineCos() { return Simple("Cos", InferUnary<kFloats>); }

}  // namespace fusee::ops
