#include "ops/nn/pool.h"

#include <fmt/format.h>

namespace fusee::ops {

Result<PoolParams> ParsePool(const StepSpec& spec) {
  PoolParams p;
  p.max = spec.op == "MaxPool" || spec.op == "GlobalMaxPool";
  p.global = spec.op == "GlobalMaxPool" || spec.op == "GlobalAveragePool";
  p.op = p.global ? (p.max ? "GlobalMaxPool" : "GlobalAveragePool")
                  : (p.max                 ? "MaxPool"
                     : spec.op == "LpPool" ? "LpPool"
                                           : "AveragePool");
  const size_t max_outputs = p.max && !p.global ? 2 : 1;
  if (spec.inputs.size() != 1 || !spec.has_input(0) || spec.outputs.empty() ||
      spec.outputs.size() > max_outputs || !spec.outputs[0].present()) {
    return BadStep(spec, "expected one operand and its results");
  }
  p.dtype = spec.inputs[0].dtype;
  const bool bytes = p.dtype == DType::kI8 || p.dtype == DType::kU8;
  if (!IsFloat(p.dtype) && !(bytes && p.max && !p.global))
    return BadStep(spec, "x has an unsupported type");
  const int rank = spec.inputs[0].max_shape.rank();
  if (p.global) {
    if (rank < 2) return BadStep(spec, "x should have rank 2 or more");
    auto channels_last = ParseChannelsLast(*spec.attrs);
    if (!channels_last.ok()) return BadStep(spec, channels_last.status().message());
    p.window.channels_last = *channels_last;
    return p;
  }
  auto window = ParseWindow(*spec.attrs, rank - 2);
  if (!window.ok()) return BadStep(spec, window.status().message());
  p.window = *window;
  if (p.window.channels_last && spec.outputs.size() > 1 && spec.outputs[1].present())
    return BadStep(spec, "indices are defined for layout NCHW only");
  FUSEE_TRY(int64_t include, spec.attrs->Int("count_include_pad", 0));
  FUSEE_TRY(int64_t order, spec.attrs->Int("storage_order", 0));
  if (p.op == "LpPool") {
    FUSEE_TRY(p.lp, spec.attrs->Int("p", 2));
    if (p.lp < 1 || p.lp >= kMaxWindowValue) return BadStep(spec, "p should be positive");
  }
  p.count_include_pad = include != 0;
  p.column_major = order != 0;
  return p;
}

Status PoolGeometry(const PoolParams& p, const Shape& x, PoolShape* s) {
  if (p.global) {
    if (x.rank() < 2)
      return InvalidArgument(fmt::format("{}: x has rank {}, expected 2 or more", p.op, x.rank()));
    s->window = Window();
    s->window.channels_last = p.window.channels_last;
    const int first = p.window.channels_last ? 1 : 2;
    s->channels = x[p.window.channels_last ? x.rank() - 1 : 1];
    s->planes = x[0] * s->channels;
    s->window.in[2] = s->window.kernel[2] = x.elements(first, first + x.rank() - 2);
    if (s->window.in[2] < 1)
      return InvalidArgument(fmt::format("{}: a spatial dimension is 0", p.op));
    return OkStatus();
  }
  if (x.rank() != p.window.spatial + 2) {
    return InvalidArgument(
        fmt::format("{}: x has rank {}, expected {}", p.op, x.rank(), p.window.spatial + 2));
  }
  s->channels = x[p.window.channels_last ? x.rank() - 1 : 1];
  s->planes = x[0] * s->channels;
  Status status = ResolveWindow(p.window, x, &s->window);
  return status.ok() ? OkStatus() : std::move(status).Annotate(p.op);
}

Status CheckPool(const PoolParams& p, const RunArgs& args) {
  if (args.inputs.size() != 1 || args.outputs.empty() || args.inputs[0].dtype != p.dtype ||
      args.outputs[0].dtype != p.dtype) {
    return InvalidArgument(fmt::format("{}: operands differ from those bound", p.op));
  }
  const Shape& x = args.inputs[0].shape;
  PoolShape s;
  FUSEE_TRY(PoolGeometry(p, x, &s));
  Shape want = x;
  const int first = p.window.channels_last ? 1 : 2;
  for (int i = 2; i < x.rank(); ++i) {
    want[first + i - 2] =
        p.global ? 1 : s.window.out[static_cast<size_t>(kMaxSpatial - p.window.spatial + i - 2)];
  }
  if (!(args.outputs[0].shape == want))
    return ShapeMismatch(p.op, "the result", want, args.outputs[0].shape);
  if (args.outputs.size() > 1 && args.outputs[1].present()) {
    if (args.outputs[1].dtype != DType::kI64)
      return InvalidArgument(fmt::format("{}: indices should be i64", p.op));
    if (!(args.outputs[1].shape == want))
      return ShapeMismatch(p.op, "the indices", want, args.outputs[1].shape);
  }
  return OkStatus();
}

int64_t AverageDivisor(const Window& w, bool include_pad, const Spatial& at) {
  int64_t count = 1;
  for (size_t a = 0; a < kMaxSpatial; ++a) {
    const int64_t begin = at[a] * w.stride[a] - w.pad_begin[a];
    const int64_t low = include_pad ? -w.pad_begin[a] : 0;
    const int64_t high = w.in[a] + (include_pad ? w.pad_end[a] : 0);
    count *= TapsBetween(begin, w.kernel[a], w.dilation[a], low, high).count();
  }
  return count;
}

}  // namespace fusee::ops
