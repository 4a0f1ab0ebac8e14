// ConvTranspose. IR: as Conv (window.h), plus output_padding (one per spatial axis, default 0);
// pads are always explicit. Operands x [N, C, spatial...], w [C, O/group, kernel...], optional bias
// [O]. Along each spatial axis
//   out = stride (in - 1) + output_padding + extent - pad_begin - pad_end,  extent = (kernel - 1)
//   dilation + 1.
#include <fmt/format.h>

#include "ops/nn/window_def.h"

namespace fusee::ops {

namespace {

using Ints = std::vector<int64_t>;

// output_shape, or SAME's output of in * stride, says the result and leaves the pads to follow from
// it.
Status PadsFromOutput(ImportContext& c, const Ints& output_shape, AutoPad mode, Attrs* attrs) {
  const ir::SymShape& x = c.info(0).shape;
  auto window = ParseWindow(*attrs, static_cast<int>(x.size()) - 2);
  if (!window.ok()) return c.Error(window.status().message());
  const size_t n = x.size() - 2;
  FUSEE_TRY(Ints extra, attrs->Ints("output_padding"));
  if (extra.size() != n) return c.Error("output_padding should have one entry per spatial axis");
  Ints pads(2 * n, 0);
  for (size_t i = 0; i < n; ++i) {
    const size_t a = static_cast<size_t>(kMaxSpatial) - n + i;
    if (!x[2 + i].is_constant()) {
      return c.Refuse(
          "output_shape or auto_pad SAME needs spatial sizes that are known while building");
    }
    const int64_t in = x[2 + i].constant();
    if (in >= kMaxWindowValue || extra[i] < 0 || extra[i] >= kMaxWindowValue) {
      return c.Error(
          fmt::format("spatial size {} or output_padding {} is out of range", in, extra[i]));
    }
    const int64_t out = output_shape.empty() ? in * window->stride[a] : output_shape[i];
    if (out < 1 || out >= kMaxWindowValue)
      return c.Error(fmt::format("output_shape holds {}", out));
    const int64_t total =
        window->stride[a] * (in - 1) + extra[i] + window->Extent(static_cast<int>(a)) - out;
    if (total < 0) {
      extra[i] -= total;  // a result larger than the taps reach: the rest is bias
      continue;
    }
    const int64_t small = total / 2;
    pads[i] = mode == AutoPad::kSameUpper ? small : total - small;
    pads[n + i] = total - pads[i];
  }
  attrs->Set("pads", pads);
  attrs->Set("output_padding", extra);
  return OkStatus();
}

Status ImportConvTranspose(ImportContext& c) {
  if (!c.has_input(0) || !c.has_input(1)) return c.Error("operands x and w are required");
  const ir::SymShape& w = c.info(1).shape;
  if (c.rank(0) < 3 || c.rank(0) > 2 + kMaxSpatial || c.rank(1) != c.rank(0)) {
    return c.Refuse(
        fmt::format("x has rank {} and w {}; 3 to 5, equal, are supported", c.rank(0), c.rank(1)));
  }
  const size_t n = w.size() - 2;
  Attrs attrs;
  const auto list = [&](const char* name, size_t size, int64_t fallback) -> Status {
    FUSEE_TRY(Ints values, c.Ints(name));
    if (values.empty()) values.assign(size, fallback);
    attrs.Set(name, values);
    return OkStatus();
  };
  FUSEE_TRY(Ints kernel, c.Ints("kernel_shape"));
  if (kernel.empty()) {
    for (size_t i = 2; i < w.size(); ++i) {
      if (!w[i].is_constant()) return c.Refuse("the kernel size must be known while building");
      kernel.push_back(w[i].constant());
    }
  }
  attrs.Set("kernel_shape", std::move(kernel));
  FUSEE_TRY(list("strides", n, 1));
  FUSEE_TRY(list("dilations", n, 1));
  FUSEE_TRY(list("pads", 2 * n, 0));
  FUSEE_TRY(list("output_padding", n, 0));
  FUSEE_TRY(int64_t group, c.Int("group", 1));
  attrs.Set("group", group);
  FUSEE_TRY(std::string auto_pad, c.Str("auto_pad", "NOTSET"));
  auto mode = ParseAutoPad(auto_pad);
  if (!mode.ok()) return c.Error(mode.status().message());
  FUSEE_TRY(Ints output_shape, c.Ints("output_shape"));
  if (output_shape.size() == n + 2)
    output_shape.erase(output_shape.begin(), output_shape.begin() + 2);
  if (!output_shape.empty() && output_shape.size() != n)
    return c.Error("output_shape should have one entry per spatial axis");
  if (*mode == AutoPad::kValid) attrs.Set("pads", Ints(2 * n, 0));
  if (!output_shape.empty() || *mode == AutoPad::kSameUpper || *mode == AutoPad::kSameLower) {
    FUSEE_TRY(PadsFromOutput(c, output_shape, *mode, &attrs));
  }
  return c.EmitAs("ConvTranspose", std::move(attrs));
}

Status InferConvTranspose(InferContext& c) {
  if (c.input_count() < 2 || c.input_count() > 3 || !c.has_input(0) || !c.has_input(1)) {
    return c.Error("expected operands x, w and optionally a bias");
  }
  const ir::SymShape& x = c.shape(0);
  const ir::SymShape& w = c.shape(1);
  if (c.rank(0) < 3 || c.rank(0) > 2 + kMaxSpatial || c.rank(1) != c.rank(0)) {
    return c.Error(
        fmt::format("x has rank {} and w {}, expected 3 to 5, equal", c.rank(0), c.rank(1)));
  }
  if (!IsFloat(c.dtype(0)) || c.dtype(1) != c.dtype(0))
    return c.Error("x and w should be of one floating-point type");
  auto window = ParseWindow(c.attrs(), c.rank(0) - 2);
  if (!window.ok()) return c.Error(window.status().message());
  if (window->channels_last) return c.Error("layout NHWC is not part of ConvTranspose");
  FUSEE_TRY(int64_t group, c.attrs().Int("group", 1));
  FUSEE_TRY(Ints extra, c.attrs().Ints("output_padding"));
  const size_t n = x.size() - 2;
  if (extra.empty()) extra.assign(n, 0);
  if (group < 1 || group >= kMaxWindowValue || extra.size() != n)
    return c.Error("group or output_padding is wrong");
  FUSEE_TRY(c.RequireEqual(x[1], w[0], "channels of x and of w"));
  if (w[0].is_constant() && w[0].constant() % group != 0)
    return c.Error("channels do not divide into the groups");
  const ir::Dim channels = w[1] * ir::Dim(group);
  ir::SymShape out{x[0], channels};
  for (size_t i = 0; i < n; ++i) {
    const size_t a = static_cast<size_t>(kMaxSpatial) - n + i;
    if (extra[i] < 0 || extra[i] >= kMaxWindowValue)
      return c.Error("output_padding should not be negative");
    FUSEE_TRY(c.RequireEqual(w[2 + i], window->kernel[a], "kernel_shape and the shape of w"));
    const int64_t fixed =
        extra[i] + window->Extent(static_cast<int>(a)) - window->pad_begin[a] - window->pad_end[a];
    const ir::Dim size = (x[2 + i] - ir::Dim(1)) * ir::Dim(window->stride[a]) + ir::Dim(fixed);
    if (size.Range(c.symbols()).max < 1)
      return c.Error(fmt::format("spatial axis {} of the result is empty", i));
    out.push_back(size);
  }
  FUSEE_TRY(CheckBias(c, channels));
  c.SetOutput(0, c.dtype(0), std::move(out));
  return OkStatus();
}

}  // namespace

OpDef DefineConvTranspose() {
  return {.name = "ConvTranspose",
          .infer = InferConvTranspose,
          .imports = {{.onnx_op = "ConvTranspose", .since = 1, .import = ImportConvTranspose}}};
}

}  // namespace fusee::ops
