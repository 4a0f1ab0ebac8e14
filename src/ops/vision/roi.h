// Attributes of the operators that pool regions of an image, as definitions and kernels read them.
// Header only, because the two are libraries of their own.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "tensor/attrs.h"

namespace fusee::ops {

// Bins of a region along an axis, and samples of a bin along an axis: detectors have 7 to 28,
// and 2.
inline constexpr int64_t kMaxRoiBins = 1 << 16;
inline constexpr int64_t kMaxRoiSamples = 1 << 12;

struct RoiAttrs {
  int64_t height = 1, width = 1;
  double scale = 1;  // from the regions' coordinates to elements
  bool max = false;
  bool half_pixel = false;     // an element's centre is at its index + 0.5
  int64_t sampling_ratio = 0;  // samples of a bin along an axis; 0: as many as it has elements
};

// Errors: kInvalidArgument naming what is out of range.
inline Result<RoiAttrs> ReadRoiAttrs(const Attrs& attrs) {
  RoiAttrs roi;
  FUSEE_TRY(roi.height, attrs.Int("height", 1));
  FUSEE_TRY(roi.width, attrs.Int("width", 1));
  FUSEE_TRY(roi.scale, attrs.Float("spatial_scale", 1));
  FUSEE_TRY(const std::string mode, attrs.Str("mode", "avg"));
  FUSEE_TRY(const int64_t half_pixel, attrs.Int("half_pixel", 0));
  FUSEE_TRY(roi.sampling_ratio, attrs.Int("sampling_ratio", 0));
  if (roi.height < 1 || roi.height > kMaxRoiBins || roi.width < 1 || roi.width > kMaxRoiBins) {
    return InvalidArgument("the output's height and width should be 1 to " +
                           std::to_string(kMaxRoiBins));
  }
  if (roi.sampling_ratio < 0 || roi.sampling_ratio > kMaxRoiSamples) {
    return InvalidArgument("sampling_ratio should be 0 to " + std::to_string(kMaxRoiSamples));
  }
  if (!std::isfinite(roi.scale)) return InvalidArgument("spatial_scale is not finite");
  if (mode != "avg" && mode != "max") {
    return InvalidArgument("mode '" + mode + "' is not avg or max");
  }
  roi.max = mode == "max";
  roi.half_pixel = half_pixel != 0;
  return roi;
}

}  // namespace fusee::ops
