// Swish: x / (1 + e^(-alpha x)); SiLU when alpha is 1.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportSwish(ImportContext& context) { return ImportWithFloats(context, {{"alpha", 1.0f}}); }

}  // namespace

OpDef DefineSwish() { return Simple("Swish", InferUnary<kFloats>, ImportSwish); }

}  // namespace fusee::ops
