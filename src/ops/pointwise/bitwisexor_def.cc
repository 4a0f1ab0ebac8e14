// BitwiseXor: exclusive or of the bits of two integers, with numpy broadcasting.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineBitwiseXor() { return Simple("BitwiseXor", InferBinary<kInts>); }

}  // namespace fusee::ops
