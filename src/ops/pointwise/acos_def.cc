// Acos: the inverse cosine; NaN outside [-1, 1].
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineAcos() { return Simple("Acos", InferUnary<kFloats>); }

}  // namespace fusee::ops
