// The sliding window that convolutions and pools share: its attributes, and its geometry on exact
// shapes.
//
// Attributes of the IR (all lists have one entry per spatial axis, pads two: all begins, then all
// ends):
//   kernel_shape  required             strides    default 1           dilations  default 1
//   pads          default 0            ceil_mode  default 0 (pools)
//   auto_pad      absent or NOTSET: pads hold. SAME_UPPER, SAME_LOWER: pads follow from the
//   run-time shape.
//                 The importer resolves VALID, and SAME wherever the shape is known.
//   layout        default "NCHW": [batch, channels, spatial...]. "NHWC": [batch, spatial...,
//   channels], of
//                 operand and result. The names say nothing about the number of spatial axes.
//
// Header only, because definitions (compiler) and kernels (runtime) are two libraries that both
// need it.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "tensor/attrs.h"
#include "tensor/shape.h"

namespace fusee::ops {

inline constexpr int kMaxSpatial = 3;
// Bound on every window attribute; keeps all geometry far from overflow.
inline constexpr int64_t kMaxWindowValue = int64_t{1} << 31;

enum class AutoPad : uint8_t { kNone, kSameUpper, kSameLower, kValid };

// Always three spatial axes (depth, height, width); a 1-D or 2-D window has leading axes of size 1.
using Spatial = std::array<int64_t, kMaxSpatial>;

struct WindowAttrs {
  int spatial = 0;  // axes that the tensor really has, 1 to 3
  Spatial kernel{1, 1, 1}, stride{1, 1, 1}, dilation{1, 1, 1}, pad_begin{0, 0, 0}, pad_end{0, 0, 0};
  AutoPad auto_pad = AutoPad::kNone;
  bool ceil_mode = false;
  bool channels_last = false;  // layout "NHWC"

