#include <fmt/format.h>

#include "ops/nn/activation.h"
#include "ops/nn/residual_def.h"
#include "ops/nn/spell_activation_def.h"
#include "ops/nn/window_def.h"

namespace fusee::ops {

namespace {

// Kernel sizes come from the weight; the attribute, when given, must say the same.
Result<Attrs> ReadConv(ImportContext& c) {
  if (!c.has_input(0) || !c.has_input(1)) return c.Error("operands x and w are required");
  const ir::SymShape& w = c.info(1).shape;
  if (c.rank(0) < 3 || c.rank(0) > 2 + kMaxSpatial) {
    return c.Refuse(fmt::format("x has rank {}; 3 to 5 are supported", c.rank(0)));
  }
  if (c.rank(1) != c.rank(0))
    return c.Error(fmt::format("w has rank {}, x has {}", c.rank(1), c.rank(0)));
  FUSEE_TRY(std::vector<int64_t> kernel, c.Ints("kernel_shape"));
  const bool given = !kernel.empty();
  if (given && kernel.size() + 2 != w.size()) {
    return c.Error(
        fmt::format("kernel_shape has {} entries, expected {}", kernel.size(), w.size() - 2));
  }
  for (size_t i = 2; i < w.size(); ++i) {
    if (!given) {
      if (!w[i].is_constant()) return c.Refuse("the kernel size must be known while building");
      kernel.push_back(w[i].constant());
    }
  }
  FUSEE_TRY(Attrs attrs, ImportWindow(c, std::move(kernel), false));
  FUSEE_TRY(int64_t group, c.Int("group", 1));
  attrs.Set("group", group);
  return attrs;
}

Status ImportConv(ImportContext& c) {
  FUSEE_TRY(Attrs attrs, ReadConv(c));
  return c.EmitAs("Conv", std::move(attrs));
}

// com.microsoft: activation(convolution + bias + Z).
Status ImportFusedConv(ImportContext& c) {
  FUSEE_TRY(Attrs attrs, ReadConv(c));
  FUSEE_TRY(const std::string activation, c.Str("activation", ""));
  FUSEE_TRY(const std::vector<double> numbers, c.Floats("activation_params"));
  const auto number = [&](size_t i) {
    return i < numbers.size() ? std::optional(numbers[i]) : std::nullopt;
  };
  std::vector<ir::ValueId> operands = {c.input(0), c.input(1)};
  if (c.has_input(2)) operands.push_back(c.input(2));
  FUSEE_TRY(ir::ValueId y, c.Emit("Conv", std::move(operands), std::move(attrs)));
  if (c.has_input(3)) {
    FUSEE_TRY(y, c.Emit("Add", {y, c.input(3)}));
  }
  FUSEE_TRY(y, SpellActivation(c, y, activation, number(0), number(1)));
  c.SetOutput(0, y);
  return OkStatus();
}

Status InferConv(InferContext& c) {
  if (c.input_count() < 2 || c.input_count() > 4 || !c.has_input(0) || !c.has_input(1)) {
    return c.Error("expected operands x, w, and optionally a bias and a residual");
  }
  const ir::SymShape& x = c.shape(0);
  const ir::SymShape& w = c.shape(1);
  if (c.rank(0) < 3 || c.rank(0) > 2 + kMaxSpatial || c.rank(1) != c.rank(0)) {
    return c.Error(
        fmt::format("x has rank {} and w {}, expected 3 to 5, equal", c.rank(0), c.rank(1)));
  }
  if (!IsFloat(c.dtype(0)) || c.dtype(1) != c.dtype(0)) {
    return c.Error(fmt::format("x is {} and w is {}, expected one floating-point type",
                               DTypeName(c.dtype(0)), DTypeName(c.dtype(1))));
  }
  auto window = ParseWindow(c.attrs(), c.rank(0) - 2);
  if (!window.ok()) return c.Error(window.status().message());
  FUSEE_TRY(int64_t group, c.attrs().Int("group", 1));
  if (group < 1 || group >= kMaxWindowValue)
    return c.Error(fmt::format("group {} is not positive", group));
  const size_t channel_axis = window->channels_last ? x.size() - 1 : 1;  // of x and w
  const size_t first = window->channels_last ? 1 : 2;                    // spatial axis of both
  FUSEE_TRY(c.RequireEqual(x[channel_axis], w[channel_axis] * ir::Dim(group),
                           "channels of x, and of w times group,"));
  if (w[0].is_constant() && w[0].constant() % group != 0) {
    return c.Error(
        fmt::format("{} output channels do not divide into {} groups", w[0].constant(), group));
  }
  for (size_t i = 0; i + 2 < w.size(); ++i) {
    const size_t axis = static_cast<size_t>(kMaxSpatial) - (w.size() - 2) + i;
    FUSEE_TRY(
        c.RequireEqual(w[first + i], window->kernel[axis], "kernel_shape and the shape of w"));
  }
  FUSEE_TRY(CheckBias(c, w[0]));
  if (auto a = ParseActivation(c.attrs()); !a.ok()) return c.Error(a.status().message());
  FUSEE_TRY(ir::SymShape out, InferWindow(c, *window, w[0]));
  FUSEE_TRY(CheckResidual(c, out));
  c.SetOutput(0, c.dtype(0), std::move(out));
  return OkStatus();
}

}  // namespace

OpDef DefineConv() {
  return {
      .name = "Conv",
      .infer = InferConv,
      .imports = {{.onnx_op = "Conv", .since = 1, .import = ImportConv},
                  {.onnx_op = "FusedConv", .import = ImportFusedConv, .domain = "com.microsoft"}}};
}

}  // namespace fusee::ops
