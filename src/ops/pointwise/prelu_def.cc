// PRelu: x where x >= 0, slope x elsewhere. The slope broadcasts to x's shape, not the other way.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status InferPRelu(InferContext& context) {
  FUSEE_TRY(InferBinaryOf(context, kNumbers, DType::kInvalid, nullptr));
  const ir::SymShape& x = context.shape(0);
  const ir::SymShape out = context.outputs()[0].shape;
  if (out.size() != x.size()) return context.Error("the slope has a higher rank than the input");
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == ir::Dim(1) && !(out[i] == x[i])) {
      return context.Error("the slope's shape " + ir::ToString(context.shape(1)) +
                           " does not broadcast to the input's " + ir::ToString(x));
    }
  }
  context.outputs()[0].shape = x;
  return OkStatus();
}

}  // namespace

OpDef DefinePRelu() { return Simple("PRelu", InferPRelu); }

}  // namespace fusee::ops
