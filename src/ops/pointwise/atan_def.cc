// Atan: the inverse tangent.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineAtan() { return Simple("Atan", InferUnary<kFloats>); }

}  // namespace fusee::ops
