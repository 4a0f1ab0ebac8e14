// Erf: the error function.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineErf() { return Simple("Erf", InferUnary<kFloats>); }

}  // namespace fusee::ops
