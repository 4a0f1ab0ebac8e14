// DeformConv: a convolution whose taps each lie at their own place. Operands: x [N, C, in...],
// w [M, C / group, kernel...], offset [N, offset_group * taps * axes, out...] in elements per tap
// and axis, optionally a bias [M] and a mask [N, offset_group * taps, out...] by which taps are
// multiplied. Elements between x's are interpolated linearly, those outside are zeros.
//
// Attributes: those of a window (ops/nn/window.h), group and offset_group.
#include <fmt/format.h>

#include "ops/nn/window_def.h"
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

constexpr size_t kX = 0, kW = 1, kOffset = 2, kBias = 3, kMask = 4;

Status ImportDeformConv(ImportContext& c) {
  if (!c.has_input(kX) || !c.has_input(kW) || !c.has_input(kOffset)) {
    return c.Error("operands x, w and offset are required");
  }
  const ir::SymShape& w = c.info(kW).shape;
  if (c.rank(kX) < 3 || c.rank(kX) > 2 + kMaxSpatial) {
    return c.Refuse(fmt::format("x has rank {}; 3 to 5 are supported", c.rank(kX)));
  }
  if (c.rank(kW) != c.rank(kX)) {
    return c.Error(fmt::format("w has rank {}, x has {}", c.rank(kW), c.rank(kX)));
  }
  FUSEE_TRY(std::vector<int64_t> kernel, c.Ints("kernel_shape"));
  if (kernel.empty()) {
    for (size_t i = 2; i < w.size(); ++i) {
      if (!w[i].is_constant()) return c.Refuse("the kernel size must be known while building");
      kernel.push_back(w[i].constant());
    }
  }
  if (kernel.size() + 2 != w.size()) {
    return c.Error(
        fmt::format("kernel_shape has {} entries, expected {}", kernel.size(), w.size() - 2));
  }
  FUSEE_TRY(Attrs attrs, ImportWindow(c, std::move(kernel), false));
  FUSEE_TRY(const int64_t group, c.Int("group", 1));
  FUSEE_TRY(const int64_t offset_group, c.Int("offset_group", 1));
  attrs.Set("group", group);
  attrs.Set("offset_group", offset_group);
  return c.EmitAs("DeformConv", std::move(attrs));
}

// offset or mask: [N, channels, out...].
Status RequirePlaces(InferContext& c, size_t operand, const char* name, int64_t channels,
                     const ir::SymShape& out) {
  const ir::SymShape& shape = c.shape(operand);
  if (shape.size() != out.size() || c.dtype(operand) != c.dtype(kX)) {
    return c.Error(fmt::format("{} should have the rank and type of x", name));
  }
  FUSEE_TRY(c.RequireEqual(shape[0], out[0], fmt::format("batch dimensions of x and {}", name)));
  FUSEE_TRY(c.RequireEqual(shape[1], channels,
                           fmt::format("channels of {} and what the kernel needs", name)));
  for (size_t i = 2; i < out.size(); ++i) {
    FUSEE_TRY(c.RequireEqual(shape[i], out[i], fmt::format("sizes of {} and the result", name)));
  }
  return OkStatus();
}

Status InferDeformConv(InferContext& c) {
  if (c.input_count() < 3 || c.input_count() > 5 || !c.has_input(kX) || !c.has_input(kW) ||
      !c.has_input(kOffset)) {
    return c.Error("expected operands x, w, offset, and optionally a bias and a mask");
  }
  const int axes = c.rank(kX) - 2;
  if (axes < 1 || axes > kMaxSpatial || c.rank(kW) != c.rank(kX)) {
    return c.Error(
        fmt::format("x has rank {} and w {}, expected 3 to 5, equal", c.rank(kX), c.rank(kW)));
  }
  if (!IsFloat(c.dtype(kX)) || c.dtype(kW) != c.dtype(kX)) {
    return c.Error(fmt::format("x is {} and w is {}, expected one floating-point type",
                               DTypeName(c.dtype(kX)), DTypeName(c.dtype(kW))));
  }
  auto window = ParseWindow(c.attrs(), axes);
  if (!window.ok()) return c.Error(window.status().message());
  FUSEE_TRY(const int64_t group, c.attrs().Int("group", 1));
  FUSEE_TRY(const int64_t offset_group, c.attrs().Int("offset_group", 1));
  // The bound keeps products with the taps in range; no model comes near.
  if (group < 1 || group >= kMaxWindowValue || offset_group < 1 || offset_group >= 1 << 16) {
    return c.Error(fmt::format("group {} or offset_group {} is out of range", group, offset_group));
  }
  const ir::SymShape& x = c.shape(kX);
  const ir::SymShape& w = c.shape(kW);
  FUSEE_TRY(c.RequireEqual(x[1], w[1] * ir::Dim(group), "channels of x, and of w times group,"));
  FUSEE_TRY(c.RequireEqual(Mod(w[0], group), 0, "output channels modulo group and 0"));
  FUSEE_TRY(c.RequireEqual(Mod(x[1], offset_group), 0, "channels modulo offset_group and 0"));
  for (int i = 0; i < axes; ++i) {
    FUSEE_TRY(c.RequireEqual(w[static_cast<size_t>(2 + i)],
                             window->kernel[static_cast<size_t>(kMaxSpatial - axes + i)],
                             "kernel_shape and w's sizes"));
  }
  FUSEE_TRY(const ir::SymShape out, InferWindow(c, *window, w[0]));
  const int64_t taps = offset_group * window->KernelElements();
  FUSEE_TRY(RequirePlaces(c, kOffset, "offset", taps * axes, out));
  if (c.has_input(kMask)) FUSEE_TRY(RequirePlaces(c, kMask, "mask", taps, out));
  if (c.has_input(kBias)) {
    if (c.rank(kBias) != 1 || c.dtype(kBias) != c.dtype(kX)) {
      return c.Error("the bias should be 1-D and of x's type");
    }
    FUSEE_TRY(c.RequireEqual(c.shape(kBias)[0], w[0], "the bias and the output channels"));
  }
  c.SetOutput(0, c.dtype(kX), out);
  return OkStatus();
}

}  // namespace

OpDef DefineDeformConv() {
  return {.name = "DeformConv",
          .infer = InferDeformConv,
          .imports = {{"DeformConv", 19, 1 << 20, ImportDeformConv}}};
}

}  // namespace fusee::ops
