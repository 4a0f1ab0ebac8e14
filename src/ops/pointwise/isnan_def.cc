// IsNaN: true where x is not a number.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineIsNaN() { return Simple("IsNaN", InferUnary<kFloats, nullptr, DType::kBool>); }

}  // namespace fusee::ops
