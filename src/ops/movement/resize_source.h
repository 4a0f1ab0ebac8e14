// Where a result position of Resize falls on an operand's axis: the same few lines for kernels of
// every device, so that ties between two elements fall the same way. Single precision, as in the
// field's other runtimes; a device's compiler must not fuse multiplications with additions here
// (-fmad=false).
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define FUSEE_EVERY_DEVICE __host__ __device__
#else
#define FUSEE_EVERY_DEVICE
#endif

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

// One axis.
struct ResizeLine {
  ResizeCoordinates coordinates = ResizeCoordinates::kHalfPixel;
  int64_t in = 0;
  int64_t out = 0;
  float scale = 1;
  float roi_start = 0;  // of tf_crop_and_resize
  float roi_end = 1;

  // Where position `at` of the result falls, in elements; within [-2^30, 2^30] whatever the scales
  // are.
  FUSEE_EVERY_DEVICE float Source(int64_t at) const {
    const auto x = static_cast<float>(at);
    const auto size = static_cast<float>(in);
    const float width = scale * size;  // fractional when the scale was given
    float source = x;
    switch (coordinates) {
      case ResizeCoordinates::kHalfPixel: source = (x + 0.5F) / scale - 0.5F; break;
      case ResizeCoordinates::kHalfPixelSymmetric: {
        const float offset = size / 2 * (1 - static_cast<float>(out) / width);
        source = offset + (x + 0.5F) / scale - 0.5F;
        break;
      }
      case ResizeCoordinates::kPytorchHalfPixel:
        source = out > 1 ? (x + 0.5F) / scale - 0.5F : 0;
        break;
      case ResizeCoordinates::kAlignCorners:
        source = width == 1 ? 0 : x * (size - 1) / (width - 1);
        break;
      case ResizeCoordinates::kAsymmetric: source = x / scale; break;
      case ResizeCoordinates::kTfHalfPixelForNearest: source = (x + 0.5F) / scale; break;
      case ResizeCoordinates::kTfCropAndResize: {
        const float extent = roi_end - roi_start;
        source = roi_start * (size - 1) +
                 (width == 1 ? extent * (size - 1) / 2 : x * extent * (size - 1) / (width - 1));
        break;
      }
    }
    // Far outside every operand, exact in float, and safe to convert and add to. Also turns NaN
    // into a number.
    constexpr float kFar = 1 << 30;
    source = source > -kFar ? source : -kFar;
    return source < kFar ? source : kFar;
  }

  // Is that outside the operand, where tf_crop_and_resize extrapolates?
  FUSEE_EVERY_DEVICE bool Outside(float source) const {
    return coordinates == ResizeCoordinates::kTfCropAndResize &&
           (source < 0 || source > static_cast<float>(in - 1));
  }

  // The nearest element, inside the operand.
  FUSEE_EVERY_DEVICE int64_t Nearest(ResizeNearest mode, float source) const {
    const float low = std::floor(source);
    float nearest = source;
    switch (mode) {
      case ResizeNearest::kPreferFloor: nearest = source - low <= 0.5F ? low : low + 1; break;
      case ResizeNearest::kPreferCeil: nearest = source - low < 0.5F ? low : low + 1; break;
      case ResizeNearest::kFloor: nearest = low; break;
      case ResizeNearest::kCeil: nearest = std::ceil(source); break;
    }
    const auto index = static_cast<int64_t>(nearest);
    return index < 0 ? 0 : (index < in ? index : in - 1);
  }
};

}  // namespace fusee::ops
