// Sigmoid: 1 / (1 + e^-x).
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

OpDef DefineSigmoid() { return Simple("Sigmoid", InferUnary<kFloats>); }

}  // namespace fusee::ops
