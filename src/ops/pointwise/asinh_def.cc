// Asinh: the inverse hyperbolic sine.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineAsinh() { return Simple("Asinh", InferUnary<kFloats>); }

}  // namespace fusee::ops
