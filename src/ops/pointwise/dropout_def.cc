// Dropout at inference is the identity, with a mask of ones where a model asks for it. `ratio` and
// `seed` then have no effect. A model that drops while serving (training_mode true) is refused.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

// Ones of operand 0's shape. The mask is bool since opset 10, the operand's type before.
Result<ir::ValueId> EmitMask(ImportContext& context) {
  const ir::ValueInfo& info = context.info(0);
  const DType dtype = context.opset() >= 10 ? DType::kBool : info.dtype;
  return context.Emit("Expand", {context.Scalar(dtype, 1)}, {}, info.shape);
}

Status EmitInference(ImportContext& context) {
  if (!context.has_input(0)) return context.Error("operand 0 is missing");
  FUSEE_TRY(const ir::ValueId result, context.Emit("Identity", {context.input(0)}));
  context.SetOutput(0, result);
  if (!context.wants_output(1)) return OkStatus();
  FUSEE_TRY(const ir::ValueId mask, EmitMask(context));
  context.SetOutput(1, mask);
  return OkStatus();
}

Status ImportAttributes(ImportContext& context) {
  context.Ignore("ratio");
  return EmitInference(context);
}

Status ImportOperands(ImportContext& context) {
  context.Ignore("seed");
  if (context.has_input(2)) {
    FUSEE_TRY(const std::vector<int64_t> training, context.ConstInts(2, "training_mode"));
    if (training.size() != 1) return context.Error("operand 2 (training_mode) should be a scalar");
    if (training[0] != 0) {
      return context.Refuse("training_mode is true; export the model for inference (model.eval())");
    }
  }
  return EmitInference(context);
}

}  // namespace

OpDef DefineDropout() {
  return {.name = "Dropout",
          .imports = {{.onnx_op = "Dropout", .since = 7, .until = 11, .import = ImportAttributes},
                      {.onnx_op = "Dropout", .since = 12, .import = ImportOperands}}};
}

}  // namespace fusee::ops
