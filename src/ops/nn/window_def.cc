#include "ops/nn/window_def.h"

#include <fmt/format.h>

namespace fusee::ops {

namespace {

// SAME needs the input size, except where the stride is 1: then the total pad is the window's
// extent less one.
bool ResolveSame(const WindowAttrs& w, const ir::SymShape& shape, std::vector<int64_t>* pads) {
  const size_t n = static_cast<size_t>(w.spatial);
  pads->assign(2 * n, 0);
  for (size_t i = 0; i < n; ++i) {
    const size_t a = static_cast<size_t>(kMaxSpatial) - n + i;
    const ir::Dim& in = shape[shape.size() - n + i];
    const int64_t extent = w.Extent(static_cast<int>(a));
    int64_t total = extent - 1;
    if (w.stride[a] != 1) {
      if (!in.is_constant()) return false;
      const int64_t out = (in.constant() + w.stride[a] - 1) / w.stride[a];
      total = std::max<int64_t>((out - 1) * w.stride[a] + extent - in.constant(), 0);
    }
    const int64_t small = total / 2;
    (*pads)[i] = w.auto_pad == AutoPad::kSameUpper ? small : total - small;
    (*pads)[n + i] = total - (*pads)[i];
  }
  return true;
}

}  // namespace

Result<Attrs> ImportWindow(ImportContext& c, std::vector<int64_t> kernel, bool with_ceil_mode) {
  const size_t n = kernel.size();
  if (n < 1 || n > static_cast<size_t>(kMaxSpatial)) {
    return c.Refuse(fmt::format("{} spatial axes; 1 to {} are supported", n, kMaxSpatial));
  }
  Attrs attrs;
  attrs.Set("kernel_shape", std::move(kernel));
  FUSEE_TRY(std::vector<int64_t> strides, c.Ints("strides"));
  if (strides.empty()) strides.assign(n, 1);
  attrs.Set("strides", std::move(strides));
  FUSEE_TRY(std::vector<int64_t> dilations, c.Ints("dilations"));
  if (dilations.empty()) dilations.assign(n, 1);
  attrs.Set("dilations", std::move(dilations));
  FUSEE_TRY(std::vector<int64_t> pads, c.Ints("pads"));
  if (pads.empty()) pads.assign(2 * n, 0);
  FUSEE_TRY(std::string auto_pad, c.Str("auto_pad", "NOTSET"));
  auto mode = ParseAutoPad(auto_pad);
  if (!mode.ok()) return c.Error(mode.status().message());
  if (*mode != AutoPad::kNone) pads.assign(2 * n, 0);  // the standard lets auto_pad override pads
  attrs.Set("pads", pads);
  if (with_ceil_mode) {
    FUSEE_TRY(int64_t ceil_mode, c.Int("ceil_mode", 0));
    // ceil_mode has no meaning with auto_pad: SAME rounds up anyway, VALID never hangs over.
    if (ceil_mode != 0 && *mode == AutoPad::kNone) attrs.Set("ceil_mode", int64_t{1});
  }
  auto window = ParseWindow(attrs, static_cast<int>(n));
  if (!window.ok()) {
    for (int64_t p : pads) {
      if (p < 0) return c.Refuse("negative pads are not supported");
    }
    return c.Error(window.status().message());
  }
  if (*mode == AutoPad::kSameUpper || *mode == AutoPad::kSameLower) {
    window->auto_pad = *mode;
    if (ResolveSame(*window, c.info(0).shape, &pads)) {
      attrs.Set("pads", pads);
    } else {
      attrs.Set("auto_pad", auto_pad);
    }
  }
  return attrs;
}

Result<ir::SymShape> InferWindow(InferContext& c, const WindowAttrs& w, const ir::Dim& channels) {
  const ir::SymShape& shape = c.shape(0);
  const size_t n = static_cast<size_t>(w.spatial);
  const size_t first = w.channels_last ? 1 : 2;
  ir::SymShape out{shape[0]};
  if (!w.channels_last) out.push_back(channels);
  for (size_t i = 0; i < n; ++i) {
    const size_t a = static_cast<size_t>(kMaxSpatial) - n + i;
    const ir::Dim& in = shape[first + i];
    const int64_t extent = w.Extent(static_cast<int>(a));
    if (in.Range(c.symbols()).max < 1) return c.Error(fmt::format("spatial dimension {} is 0", i));
    if (w.auto_pad == AutoPad::kSameUpper || w.auto_pad == AutoPad::kSameLower) {
      out.push_back(CeilDiv(in, w.stride[a]));
      continue;
    }
    const bool valid = w.auto_pad == AutoPad::kValid;
    const int64_t begin = valid ? 0 : w.pad_begin[a];
    const int64_t end = valid ? 0 : w.pad_end[a];
    const ir::Dim slack = in + ir::Dim(begin + end - extent);
    if (slack.Range(c.symbols()).max < 0) {
      return c.Error(
          fmt::format("along spatial axis {} a window of {} elements does not fit in {} elements "
                      "padded by {} and {}",
                      i, extent, in.ToString(), begin, end));
    }
    if (w.ceil_mode && !valid) {
      out.push_back(
          Min(CeilDiv(slack, w.stride[a]) + ir::Dim(1), CeilDiv(in + ir::Dim(begin), w.stride[a])));
    } else {
      out.push_back(FloorDiv(slack, w.stride[a]) + ir::Dim(1));
    }
  }
  if (w.channels_last) out.push_back(channels);
  return out;
}

Status CheckBias(InferContext& c, const ir::Dim& channels) {
  if (!c.has_input(2)) return OkStatus();
  if (c.rank(2) != 1 || c.dtype(2) != c.dtype(0))
    return c.Error("the bias should be 1-D and of x's type");
  return c.RequireEqual(c.shape(2)[0], channels, "the bias and the output channels");
}

}  // namespace fusee::ops
