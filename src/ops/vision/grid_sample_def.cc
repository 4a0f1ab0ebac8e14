// GridSample: operand 0 [N, C, spatial...], 1 to 3 spatial axes, sampled at the positions in
// operand 1 [N, out..., spatial axes], whose last axis names the innermost spatial axis first, each
// as a fraction: -1 is the first element, 1 the last. Result: [N, C, out...].
//
// Attributes: mode (linear, nearest, cubic), padding_mode (zeros, border, reflection) and
// align_corners: whether -1 and 1 are the outermost elements' centres or their outer edges.
#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {
namespace {

constexpr int kMaxSampledAxes = 3;

Status CheckModes(InferContext& context) {
  FUSEE_TRY(const std::string mode, context.attrs().Str("mode", "linear"));
  FUSEE_TRY(const std::string padding, context.attrs().Str("padding_mode", "zeros"));
  if (mode != "linear" && mode != "nearest" && mode != "cubic") {
    return context.Error(fmt::format("mode '{}' is not linear, nearest or cubic", mode));
  }
  if (padding != "zeros" && padding != "border" && padding != "reflection") {
    return context.Error(
        fmt::format("padding_mode '{}' is not zeros, border or reflection", padding));
  }
  if (mode != "nearest" && !IsFloat(context.dtype(0))) {
    return context.Refuse(
        fmt::format("mode {} of {} has no defined rounding; cast to a floating-point type before",
                    mode, DTypeName(context.dtype(0))));
  }
  return OkStatus();
}

Status InferGridSample(InferContext& context) {
  if (context.input_count() != 2 || !context.has_input(0) || !context.has_input(1)) {
    return context.Error("needs an operand and a grid");
  }
  const int axes = context.rank(0) - 2;
  if (axes < 1) return context.Error("needs an operand [N, C, ...] of rank 3 or more");
  if (axes > kMaxSampledAxes) {
    return context.Refuse(
        fmt::format("samples {} axes; 1 to {} are supported", axes, kMaxSampledAxes));
  }
  if (!IsFloat(context.dtype(1))) {
    return context.Error(
        fmt::format("the grid is {}, expected a floating-point type", DTypeName(context.dtype(1))));
  }
  const ir::SymShape& data = context.shape(0);
  const ir::SymShape& grid = context.shape(1);
  if (grid.size() != data.size()) return context.Error("operand and grid differ in rank");
  FUSEE_TRY(CheckModes(context));
  FUSEE_TRY(context.RequireEqual(data[0], grid[0], "batch dimensions of operand and grid"));
  FUSEE_TRY(context.RequireEqual(grid.back(), axes, "the grid's last dimension and sampled axes"));
  ir::SymShape out = {data[0], data[1]};
  out.insert(out.end(), grid.begin() + 1, grid.end() - 1);
  context.SetOutput(0, context.dtype(0), std::move(out));
  return OkStatus();
}

Status Emit(ImportContext& context, std::string mode) {
  FUSEE_TRY(std::string padding, context.Str("padding_mode", "zeros"));
  FUSEE_TRY(const int64_t align, context.Int("align_corners", 0));
  return context.EmitAs("GridSample", {{"mode", std::move(mode)},
                                       {"padding_mode", std::move(padding)},
                                       {"align_corners", int64_t{align != 0}}});
}

// Images only, and the modes had two-dimensional names.
Status ImportImages(ImportContext& context) {
  FUSEE_TRY(std::string mode, context.Str("mode", "bilinear"));
  if (mode != "bilinear" && mode != "nearest" && mode != "bicubic") {
    return context.Error(fmt::format("mode '{}' is not bilinear, nearest or bicubic", mode));
  }
  if (context.has_input(0) && context.rank(0) != 4) {
    return context.Error("needs an operand [N, C, H, W] before opset 20");
  }
  if (mode != "nearest") mode = mode.substr(2);
  return Emit(context, std::move(mode));
}

Status ImportVolumes(ImportContext& context) {
  FUSEE_TRY(std::string mode, context.Str("mode", "linear"));
  return Emit(context, std::move(mode));
}

}  // namespace

OpDef DefineGridSample() {
  return {.name = "GridSample",
          .infer = InferGridSample,
          .imports = {{"GridSample", 16, 19, ImportImages},
                      {"GridSample", 20, 1 << 20, ImportVolumes}}};
}

}  // namespace fusee::ops
