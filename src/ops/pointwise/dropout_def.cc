// Dropout at inference is the identity, with a mask of ones where a model asks for it. `ratio` and
// `seed` then have no effect. A model that drops while serving (training_mode true) is the identity
// too where it drops none, ratio 0; any other is refused, because equal inputs would have to give
// other results each time.
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

bool IsZero(const Tensor& ratio) {
  return IsFloat(ratio.dtype()) && ratio.elements() == 1 && DoubleAt(ratio.view(), 0) == 0;
}

// Is the ratio 0? Errors: those of ConstInput, for a ratio that is not known.
Result<bool> DropsNothing(ImportContext& context) {
  if (!context.has_input(1)) return false;  // ONNX's default is a half
  FUSEE_TRY(const Tensor ratio, context.ConstInput(1, "ratio"));
  if (!IsFloat(ratio.dtype()) || ratio.elements() != 1)
    return context.Error("operand 1 (ratio) should be a floating-point scalar");
  return IsZero(ratio);
}

Status ImportOperands(ImportContext& context) {
  context.Ignore("seed");
  if (!context.has_input(2)) return EmitInference(context);
  // With a ratio that is 0 anyway, training_mode need not be known.
  if (context.has_input(1)) {
    const Tensor& ratio = context.graph().value(context.input(1)).constant;
    if (ratio.present() && IsZero(ratio)) return EmitInference(context);
  }
  FUSEE_TRY(const std::vector<int64_t> training, context.ConstInts(2, "training_mode"));
  if (training.size() != 1) return context.Error("operand 2 (training_mode) should be a scalar");
  if (training[0] == 0) return EmitInference(context);
  FUSEE_TRY(const bool nothing, DropsNothing(context));
  if (nothing) return EmitInference(context);
  return context.Refuse(
      "training_mode is true and drops elements at random, which no run could repeat; export the "
      "model for inference (model.eval()), or with ratio 0");
}

}  // namespace

OpDef DefineDropout() {
  return {.name = "Dropout",
          .imports = {{.onnx_op = "Dropout", .since = 7, .until = 11, .import = ImportAttributes},
                      {.onnx_op = "Dropout", .since = 12, .import = ImportOperands}}};
}

}  // namespace fusee::ops
