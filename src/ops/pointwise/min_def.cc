// Min: the smaller of each pair, NaN if one is NaN. ONNX's variadic form is a chain.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

TrackedDim Track(const InferContext&, const ir::Dim& a, const ir::Dim& b) { return Min(a, b); }

Status ImportMin(ImportContext& context) {
  if (context.input_count() == 2) return context.EmitAs("Min");
  FUSEE_TRY(const ir::ValueId result, EmitChain(context, "Min"));
  context.SetOutput(0, result);
  return OkStatus();
}

}  // namespace

OpDef DefineMin() { return Simple("Min", InferBinary<kNumbers, Track>, ImportMin); }

}  // namespace fusee::ops
