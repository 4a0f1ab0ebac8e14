// BitwiseNot: every bit inverted.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineBitwiseNot() { return Simple("BitwiseNot", InferUnary<kInts>); }

}  // namespace fusee::ops
