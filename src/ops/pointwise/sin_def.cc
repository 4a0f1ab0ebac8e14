// Sin: the sine of an angle in radians.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineSin() { return Simple("Sin", InferUnary<kFloats>); }

}  // namespace fusee::ops
