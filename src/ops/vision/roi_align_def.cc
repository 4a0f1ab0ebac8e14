// RoiAlign: result [R, C, height, width] of operand 0 [N, C, H, W], region r of it being row r of
// operand 1, [x1, y1, x2, y2], in image operand 2 [R]. Each bin of a region is the mean (or, mode
// max, the largest) of positions sampled between elements.
//
// MaxRoiPool: the same of operand 1 [R, 5], [image, x1, y1, x2, y2], where a bin is the largest of
// whole elements.
//
// Attributes of both: height, width, spatial_scale; of RoiAlign: mode, sampling_ratio, half_pixel.
#include <fmt/format.h>

#include "ops/op_def.h"
#include "ops/vision/roi.h"

namespace fusee::ops {
namespace {

Status InferRegions(InferContext& context, size_t operands, int64_t columns) {
  if (context.input_count() != operands) return context.Error("an operand is missing");
  for (size_t i = 0; i < operands; ++i) {
    if (!context.has_input(i)) return context.Error(fmt::format("operand {} is missing", i));
  }
  if (context.rank(0) != 4) return context.Error("needs an operand [N, C, H, W]");
  if (!IsFloat(context.dtype(0)) || context.dtype(1) != context.dtype(0)) {
    return context.Error(
        fmt::format("operand and regions are {} and {}, expected one floating-point type",
                    DTypeName(context.dtype(0)), DTypeName(context.dtype(1))));
  }
  if (context.rank(1) != 2) return context.Error("the regions should be a matrix");
  FUSEE_TRY(
      context.RequireEqual(context.shape(1)[1], columns, "a region's numbers and its layout"));
  const auto attrs = ReadRoiAttrs(context.attrs());
  if (!attrs.ok()) return context.Error(attrs.status().message());
  context.SetOutput(0, context.dtype(0),
                    {context.shape(1)[0], context.shape(0)[1], attrs->height, attrs->width});
  return OkStatus();
}

Status InferRoiAlign(InferContext& context) {
  FUSEE_TRY(InferRegions(context, 3, 4));
  if (context.dtype(2) != DType::kI64 || context.rank(2) != 1) {
    return context.Error("the regions' images should be a vector of i64");
  }
  return context.RequireEqual(context.shape(1)[0], context.shape(2)[0],
                              "the number of regions and of their images");
}

Status InferMaxRoiPool(InferContext& context) { return InferRegions(context, 2, 5); }

Status EmitRoiAlign(ImportContext& context, const std::string& coordinates) {
  FUSEE_TRY(std::string mode, context.Str("mode", "avg"));
  FUSEE_TRY(const int64_t height, context.Int("output_height", 1));
  FUSEE_TRY(const int64_t width, context.Int("output_width", 1));
  FUSEE_TRY(const int64_t ratio, context.Int("sampling_ratio", 0));
  FUSEE_TRY(const double scale, context.Float("spatial_scale", 1));
  if (coordinates != "half_pixel" && coordinates != "output_half_pixel") {
    return context.Error(fmt::format(
        "coordinate_transformation_mode '{}' is not half_pixel or output_half_pixel", coordinates));
  }
  return context.EmitAs("RoiAlign", {{"mode", std::move(mode)},
                                     {"height", height},
                                     {"width", width},
                                     {"sampling_ratio", ratio},
                                     {"spatial_scale", scale},
                                     {"half_pixel", int64_t{coordinates == "half_pixel"}}});
}

// Opset 10 knew no shift by half an element.
Status ImportUnshifted(ImportContext& context) {
  return EmitRoiAlign(context, "output_half_pixel");
}

Status ImportRoiAlign(ImportContext& context) {
  FUSEE_TRY(const std::string coordinates,
            context.Str("coordinate_transformation_mode", "half_pixel"));
  return EmitRoiAlign(context, coordinates);
}

Status ImportMaxRoiPool(ImportContext& context) {
  FUSEE_TRY(const std::vector<int64_t> pooled, context.Ints("pooled_shape"));
  FUSEE_TRY(const double scale, context.Float("spatial_scale", 1));
  if (pooled.size() != 2) return context.Error("pooled_shape should be [height, width]");
  return context.EmitAs("MaxRoiPool",
                        {{"height", pooled[0]}, {"width", pooled[1]}, {"spatial_scale", scale}});
}

}  // namespace

OpDef DefineRoiAlign() {
  return {.name = "RoiAlign",
          .infer = InferRoiAlign,
          .imports = {{"RoiAlign", 10, 15, ImportUnshifted},
                      {"RoiAlign", 16, 1 << 20, ImportRoiAlign}}};
}

OpDef DefineMaxRoiPool() {
  return {.name = "MaxRoiPool",
          .infer = InferMaxRoiPool,
          .imports = {{"MaxRoiPool", 1, 1 << 20, ImportMaxRoiPool}}};
}

}  // namespace fusee::ops
