// What the resize kernels share: parameters, and where a result position falls on an operand's
// axis.
#pragma once

#include <array>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {

enum class ResizeMode : uint8_t { kNearest, kLinear, kCubic };
enum class ResizeCoordinates : uint8_t {
  kHalfPixel,
  kHalfPixelSymmetric,
  kPytorchHalfPixel,
  kAlignCorners,
  kAsymmetric,
  kTfHalfPixelForNearest,
  kTfCropAndResize,
};
enum class ResizeNearest : uint8_t { kPreferFloor, kPreferCeil, kFloor, kCeil };

struct ResizeParams {
  int rank = 0;
  ResizeMode mode = ResizeMode::kNearest;
  ResizeCoordinates coordinates = ResizeCoordinates::kHalfPixel;
  ResizeNearest nearest = ResizeNearest::kPreferFloor;
  double cubic_coeff_a = -0.75;
  bool exclude_outside = false;
  bool antialias = false;
  double extrapolation = 0;
  bool has_scales = false;
  std::array<float, kMaxRank> scales{};
  std::array<float, kMaxRank> roi_start{};
  std::array<float, kMaxRank> roi_end{};
};

// Errors: kInvalidArgument on unknown modes, or scales and roi of another length or out of range.
Result<ResizeParams> ReadResize(const StepSpec& spec);
Status CheckResize(const ResizeParams& params, const RunArgs& args);

// One axis at run time. Coordinates are single precision, as in the field's other runtimes, so that
// ties at the boundary between two elements fall the same way.
struct ResizeAxis {
  int64_t in = 0;
  int64_t out = 0;
  float scale = 1;
  bool identity = true;  // every position falls exactly on the element of the same index

  ResizeAxis() = default;
  ResizeAxis(const ResizeParams& params, const RunArgs& args, int axis);
  // Where position `at` of the result falls, in elements; within [-2^30, 2^30] whatever the scales
  // are.
  float Source(const ResizeParams& params, int axis, int64_t at) const;
  // Is that outside the operand, where tf_crop_and_resize extrapolates?
  bool Outside(const ResizeParams& params, float source) const;
  // The nearest element, inside the operand.
  int64_t Nearest(const ResizeParams& params, float source) const;
};

}  // namespace fusee::ops
