// Convolution as its kernels see it: decoded parameters, and the checked geometry of one set of
// run-time shapes.
//
//   y[n, o, p] = activation(residual[n, o, p] + bias[o] +
//                           sum over c, t of w[o, c, t] x[n, g C/G + c, p stride + t dilation -
//                           pad])
//
// Operands: 0 x, 1 w, 2 bias [O] (optional), 3 residual (optional; exactly the result's shape). All
// of one float type.
//
//   layout  x                   w                       residual and result
//   NCHW    [N, C, spatial...]  [O, C/group, kernel...] [N, O, spatial...]
//   NHWC    [N, spatial..., C]  [O, kernel..., C/group] [N, spatial..., O]
#pragma once

#include "ops/kernel.h"
#include "ops/nn/activation.h"
#include "ops/nn/window.h"

namespace fusee::ops {

struct ConvParams {
  WindowAttrs window;
  int64_t group = 1;
  Activation activation;
  DType dtype = DType::kInvalid;
  bool tf32 = false;  // f32 operands may be rounded to TF32 (ops/math_mode.h)
};

struct ConvShape {
  int64_t batch = 0, channels = 0, out_channels = 0;
  int64_t group_channels = 0, group_out_channels = 0;  // per group
  Window window;                                       // its channels_last says how all of them lie
};

// Decodes and validates a step. Errors: kInvalidArgument.
Result<ConvParams> ParseConv(const StepSpec& spec);

// Derives the geometry from x and w. Allocates nothing when ok. Errors: kInvalidArgument.
Status ConvGeometry(const ConvParams& params, const Shape& x, const Shape& w, ConvShape* shape);

// The whole of CheckShapes: dtypes, ranks, weight, bias, residual and result shapes.
Status CheckConv(const ConvParams& params, const RunArgs& args);

}  // namespace fusee::ops
