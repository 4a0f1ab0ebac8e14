// Sinh: the hyperbolic sine.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineSinh() { return Simple("Sinh", InferUnary<kFloats>); }

}  // namespace fusee::ops
