// Resize: operand 0 resampled to the shape in `dims`. Attributes:
//   mode            nearest, linear or cubic
//   coordinates     the standard's coordinate_transformation_mode
//   nearest_mode, cubic_coeff_a, exclude_outside, antialias, extrapolation_value
//   scales          one factor per axis, or none: result size / operand size, at run time
//   roi             all starts, then all ends, for tf_crop_and_resize
// Upsample, and Resize before opset 11, are the asymmetric transformation rounding down.
#include <fmt/format.h>

#include <cmath>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferResize(InferContext& context) {
  if (context.dims().size() != context.shape(0).size()) {
    return context.Error(
        fmt::format("has {} sizes for rank {}", context.dims().size(), context.rank(0)));
  }
  const ir::SymShape out(context.dims().begin(), context.dims().end());
  for (const ir::Dim& d : out) {
    if (d.Range(context.symbols()).max < 0) return context.Error("a size is negative");
  }
  context.SetOutput(0, context.dtype(0), out);
  return OkStatus();
}

// floor(size * scale) as the standard's own shape inference computes it: in single precision. A
// symbolic size needs a scale that is a small fraction, as 2, 0.5 or 1.5 are.
Result<ir::Dim> Scaled(ImportContext& context, const ir::Dim& size, double extent, float scale) {
  if (extent != 1.0) scale *= static_cast<float>(extent);
  if (size.is_constant()) {
    const float exact = std::floor(static_cast<float>(size.constant()) * scale);
    if (!(exact >= 0 && exact < 2147483648.0F))
      return context.Error("a scaled size is out of range");
    return ir::Dim(static_cast<int64_t>(exact));
  }
  constexpr int64_t kMaxDenominator = 64;
  for (int64_t q = 1; q <= kMaxDenominator; ++q) {
    const auto p =
        static_cast<int64_t>(std::nearbyint(static_cast<double>(scale) * static_cast<double>(q)));
    if (static_cast<float>(static_cast<double>(p) / static_cast<double>(q)) != scale) continue;
    return FloorDiv(size * ir::Dim(p), q);
  }
  return context.Refuse(
      fmt::format("scale {} of the symbolic dimension {} is no fraction with a denominator up to "
                  "{}; give sizes, "
                  "or fix the dimension",
                  scale, size.ToString(), kMaxDenominator));
}

Result<std::vector<double>> ReadFloats(ImportContext& context, size_t operand,
                                       std::string_view meaning) {
  FUSEE_TRY(const Tensor tensor, context.ConstInput(operand, meaning));
  std::vector<double> values;
  for (int64_t i = 0; i < tensor.elements(); ++i) values.push_back(DoubleAt(tensor.view(), i));
  return values;
}

Status CheckScales(ImportContext& context, const std::vector<double>& scales) {
  for (double s : scales) {
    if (!(s > 0 && s < 1e6)) return context.Error(fmt::format("scale {} is out of range", s));
  }
  return OkStatus();
}

// Both operands of the forms before opset 11 are full-rank scales.
Status EmitLegacy(ImportContext& context, std::vector<double> scales) {
  FUSEE_TRY(std::string mode, context.Str("mode", "nearest"));
  if (mode == "bilinear") mode = "linear";  // Upsample's old spelling
  if (mode != "nearest" && mode != "linear") return context.Refuse("mode " + mode);
  const ir::SymShape& shape = ShapeOf(context, 0);
  if (scales.size() != shape.size()) {
    return context.Error(fmt::format("has {} scales for rank {}", scales.size(), shape.size()));
  }
  FUSEE_TRY(CheckScales(context, scales));
  DimVector sizes;
  for (size_t i = 0; i < shape.size(); ++i) {
    FUSEE_TRY(ir::Dim size, Scaled(context, shape[i], 1.0, static_cast<float>(scales[i])));
    sizes.push_back(std::move(size));
  }
  return context.EmitAs("Resize", {context.input(0)},
                        {{"mode", std::move(mode)},
                         {"coordinates", std::string("asymmetric")},
                         {"nearest_mode", std::string("floor")},
                         {"scales", std::move(scales)}},
                        std::move(sizes));
}

