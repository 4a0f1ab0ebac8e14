// Mish: x tanh(log(1 + e^x)).
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineMish() { return Simple("Mish", InferUnary<kFloats>); }

}  // namespace fusee::ops
