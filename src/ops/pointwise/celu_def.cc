// Celu: max(x, 0) + min(alpha (e^(x / alpha) - 1), 0).
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportCelu(ImportContext& context) { return ImportWithFloats(context, {{"alpha", 1.0f}}); }

}  // namespace

OpDef DefineCelu() { return Simple("Celu", InferUnary<kFloats>, ImportCelu); }

}  // namespace fusee::ops