Status ImportUpsampleAttribute(ImportContext& context) {
  FUSEE_TRY(std::vector<double> scales, context.Floats("scales"));
  return EmitLegacy(context, std::move(scales));
}

Status ImportScalesOperand(ImportContext& context) {
  FUSEE_TRY(std::vector<double> scales, ReadFloats(context, 1, "scales"));
  return EmitLegacy(context, std::move(scales));
}

// The axes that roi, scales and sizes speak of.
Result<std::vector<int64_t>> ReadAxes(ImportContext& context) {
  std::vector<int64_t> axes;
  for (int i = 0; i < context.rank(0); ++i) axes.push_back(i);
  FUSEE_TRY(axes, context.Ints("axes", axes));
  for (int64_t& axis : axes) {
    FUSEE_TRY(const int normal, context.Axis(axis, context.rank(0)));
    axis = normal;
  }
  return axes;
}

// Present and not the empty tensor that stands for absent at opset 11.
bool IsGiven(ImportContext& context, size_t operand) {
  return context.has_input(operand) &&
         !(ir::ElementCount(context.info(operand).shape) == ir::Dim(0));
}

struct Target {
  DimVector sizes;
  std::vector<double> scales;  // empty: from the sizes
};

Result<Target> TargetFromScales(ImportContext& context, const std::vector<int64_t>& axes,
                                const std::vector<double>& roi) {
  FUSEE_TRY(const std::vector<double> given, ReadFloats(context, 2, "scales"));
  if (given.size() != axes.size()) {
    return context.Error(fmt::format("has {} scales for {} axes", given.size(), axes.size()));
  }
  FUSEE_TRY(CheckScales(context, given));
  const ir::SymShape& shape = ShapeOf(context, 0);
  Target target{shape, std::vector<double>(shape.size(), 1.0)};
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto a = static_cast<size_t>(axes[i]);
    const double extent = roi.empty() ? 1.0 : roi[shape.size() + a] - roi[a];
    target.scales[a] = given[i];
    FUSEE_TRY(target.sizes[a], Scaled(context, shape[a], extent, static_cast<float>(given[i])));
  }
  return target;
}

// Keeps the aspect ratio: one scale, the smallest or largest that the sizes ask for.
Status ApplyPolicy(ImportContext& context, const std::vector<int64_t>& axes, bool larger,
                   Target* target) {
  const ir::SymShape& shape = ShapeOf(context, 0);
  double scale = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto a = static_cast<size_t>(axes[i]);
    if (!shape[a].is_constant() || !target->sizes[a].is_constant() || shape[a].constant() == 0) {
      return context.Refuse(
          "keep_aspect_ratio_policy needs dimensions and sizes known while building");
    }
    const double own =
        static_cast<double>(target->sizes[a].constant()) / static_cast<double>(shape[a].constant());
    scale = i == 0 ? own : (larger ? std::max(scale, own) : std::min(scale, own));
  }
  target->scales.assign(shape.size(), 1.0);
  for (int64_t axis : axes) {
    const auto a = static_cast<size_t>(axis);
    target->scales[a] = scale;
    const double size = std::floor(scale * static_cast<double>(shape[a].constant()) + 0.5);
    target->sizes[a] = static_cast<int64_t>(size);
  }
  return CheckScales(context, target->scales);
}

