// Pooling as its kernels see it. x [N, C, spatial...], y [N, C, out spatial...] of the same type;
// MaxPool's optional second result holds i64 indices of the maxima into x (flattened, the first one
// wins; storage_order 1 counts the spatial axes column-major).
//
// A NaN in a max window makes the result NaN. A window that lies in padding only gives -inf
// (integers: the lowest value) and index -1 for MaxPool, and 0 for AveragePool.
#pragma once

#include "ops/kernel.h"
#include "ops/nn/window.h"

namespace fusee::ops {

struct PoolParams {
  std::string_view op;  // "MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool"
  bool global = false;  // the window is the whole plane; `window` is unused
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
  Window window;
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
