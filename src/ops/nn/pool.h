// Pooling as its kernels see it. x [N, C, spatial...], y [N, C, out spatial...] of the same type,
// or with layout "NHWC" [N, spatial..., C] and [N, out spatial..., C]. MaxPool's optional second
// result holds i64 indices of the maxima into x (flattened, the first one wins; storage_order 1
// counts the spatial axes column-major); it exists with layout NCHW only.
//
// A NaN in a max window makes the result NaN. A window that lies in padding only gives -inf
// (integers: the lowest value) and index -1 for MaxPool, and 0 for AveragePool.
#pragma once

#include "ops/kernel.h"
#include "ops/nn/taps.h"
#include "ops/nn/window.h"

namespace fusee::ops {

struct PoolParams {
  std::string_view op;  // "MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool"
  bool global = false;  // the window is the whole plane; of `window` only channels_last holds
  bool max = false;
  int64_t lp = 0;  // LpPool: y = (sum of |x|^lp)^(1/lp); 0 for the others
  WindowAttrs window;
  bool count_include_pad = false;
  bool column_major = false;
  DType dtype = DType::kInvalid;
};

// One set of run-time shapes: `planes` (= N C) independent planes under one window.
struct PoolShape {
  int64_t planes = 0;
  int64_t channels = 0;
  Window window;

  // Neighbours in a plane lie this far apart, in elements, in x and in y.
  int64_t ElementStride() const { return window.channels_last ? channels : 1; }
  // First element of a plane in a tensor whose planes have `elements` elements.
  int64_t PlaneStart(int64_t plane, int64_t elements) const {
    return window.channels_last ? plane / channels * elements * channels + plane % channels
                                : plane * elements;
  }
};

// Decodes and validates a step of any of the five. Errors: kInvalidArgument.
Result<PoolParams> ParsePool(const StepSpec& spec);
// Allocates nothing when ok. Errors: kInvalidArgument.
Status PoolGeometry(const PoolParams& params, const Shape& x, PoolShape* shape);
// The whole of CheckShapes.
Status CheckPool(const PoolParams& params, const RunArgs& args);

// Number of elements that an average divides by, for the window at output position (d, h, w): those
// inside the input, or with count_include_pad those inside the input and its declared padding.
int64_t AverageDivisor(const Window& window, bool include_pad, const Spatial& at);

}  // namespace fusee::ops
