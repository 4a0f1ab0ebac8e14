// Gelu: x Phi(x) with the normal distribution function, exactly ("none") or by tanh ("tanh"):
// https://arxiv.org/abs/1606.08415.
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

}  // namespace

OpDef DefineGelu() {
  return {.name = "Gelu",
          .infer = InferUnary<kFloats>,
          .imports = {{.onnx_op = "Gelu", .import = ImportGelu},
                      {.onnx_op = "Gelu", .import = ImportGelu, .domain = "com.microsoft"}}};
}

}  // namespace fusee::ops
