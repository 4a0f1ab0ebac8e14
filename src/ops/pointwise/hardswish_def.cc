// HardSwish: x max(0, min(1, x/6 + 1/2)).
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineHardSwish() { return Simple("HardSwish", InferUnary<kFloats>); }

}  // namespace fusee::ops
