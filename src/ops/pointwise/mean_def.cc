// Mean: any number of operands, as a chain of Add from the left and a division by their number.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportMean(ImportContext& context) {
  FUSEE_TRY(const ir::ValueId sum, EmitChain(context, "Add"));
  const DType dtype = context.info(0).dtype;
  if (!IsFloat(dtype)) return context.Error("operands should be floating-point");
  const ir::ValueId count = context.Scalar(dtype, static_cast<double>(context.input_count()));
  FUSEE_TRY(const ir::ValueId mean, context.Emit("Div", {sum, count}));
  context.SetOutput(0, mean);
  return OkStatus();
}

}  // namespace

OpDef DefineMean() {
  return {.name = "Mean", .imports = {{.onnx_op = "Mean", .since = 6, .import = ImportMean}}};
}

}  // namespace fusee::ops
