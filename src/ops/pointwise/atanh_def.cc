// Atanh: the inverse hyperbolic tangent; NaN outside [-1, 1].
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineAtanh() { return Simple("Atanh", InferUnary<kFloats>); }

}  // namespace fusee::ops
