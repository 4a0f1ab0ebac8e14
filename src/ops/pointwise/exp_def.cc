// Exp: e^x.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineExp() { return Simple("Exp", InferUnary<kFloats>); }

}  // namespace fusee::ops