  // Input elements that one window spans along an axis.
  int64_t Extent(int axis) const {
    const size_t i = static_cast<size_t>(axis);
    return (kernel[i] - 1) * dilation[i] + 1;
  }
  int64_t KernelElements() const { return kernel[0] * kernel[1] * kernel[2]; }
};

// WindowAttrs with the pads of one exact input shape.
struct Window : WindowAttrs {
  Spatial in{1, 1, 1}, out{1, 1, 1};
  int64_t InElements() const { return in[0] * in[1] * in[2]; }
  int64_t OutElements() const { return out[0] * out[1] * out[2]; }
};

inline Result<AutoPad> ParseAutoPad(const std::string& text) {
  if (text.empty() || text == "NOTSET") return AutoPad::kNone;
  if (text == "SAME_UPPER") return AutoPad::kSameUpper;
  if (text == "SAME_LOWER") return AutoPad::kSameLower;
  if (text == "VALID") return AutoPad::kValid;
  return InvalidArgument(fmt::format(
      "auto_pad '{}' is unknown, expected NOTSET, SAME_UPPER, SAME_LOWER or VALID", text));
}

// True for layout "NHWC". Errors: kInvalidArgument for a layout that is neither.
inline Result<bool> ParseChannelsLast(const Attrs& attrs) {
  FUSEE_TRY(const std::string layout, attrs.Str("layout", "NCHW"));
  if (layout == "NHWC" || layout == "NCHW") return layout == "NHWC";
  return InvalidArgument(fmt::format("layout '{}' is unknown, expected NCHW or NHWC", layout));
}

namespace window_internal {
inline Status ReadList(const Attrs& attrs, const char* name, int count, int64_t low,
                       std::vector<int64_t>* values) {
  FUSEE_TRY(*values, attrs.Ints(name));
  if (values->empty()) return OkStatus();
  if (values->size() != static_cast<size_t>(count)) {
    return InvalidArgument(
        fmt::format("{} has {} entries, expected {}", name, values->size(), count));
  }
  for (int64_t v : *values) {
    if (v < low || v >= kMaxWindowValue) {
      return InvalidArgument(
          fmt::format("{} holds {}, expected {} to {}", name, v, low, kMaxWindowValue - 1));
    }
  }
  return OkStatus();
}
}  // namespace window_internal

// Reads and checks the attributes for a tensor with `spatial` spatial axes. Errors:
// kInvalidArgument.
inline Result<WindowAttrs> ParseWindow(const Attrs& attrs, int spatial) {
  WindowAttrs w;
  if (spatial < 1 || spatial > kMaxSpatial) {
    return InvalidArgument(fmt::format("{} spatial axes, expected 1 to {}", spatial, kMaxSpatial));
  }
  w.spatial = spatial;
  const size_t first = static_cast<size_t>(kMaxSpatial - spatial);
  const auto fill = [&](const std::vector<int64_t>& from, size_t skip, Spatial* to) {
    for (size_t i = 0; !from.empty() && i < static_cast<size_t>(spatial); ++i) {
      (*to)[first + i] = from[skip + i];
    }
  };
  std::vector<int64_t> list;
  FUSEE_TRY(window_internal::ReadList(attrs, "kernel_shape", spatial, 1, &list));
  if (list.empty()) return InvalidArgument("kernel_shape is missing");
  fill(list, 0, &w.kernel);
  FUSEE_TRY(window_internal::ReadList(attrs, "strides", spatial, 1, &list));
  fill(list, 0, &w.stride);
  FUSEE_TRY(window_internal::ReadList(attrs, "dilations", spatial, 1, &list));
  fill(list, 0, &w.dilation);
  FUSEE_TRY(window_internal::ReadList(attrs, "pads", 2 * spatial, 0, &list));
  fill(list, 0, &w.pad_begin);
  fill(list, static_cast<size_t>(spatial), &w.pad_end);
  FUSEE_TRY(std::string auto_pad, attrs.Str("auto_pad", ""));
  FUSEE_TRY(w.auto_pad, ParseAutoPad(auto_pad));
  FUSEE_TRY(int64_t ceil_mode, attrs.Int("ceil_mode", 0));
  w.ceil_mode = ceil_mode != 0;
  FUSEE_TRY(w.channels_last, ParseChannelsLast(attrs));
  int64_t elements = 1;
  for (int64_t k : w.kernel) {
    if (__builtin_mul_overflow(elements, k, &elements) || elements >= kMaxWindowValue) {
      return InvalidArgument("kernel_shape has 2^31 elements or more");
    }
  }
  return w;
}

// The geometry on an input of rank attrs.spatial + 2, whose spatial dimensions are where the layout
// says. Allocates nothing when ok. Errors: kInvalidArgument when no window fits.
//
// With ceil_mode the last window may hang over the end, but must begin inside the input or its
// leading pad.
inline Status ResolveWindow(const WindowAttrs& attrs, const Shape& input, Window* window) {
  static_cast<WindowAttrs&>(*window) = attrs;
  Window& w = *window;
  w.in = w.out = {1, 1, 1};
  for (int i = kMaxSpatial - attrs.spatial; i < kMaxSpatial; ++i) {
    const size_t a = static_cast<size_t>(i);
    w.in[a] = input[input.rank() - kMaxSpatial + i - (attrs.channels_last ? 1 : 0)];
    const int64_t in = w.in[a];
    const int64_t stride = w.stride[a];
    const int64_t extent = w.Extent(i);
    if (attrs.auto_pad == AutoPad::kSameUpper || attrs.auto_pad == AutoPad::kSameLower) {
      w.out[a] = (in + stride - 1) / stride;
      const int64_t total = std::max<int64_t>((w.out[a] - 1) * stride + extent - in, 0);
      const int64_t small = total / 2;
      w.pad_begin[a] = attrs.auto_pad == AutoPad::kSameUpper ? small : total - small;
      w.pad_end[a] = total - w.pad_begin[a];
      if (w.out[a] < 1) return InvalidArgument("a spatial dimension is 0");
      continue;
    }
    if (attrs.auto_pad == AutoPad::kValid) w.pad_begin[a] = w.pad_end[a] = 0;
    const int64_t slack = in + w.pad_begin[a] + w.pad_end[a] - extent;
    if (slack < 0) {
      return InvalidArgument(
          fmt::format("a window of {} elements does not fit in {} elements padded by {} and {}",
                      extent, in, w.pad_begin[a], w.pad_end[a]));
    }
    w.out[a] = slack / stride + 1;
    if (attrs.ceil_mode && attrs.auto_pad == AutoPad::kNone) {
      w.out[a] =
          std::min((slack + stride - 1) / stride + 1, (in + w.pad_begin[a] + stride - 1) / stride);
    }
    if (w.out[a] < 1) return InvalidArgument("a spatial dimension is 0");
  }
  return OkStatus();
}

}  // namespace fusee::ops
