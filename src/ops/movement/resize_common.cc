#include <algorithm>

#include "ops/movement/resize.h"

namespace fusee::ops {
namespace {

template <typename Enum, size_t n>
Result<Enum> Choose(const StepSpec& spec, std::string_view attribute, const char* fallback,
                    const std::array<std::pair<std::string_view, Enum>, n>& choices) {
  FUSEE_TRY(const std::string name, spec.attrs->Str(std::string(attribute), fallback));
  for (const auto& [choice, value] : choices) {
    if (choice == name) return value;
  }
  return BadStep(spec, "has no " + std::string(attribute) + " '" + name + "'");
}

}  // namespace

Result<ResizeParams> ReadResize(const StepSpec& spec) {
  using C = ResizeCoordinates;
  using N = ResizeNearest;
  ResizeParams p;
  if (!spec.inputs.empty()) p.rank = spec.inputs[0].max_shape.rank();
  const auto rank = static_cast<size_t>(p.rank);
  FUSEE_TRY(CheckSignature(spec, {.dims = rank}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  FUSEE_TRY(p.mode, Choose(spec, "mode", "nearest",
                           std::to_array<std::pair<std::string_view, ResizeMode>>(
                               {{"nearest", ResizeMode::kNearest},
                                {"linear", ResizeMode::kLinear},
                                {"cubic", ResizeMode::kCubic}})));
  FUSEE_TRY(p.coordinates, Choose(spec, "coordinates", "half_pixel",
                                  std::to_array<std::pair<std::string_view, C>>(
                                      {{"half_pixel", C::kHalfPixel},
                                       {"half_pixel_symmetric", C::kHalfPixelSymmetric},
                                       {"pytorch_half_pixel", C::kPytorchHalfPixel},
                                       {"align_corners", C::kAlignCorners},
                                       {"asymmetric", C::kAsymmetric},
                                       {"tf_half_pixel_for_nn", C::kTfHalfPixelForNearest},
                                       {"tf_crop_and_resize", C::kTfCropAndResize}})));
  FUSEE_TRY(
      p.nearest,
      Choose(spec, "nearest_mode", "round_prefer_floor",
             std::to_array<std::pair<std::string_view, N>>({{"round_prefer_floor", N::kPreferFloor},
                                                            {"round_prefer_ceil", N::kPreferCeil},
                                                            {"floor", N::kFloor},
                                                            {"ceil", N::kCeil}})));
  FUSEE_TRY(p.cubic_coeff_a, spec.attrs->Float("cubic_coeff_a", -0.75));
  FUSEE_TRY(p.extrapolation, spec.attrs->Float("extrapolation_value", 0));
  FUSEE_TRY(const int64_t exclude, spec.attrs->Int("exclude_outside", 0));
  FUSEE_TRY(const int64_t antialias, spec.attrs->Int("antialias", 0));
  p.exclude_outside = exclude != 0;
  p.antialias = antialias != 0;
  FUSEE_TRY(const std::vector<double> scales, spec.attrs->Floats("scales"));
  FUSEE_TRY(const std::vector<double> roi, spec.attrs->Floats("roi"));
  if (!scales.empty() && scales.size() != rank)
    return BadStep(spec, "scales has another length than the rank");
  p.has_scales = !scales.empty();
  for (size_t i = 0; i < scales.size(); ++i) {
    p.scales[i] = static_cast<float>(scales[i]);
    // A tiny scale would make an antialiasing filter endlessly wide.
    if (!(p.scales[i] >= 1e-5F && p.scales[i] <= 1e6F))
      return BadStep(spec, "a scale is out of range");
  }
  if (p.coordinates == C::kTfCropAndResize) {
    if (roi.size() != 2 * rank) return BadStep(spec, "roi should have two entries per axis");
    for (size_t i = 0; i < rank; ++i) {
      p.roi_start[i] = static_cast<float>(roi[i]);
      p.roi_end[i] = static_cast<float>(roi[rank + i]);
    }
  }
  return p;
}

Status CheckResize(const ResizeParams& params, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  if (in.rank() != params.rank) return InvalidArgument("Resize: the operand has another rank");
  const Shape want(args.dims);
  FUSEE_TRY(ExpectShape("Resize", "result", want, args.outputs[0].shape));
  if (std::ranges::count(want.dims(), 0) == 0 && std::ranges::count(in.dims(), 0) != 0) {
    return InvalidArgument("Resize: an empty operand " + in.ToString() + " has nothing to sample");
  }
  return OkStatus();
}

ResizeAxis::ResizeAxis(const ResizeParams& params, const RunArgs& args, int axis) {
  const auto a = static_cast<size_t>(axis);
  coordinates = params.coordinates;
  roi_start = params.roi_start[a];
  roi_end = params.roi_end[a];
  in = args.inputs[0].shape[axis];
  out = args.outputs[0].shape[axis];
  scale = params.has_scales ? params.scales[a]
          : in == out       ? 1.0F  // also 0 of 0
                            : static_cast<float>(out) / static_cast<float>(in);
  const bool whole =
      params.coordinates != ResizeCoordinates::kTfCropAndResize || (roi_start == 0 && roi_end == 1);
  // tf_half_pixel_for_nn shifts even at scale 1.
  identity = in == out && scale == 1 && whole &&
             params.coordinates != ResizeCoordinates::kTfHalfPixelForNearest;
}

}  // namespace fusee::ops
