// HardSigmoid: max(0, min(1, alpha x + beta)).
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportHardSigmoid(ImportContext& context) {
  return ImportWithFloats(context, {{"alpha", 0.2f}, {"beta", 0.5f}});
}

}  // namespace

OpDef DefineHardSigmoid() { return Simple("HardSigmoid", InferUnary<kFloats>, ImportHardSigmoid); }

}  // namespace fusee::ops
