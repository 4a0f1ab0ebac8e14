// Softplus: log(1 + e^x).
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineSoftplus() { return Simple("Softplus", InferUnary<kFloats>); }

}  // namespace fusee::ops
