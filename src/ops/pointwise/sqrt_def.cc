// Sqrt: the square root; NaN below 0.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineSqrt() { return Simple("Sqrt", InferUnary<kFloats>); }

}  // namespace fusee::ops
