// Selu: gamma x where x > 0, gamma alpha (e^x - 1) elsewhere.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportSelu(ImportContext& context) {
  return ImportWithFloats(context, {{"alpha", 1.67326319f}, {"gamma", 1.05070102f}});
}

}  // namespace

OpDef DefineSelu() { return Simple("Selu", InferUnary<kFloats>, ImportSelu); }

}  // namespace fusee::ops
