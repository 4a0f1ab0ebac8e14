// DynamicQuantizeLinear: f32 to u8 with scale and zero point taken from the data (results 1 and 2).
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status InferDynamicQuantize(InferContext& context) {
  if (context.dtype(0) != DType::kF32) return context.Error("takes f32 only");
  if (context.outputs().size() != 3) return context.Error("has three results");
  context.SetOutput(0, DType::kU8, context.shape(0));
  context.SetOutput(1, DType::kF32, {});
  context.SetOutput(2, DType::kU8, {});
  return OkStatus();
}

Status ImportDynamicQuantize(ImportContext& context) {
  return context.EmitAs("DynamicQuantizeLinear");
}

}  // namespace

OpDef DefineDynamicQuantizeLinear() {
  return {.name = "DynamicQuantizeLinear",
          .infer = InferDynamicQuantize,
          .imports = {{"DynamicQuantizeLinear", 11, 1 << 20, ImportDynamicQuantize}}};
}

}  // namespace fusee::ops
