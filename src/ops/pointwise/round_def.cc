// Round: the nearest integer, ties to even. -0 stays -0.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineRound() { return Simple("Round", InferUnary<kFloats>); }

}  // namespace fusee::ops
