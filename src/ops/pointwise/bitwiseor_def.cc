// BitwiseOr: or of the bits of two integers, with numpy broadcasting.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineBitwiseOr() { return Simple("BitwiseOr", InferBinary<kInts>); }

}  // namespace fusee::ops
