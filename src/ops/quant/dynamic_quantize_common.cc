#include "ops/quant/dynamic_quantize.h"

namespace fusee::ops {

Status CheckDynamicQuantizeStep(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {.max_outputs = 3}));
  if (spec.outputs.size() != 3) return BadStep(spec, "has three results");
  const auto is = [](const TensorSpec& t, DType d) { return !t.present() || t.dtype == d; };
  if (spec.inputs[0].dtype != DType::kF32 || !is(spec.outputs[0], DType::kU8) ||
      !is(spec.outputs[1], DType::kF32) || !is(spec.outputs[2], DType::kU8)) {
    return BadStep(spec, "takes f32 and gives u8, f32 and u8");
  }
  return OkStatus();
}

Status CheckDynamicQuantize(const RunArgs& args) {
  if (args.outputs[1].present())
    FUSEE_TRY(ExpectShape("DynamicQuantizeLinear", "scale", Shape{}, args.outputs[1].shape));
  if (args.outputs[2].present())
    FUSEE_TRY(ExpectShape("DynamicQuantizeLinear", "zero point", Shape{}, args.outputs[2].shape));
  return ExpectShape("DynamicQuantizeLinear", "result", args.inputs[0].shape,
                     args.outputs[0].shape);
}

}  // namespace fusee::ops
