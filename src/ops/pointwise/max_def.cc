// Max: the larger of each pair, NaN if one is NaN. ONNX's variadic form is a chain.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

TrackedDim Track(const InferContext&, const ir::Dim& a, const ir::Dim& b) { return Max(a, b); }

Status ImportMax(ImportContext& context) {
  if (context.input_count() == 2) return context.EmitAs("Max");
  FUSEE_TRY(const ir::ValueId result, EmitChain(context, "Max"));
  context.SetOutput(0, result);
  return OkStatus();
}

}  // namespace

OpDef DefineMax() { return Simple("Max", InferBinary<kNumbers, Track>, ImportMax); }

}  // namespace fusee::ops
