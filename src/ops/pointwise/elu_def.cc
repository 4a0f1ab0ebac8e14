// Elu: x where x >= 0, alpha (e^x - 1) elsewhere.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportElu(ImportContext& context) { return ImportWithFloats(context, {{"alpha", 1.0f}}); }

}  // namespace

OpDef DefineElu() { return Simple("Elu", InferUnary<kFloats>, ImportElu); }

}  // namespace fusee::ops
