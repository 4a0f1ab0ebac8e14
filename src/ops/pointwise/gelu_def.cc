// Gelu: x Phi(x) with the normal distribution function, exactly ("none") or by tanh ("tanh"):
// https://arxiv.org/abs/1606.08415. com.microsoft has it with a bias added before (BiasGelu, and
// FastGelu by tanh), and as x sigmoid(alpha x), which is Swish (QuickGelu).
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportGelu(ImportContext& context) {
  FUSEE_TRY(std::string approximate, context.Str("approximate", "none"));
  if (approximate != "none" && approximate != "tanh") {
    return context.Error("attribute 'approximate' should be none or tanh, got '" + approximate +
                         "'");
  }
  return context.EmitAs("Gelu", Attrs{{"approximate", std::move(approximate)}});
}

Status ImportWithBias(ImportContext& context, const char* approximate) {
  if (!context.has_input(0)) return context.Error("operand 0 is missing");
  ir::ValueId x = context.input(0);
  if (context.has_input(1)) {
    FUSEE_TRY(x, context.Emit("Add", {x, context.input(1)}));
  }
  return context.EmitAs("Gelu", {x}, Attrs{{"approximate", std::string(approximate)}});
}
Status ImportBiasGelu(ImportContext& context) { return ImportWithBias(context, "none"); }
Status ImportFastGelu(ImportContext& context) { return ImportWithBias(context, "tanh"); }

Status ImportQuickGelu(ImportContext& context) {
  FUSEE_TRY(const double alpha, context.Float("alpha", static_cast<double>(1.702f)));
  return context.EmitAs("Swish", Attrs{{"alpha", alpha}});
}

}  // namespace

OpDef DefineGelu() {
  return {
      .name = "Gelu",
      .infer = InferUnary<kFloats>,
      .imports = {{.onnx_op = "Gelu", .import = ImportGelu},
                  {.onnx_op = "Gelu", .import = ImportGelu, .domain = "com.microsoft"},
                  {.onnx_op = "BiasGelu", .import = ImportBiasGelu, .domain = "com.microsoft"},
                  {.onnx_op = "FastGelu", .import = ImportFastGelu, .domain = "com.microsoft"},
                  {.onnx_op = "QuickGelu", .import = ImportQuickGelu, .domain = "com.microsoft"}}};
}

}  // namespace fusee::ops
