// BitwiseAnd: and of the bits of two integers, with numpy broadcasting.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineBitwiseAnd() { return Simple("BitwiseAnd", InferBinary<kInts>); }

}  // namespace fusee::ops
