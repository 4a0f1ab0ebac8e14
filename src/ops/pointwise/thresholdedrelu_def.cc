// ThresholdedRelu: x where x > alpha, 0 elsewhere.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportThresholdedRelu(ImportContext& context) {
  return ImportWithFloats(context, {{"alpha", 1.0f}});
}

}  // namespace

OpDef DefineThresholdedRelu() {
  return Simple("ThresholdedRelu", InferUnary<kFloats>, ImportThresholdedRelu);
}

}  // namespace fusee::ops
