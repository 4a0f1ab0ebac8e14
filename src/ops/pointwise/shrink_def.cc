// Shrink: x + bias where x < -lambd, x - bias where x > lambd, 0 elsewhere.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportShrink(ImportContext& context) {
  return ImportWithFloats(context, {{"bias", 0.0f}, {"lambd", 0.5f}});
}

}  // namespace

OpDef DefineShrink() { return Simple("Shrink", InferUnary<kFloats>, ImportShrink); }

}  // namespace fusee::ops
