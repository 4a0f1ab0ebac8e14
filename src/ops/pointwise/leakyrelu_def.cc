// LeakyRelu: x where x >= 0, alpha x elsewhere.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportLeakyRelu(ImportContext& context) {
  return ImportWithFloats(context, {{"alpha", 0.01f}});
}

}  // namespace

OpDef DefineLeakyRelu() { return Simple("LeakyRelu", InferUnary<kFloats>, ImportLeakyRelu); }

}  // namespace fusee::ops
