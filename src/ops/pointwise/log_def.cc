// Log: the natural logarithm; -inf at 0, NaN below.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineLog() { return Simple("Log", InferUnary<kFloats>); }

}  // namespace fusee::ops
