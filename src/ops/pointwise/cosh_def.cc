// Cosh: the hyperbolic cosine.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineCosh() { return Simple("Cosh", InferUnary<kFloats>); }

}  // namespace fusee::ops
