#include "ops/nn/conv.h"

#include <fmt/format.h>

#include "ops/math_mode.h"

namespace fusee::ops {

Result<ConvParams> ParseConv(const StepSpec& spec) {
  if (spec.inputs.size() < 2 || spec.inputs.size() > 4 || spec.outputs.size() != 1 ||
      !spec.has_input(0) || !spec.has_input(1) || !spec.outputs[0].present()) {
    return BadStep(spec,
                   "expected operands x, w, optionally a bias and a residual, and one result");
  }
  ConvParams p;
  p.dtype = spec.inputs[0].dtype;
  if (!IsFloat(p.dtype)) return BadStep(spec, "x should be of a floating-point type");
  auto window = ParseWindow(*spec.attrs, spec.inputs[0].max_shape.rank() - 2);
  if (!window.ok()) return BadStep(spec, window.status().message());
  p.window = *window;
  p.window.ceil_mode = false;
  FUSEE_TRY(p.group, spec.attrs->Int("group", 1));
  if (p.group < 1 || p.group >= kMaxWindowValue) return BadStep(spec, "group should be positive");
  auto activation = ParseActivation(*spec.attrs);
  if (!activation.ok()) return BadStep(spec, activation.status().message());
  p.activation = *activation;
  const auto tf32 = AllowsTf32(*spec.attrs);
  if (!tf32.ok()) return BadStep(spec, tf32.status().message());
  if (*tf32 && p.dtype != DType::kF32) return BadStep(spec, "math tf32 is for f32 operands");
  p.tf32 = *tf32;
  return p;
}

Status ConvGeometry(const ConvParams& p, const Shape& x, const Shape& w, ConvShape* s) {
  const int rank = p.window.spatial + 2;
  if (x.rank() != rank || w.rank() != rank) {
    return InvalidArgument(fmt::format("Conv: x has shape {} and w {}, expected rank {}",
                                       x.ToString(), w.ToString(), rank));
  }
  s->batch = x[0];
  const int channel_axis = p.window.channels_last ? rank - 1 : 1;  // of x and w
  const int first = p.window.channels_last ? 1 : 2;                // spatial axis of both
  s->channels = x[channel_axis];
  s->out_channels = w[0];
  s->group_channels = w[channel_axis];
  s->group_out_channels = w[0] / p.group;
  int64_t channels = 0;
  bool fits = !__builtin_mul_overflow(s->group_channels, p.group, &channels) &&
              channels == s->channels && w[0] % p.group == 0;
  for (int i = 0; i < p.window.spatial; ++i) {
    fits = fits &&
           w[first + i] == p.window.kernel[static_cast<size_t>(kMaxSpatial - p.window.spatial + i)];
  }
  if (!fits) {
    return InvalidArgument(fmt::format(
        "Conv: w of shape {} does not fit x of shape {} with group {} and the kernel_shape",
        w.ToString(), x.ToString(), p.group));
  }
  Status status = ResolveWindow(p.window, x, &s->window);
  return status.ok() ? OkStatus() : std::move(status).Annotate("Conv");
}

Status CheckConv(const ConvParams& p, const RunArgs& args) {
  if (args.inputs.size() < 2 || args.outputs.size() != 1)
    return InvalidArgument("Conv: wrong operand count");
  const ConstTensorView& x = args.inputs[0];
  const ConstTensorView& w = args.inputs[1];
  const TensorView& y = args.outputs[0];
  if (x.dtype != p.dtype || w.dtype != p.dtype || y.dtype != p.dtype) {
    return InvalidArgument("Conv: operand types differ from those bound");
  }
  ConvShape s;
  FUSEE_TRY(ConvGeometry(p, x.shape, w.shape, &s));
  Shape want;
  want.push_back(s.batch);
  if (!p.window.channels_last) want.push_back(s.out_channels);
  for (int i = kMaxSpatial - p.window.spatial; i < kMaxSpatial; ++i) {
    want.push_back(s.window.out[static_cast<size_t>(i)]);
  }
  if (p.window.channels_last) want.push_back(s.out_channels);
  if (!(y.shape == want)) return ShapeMismatch("Conv", "the result", want, y.shape);
  if (args.has_input(2)) {
    if (args.inputs[2].dtype != p.dtype)
      return InvalidArgument("Conv: the bias has another type than x");
    if (!(args.inputs[2].shape == Shape{s.out_channels})) {
      return ShapeMismatch("Conv", "the bias", Shape{s.out_channels}, args.inputs[2].shape);
    }
  }
  if (args.has_input(3)) {
    if (args.inputs[3].dtype != p.dtype)
      return InvalidArgument("Conv: the residual has another type than x");
    if (!(args.inputs[3].shape == want))
      return ShapeMismatch("Conv", "the residual", want, args.inputs[3].shape);
  }
  return OkStatus();
}

}  // namespace fusee::ops
