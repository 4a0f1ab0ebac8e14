// Tanh: the hyperbolic tangent.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineTanh() { return Simple("Tanh", InferUnary<kFloats>); }

}  // namespace fusee::ops
