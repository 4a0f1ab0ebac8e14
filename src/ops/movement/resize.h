// What the resize kernels share: parameters, and where a result position falls on an operand's
// axis.
#pragma once

#include <array>

#include "ops/movement/kernel_support.h"
#include "ops/movement/resize_source.h"

namespace fusee::ops {

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

// One axis at run time.
struct ResizeAxis : ResizeLine {
  bool identity = true;  // every position falls exactly on the element of the same index

  ResizeAxis() = default;
  ResizeAxis(const ResizeParams& params, const RunArgs& args, int axis);
};

}  // namespace fusee::ops
