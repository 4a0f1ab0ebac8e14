#include "ops/norm/skip_norm.h"

#include <fmt/format.h>

namespace fusee::ops {

Result<SkipNormParams> ParseSkipNorm(const StepSpec& spec) {
  if (spec.inputs.size() < 3 || spec.inputs.size() > 4 || !spec.has_input(0) ||
      !spec.has_input(1) || !spec.has_input(2) || spec.outputs.empty() || spec.outputs.size() > 2 ||
      !spec.outputs[0].present() || !IsFloat(spec.inputs[0].dtype)) {
    return BadStep(spec, "expected floating-point operands x, skip, scale and its results");
  }
  SkipNormParams p;
  p.dtype = spec.inputs[0].dtype;
  p.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(p.epsilon, spec.attrs->Float("epsilon", static_cast<double>(1e-5f)));
  FUSEE_TRY(int64_t axis, spec.attrs->Int("axis", -1));
  if (p.rank < 1 || (axis != -1 && axis != p.rank - 1))
    return BadStep(spec, "axis should be the last one");
  return p;
}

Status CheckSkipNorm(const SkipNormParams& p, const RunArgs& args) {
  constexpr std::string_view kOp = "SkipLayerNormalization";
  if (args.inputs.size() < 3 || args.outputs.empty() || args.inputs[0].dtype != p.dtype ||
      args.inputs[0].shape.rank() != p.rank || args.outputs[0].dtype != p.dtype) {
    return InvalidArgument(fmt::format("{}: operands differ from those bound", kOp));
  }
  const Shape& x = args.inputs[0].shape;
  const Shape row{x[p.rank - 1]};
  for (size_t i = 1; i < args.inputs.size(); ++i) {
    if (i == 3 && !args.has_input(3)) continue;
    if (args.inputs[i].dtype != p.dtype)
      return InvalidArgument(fmt::format("{}: operand {} has another type than x", kOp, i));
    const Shape& want = i == 1 ? x : row;
    if (!(args.inputs[i].shape == want))
      return ShapeMismatch(kOp, i == 1 ? "skip" : "scale or bias", want, args.inputs[i].shape);
  }
  for (const TensorView& out : args.outputs) {
    if (!out.present()) continue;
    if (out.dtype != p.dtype)
      return InvalidArgument(fmt::format("{}: a result has another type than x", kOp));
    if (!(out.shape == x)) return ShapeMismatch(kOp, "a result", x, out.shape);
  }
  return OkStatus();
}

}  // namespace fusee::ops
