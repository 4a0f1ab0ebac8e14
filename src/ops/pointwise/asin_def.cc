// Asin: the inverse sine; NaN outside [-1, 1].
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineAsin() { return Simple("Asin", InferUnary<kFloats>); }

}  // namespace fusee::ops
