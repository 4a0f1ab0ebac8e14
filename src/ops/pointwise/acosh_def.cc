// Acosh: the inverse hyperbolic cosine; NaN below 1.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineAcosh() { return Simple("Acosh", InferUnary<kFloats>); }

}  // namespace fusee::ops
