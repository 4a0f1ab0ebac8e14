#include "ops/norm/norm.h"

#include <fmt/format.h>

#include "ops/nn/window.h"

namespace fusee::ops {

namespace {

// The operator's name with static life, for messages of a bound kernel.
std::string_view StaticName(std::string_view op) {
  static constexpr std::string_view kNames[] = {
      "Softmax",          "LogSoftmax",         "LpNormalization",    "LayerNormalization",
      "RMSNormalization", "GroupNormalization", "BatchNormalization", "LRN"};
  for (std::string_view name : kNames) {
    if (name == op) return name;
  }
  return "norm";
}

Status CheckSameShape(std::string_view op, DType dtype, const RunArgs& args) {
  if (args.inputs.empty() || args.outputs.empty() || args.inputs[0].dtype != dtype ||
      args.outputs[0].dtype != dtype) {
    return InvalidArgument(fmt::format("{}: operands differ from those bound", op));
  }
  if (!(args.outputs[0].shape == args.inputs[0].shape)) {
    return ShapeMismatch(op, "the result", args.inputs[0].shape, args.outputs[0].shape);
  }
  return OkStatus();
}

}  // namespace

// --- axis ---

Result<AxisParams> ParseAxisNorm(const StepSpec& spec) {
  if (spec.inputs.size() != 1 || spec.outputs.size() != 1 || !spec.has_input(0) ||
      !spec.outputs[0].present() || !IsFloat(spec.inputs[0].dtype)) {
    return BadStep(spec, "expected one floating-point operand and one result");
  }
  AxisParams p;
  p.op = StaticName(spec.op);
  p.dtype = spec.inputs[0].dtype;
  FUSEE_TRY(int64_t axis, spec.attrs->Int("axis", 0));
  FUSEE_TRY(int64_t axes, spec.attrs->Int("axes_count", 1));
  FUSEE_TRY(p.p, spec.attrs->Int("p", 2));
  const int rank = spec.inputs[0].max_shape.rank();
  if (axis < 0 || axes < 0 || axes > kMaxRank || axis > rank - axes)
    return BadStep(spec, "axis is out of range");
  if (p.p != 1 && p.p != 2) return BadStep(spec, "p should be 1 or 2");
  p.axis = static_cast<int>(axis);
  p.axes = static_cast<int>(axes);
  return p;
}

AxisShape AxisGeometry(const AxisParams& p, const Shape& x) {
  return {x.elements(0, p.axis), x.elements(p.axis, p.axis + p.axes),
          x.elements(p.axis + p.axes, x.rank())};
}

Status CheckAxisNorm(const AxisParams& p, const RunArgs& args) {
  FUSEE_TRY(CheckSameShape(p.op, p.dtype, args));
  if (args.inputs[0].shape.rank() < p.axis + p.axes) {
    return InvalidArgument(fmt::format("{}: x of shape {} lacks axis {}", p.op,
                                       args.inputs[0].shape.ToString(), p.axis));
  }
  return OkStatus();
}

// --- rows ---

Result<RowNormParams> ParseRowNorm(const StepSpec& spec) {
  RowNormParams p;
  p.op = StaticName(spec.op);
  p.rms = spec.op == "RMSNormalization";
  if (spec.inputs.size() < 2 || spec.inputs.size() > (p.rms ? 2u : 3u) || !spec.has_input(0) ||
      !spec.has_input(1) || spec.outputs.empty() || spec.outputs.size() > (p.rms ? 1u : 3u) ||
      !spec.outputs[0].present() || !IsFloat(spec.inputs[0].dtype)) {
    return BadStep(spec, "expected floating-point operands x, scale and its results");
  }
  p.dtype = spec.inputs[0].dtype;
  p.rank = spec.inputs[0].max_shape.rank();
  FUSEE_TRY(int64_t axis, spec.attrs->Int("axis", -1));
  FUSEE_TRY(p.epsilon, spec.attrs->Float("epsilon", static_cast<double>(1e-5f)));
  if (axis < 0 || axis >= p.rank) return BadStep(spec, "axis is out of range");
  p.axis = static_cast<int>(axis);
  return p;
}

RowOperand RowOperandOf(const RowNormParams& p, const Shape& x, const Shape& operand) {
  RowOperand r;
  const int offset = x.rank() - operand.rank();
  int64_t step = 1;
  r.rank = x.rank() - p.axis;
  for (int i = x.rank() - 1; i >= p.axis; --i) {
    const size_t d = static_cast<size_t>(i - p.axis);
    const int64_t size = i >= offset ? operand[i - offset] : 1;
    r.dims[d] = x[i];
    r.strides[d] = size == 1 ? 0 : step;
    if (size != x[i]) r.contiguous = false;
    step *= size;
  }
  return r;
}

Status CheckRowNorm(const RowNormParams& p, const RunArgs& args) {
  FUSEE_TRY(CheckSameShape(p.op, p.dtype, args));
  const Shape& x = args.inputs[0].shape;
  if (x.rank() != p.rank || args.inputs.size() < 2) {
    return InvalidArgument(
        fmt::format("{}: x of shape {} has another rank than bound", p.op, x.ToString()));
  }
  for (size_t i = 1; i < args.inputs.size(); ++i) {
    if (!args.has_input(i) && i > 1) continue;
    const ConstTensorView& s = args.inputs[i];
    bool fits = s.dtype == p.dtype && s.shape.rank() <= x.rank();
    for (int d = 0; fits && d < s.shape.rank(); ++d) {
      const int xd = x.rank() - s.shape.rank() + d;
      fits = s.shape[d] == 1 || (xd >= p.axis && s.shape[d] == x[xd]);
    }
    if (!fits) {
      return InvalidArgument(
          fmt::format("{}: operand {} of shape {} does not fit x of shape {} from axis {}", p.op, i,
                      s.shape.ToString(), x.ToString(), p.axis));
    }
  }
  Shape stat = x;
  for (int i = p.axis; i < x.rank(); ++i) stat[i] = 1;
  for (size_t i = 1; i < args.outputs.size(); ++i) {
    const TensorView& out = args.outputs[i];
    if (!out.present()) continue;
    if (!IsFloat(out.dtype))
      return InvalidArgument(fmt::format("{}: statistics should be floating-point", p.op));
    if (!(out.shape == stat)) return ShapeMismatch(p.op, "a statistic", stat, out.shape);
  }
  return OkStatus();
}

// --- channels ---

Result<ChannelParams> ParseChannelNorm(const StepSpec& spec) {
  ChannelParams p;
  p.op = StaticName(spec.op);
  const size_t operands = p.op == "LRN" ? 1 : p.op == "BatchNormalization" ? 5 : 3;
  if (spec.inputs.size() != operands || spec.outputs.size() != 1 || !spec.outputs[0].present()) {
    return BadStep(spec, fmt::format("expected {} operands and one result", operands));
  }
  for (const TensorSpec& input : spec.inputs) {
    if (!IsFloat(input.dtype)) return BadStep(spec, "operands should be floating-point");
  }
  if (spec.inputs[0].max_shape.rank() < 2) return BadStep(spec, "x should have rank 2 or more");
  p.dtype = spec.inputs[0].dtype;
  FUSEE_TRY(p.epsilon, spec.attrs->Float("epsilon", static_cast<double>(1e-5f)));
  FUSEE_TRY(p.groups, spec.attrs->Int("num_groups", 1));
  FUSEE_TRY(p.size, spec.attrs->Int("size", 1));
  FUSEE_TRY(p.alpha, spec.attrs->Float("alpha", static_cast<double>(1e-4f)));
  FUSEE_TRY(p.beta, spec.attrs->Float("beta", 0.75));
  FUSEE_TRY(p.bias, spec.attrs->Float("bias", 1));
  constexpr int64_t kLimit = int64_t{1} << 31;
  if (p.groups < 1 || p.groups >= kLimit) return BadStep(spec, "num_groups should be positive");
  if (p.size < 1 || p.size >= kLimit) return BadStep(spec, "size should be positive");
  auto channels_last = ParseChannelsLast(*spec.attrs);
  if (!channels_last.ok()) return BadStep(spec, channels_last.status().message());
  p.channels_last = *channels_last;
  if (p.channels_last && p.op != "BatchNormalization")
    return BadStep(spec, "only BatchNormalization knows layout NHWC");
  return p;
}

ChannelShape ChannelGeometry(const Shape& x, bool channels_last) {
  const int last = x.rank() - 1;
  if (channels_last) return {x[0], x[last], x.elements(1, last)};
  return {x[0], x[1], x.elements(2, x.rank())};
}

Status CheckChannelNorm(const ChannelParams& p, const RunArgs& args) {
  FUSEE_TRY(CheckSameShape(p.op, p.dtype, args));
  const Shape& x = args.inputs[0].shape;
  if (x.rank() < 2)
    return InvalidArgument(fmt::format("{}: x has rank {}, expected 2 or more", p.op, x.rank()));
  const int64_t channels = ChannelGeometry(x, p.channels_last).channels;
  if (channels % p.groups != 0) {
    return InvalidArgument(
        fmt::format("{}: {} channels do not divide into {} groups", p.op, channels, p.groups));
  }
  const size_t operands = p.op == "LRN" ? 1 : p.op == "BatchNormalization" ? 5 : 3;
  if (args.inputs.size() != operands)
    return InvalidArgument(fmt::format("{}: expected {} operands", p.op, operands));
  for (size_t i = 1; i < operands; ++i) {
    if (!IsFloat(args.inputs[i].dtype))
      return InvalidArgument(fmt::format("{}: operand {} is not floating-point", p.op, i));
    if (!(args.inputs[i].shape == Shape{channels})) {
      return ShapeMismatch(p.op, "a per-channel operand", Shape{channels}, args.inputs[i].shape);
    }
  }
  return OkStatus();
}

}  // namespace fusee::ops