Result<Target> TargetFromSizes(ImportContext& context, const std::vector<int64_t>& axes) {
  FUSEE_TRY(const DimVector given, context.DimInput(3, "sizes"));
  if (given.size() != axes.size()) {
    return context.Error(fmt::format("has {} sizes for {} axes", given.size(), axes.size()));
  }
  Target target{ShapeOf(context, 0), {}};
  for (size_t i = 0; i < axes.size(); ++i) target.sizes[static_cast<size_t>(axes[i])] = given[i];
  FUSEE_TRY(const std::string policy, context.Str("keep_aspect_ratio_policy", "stretch"));
  if (policy != "stretch" && policy != "not_larger" && policy != "not_smaller") {
    return context.Error("keep_aspect_ratio_policy '" + policy + "' is unknown");
  }
  if (policy != "stretch") {
    FUSEE_TRY(ApplyPolicy(context, axes, policy == "not_smaller", &target));
  }
  return target;
}

Result<std::vector<double>> ReadRoi(ImportContext& context, const std::vector<int64_t>& axes) {
  FUSEE_TRY(const std::vector<double> given, ReadFloats(context, 1, "roi"));
  if (given.size() != 2 * axes.size()) {
    return context.Error(fmt::format("roi has {} entries for {} axes", given.size(), axes.size()));
  }
  const auto rank = static_cast<size_t>(context.rank(0));
  std::vector<double> roi(2 * rank, 0.0);
  for (size_t i = rank; i < 2 * rank; ++i) roi[i] = 1.0;
  for (size_t i = 0; i < axes.size(); ++i) {
    roi[static_cast<size_t>(axes[i])] = given[i];
    roi[rank + static_cast<size_t>(axes[i])] = given[axes.size() + i];
  }
  return roi;
}

Status ImportResize(ImportContext& context) {
  FUSEE_TRY(std::string mode, context.Str("mode", "nearest"));
  FUSEE_TRY(std::string coordinates, context.Str("coordinate_transformation_mode", "half_pixel"));
  FUSEE_TRY(std::string nearest, context.Str("nearest_mode", "round_prefer_floor"));
  FUSEE_TRY(const double cubic, context.Float("cubic_coeff_a", -0.75));
  FUSEE_TRY(const int64_t exclude, context.Int("exclude_outside", 0));
  FUSEE_TRY(const int64_t antialias, context.Int("antialias", 0));
  FUSEE_TRY(const double extrapolation, context.Float("extrapolation_value", 0));
  context.Ignore("keep_aspect_ratio_policy");  // read where sizes are; no effect on scales
  FUSEE_TRY(const std::vector<int64_t> axes, ReadAxes(context));
  std::vector<double> roi;
  if (coordinates == "tf_crop_and_resize") {
    FUSEE_TRY(roi, ReadRoi(context, axes));
  }
  if (IsGiven(context, 2) == IsGiven(context, 3))
    return context.Error("needs either scales or sizes");
  Target target;
  if (IsGiven(context, 2)) {
    FUSEE_TRY(target, TargetFromScales(context, axes, roi));
  } else {
    FUSEE_TRY(target, TargetFromSizes(context, axes));
  }
  Attrs attrs = {{"mode", std::move(mode)},
                 {"coordinates", std::move(coordinates)},
                 {"nearest_mode", std::move(nearest)},
                 {"cubic_coeff_a", cubic},
                 {"exclude_outside", exclude},
                 {"antialias", antialias},
                 {"extrapolation_value", extrapolation}};
  if (!target.scales.empty()) attrs.Set("scales", std::move(target.scales));
  if (!roi.empty()) attrs.Set("roi", std::move(roi));
  return context.EmitAs("Resize", {context.input(0)}, std::move(attrs), std::move(target.sizes));
}

}  // namespace

OpDef DefineResize() {
  return {.name = "Resize",
          .infer = InferResize,
          .imports = {{"Resize", 10, 10, ImportScalesOperand},
                      {"Resize", 11, 1 << 20, ImportResize},
                      {"Upsample", 7, 8, ImportUpsampleAttribute},
                      {"Upsample", 9, 9, ImportScalesOperand}}};
}

}  // namespace fusee::ops
