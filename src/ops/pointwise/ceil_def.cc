// Ceil: the smallest integer not below x. -0 stays -0.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineCeil() { return Simple("Ceil", InferUnary<kFloats>); }

}  // namespace fusee::ops
