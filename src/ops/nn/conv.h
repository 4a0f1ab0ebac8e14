// Convolution as its kernels see it: decoded parameters, and the checked geometry of one set of
// run-time shapes.
//
//   y[n, o, p] = activation(bias[o] + sum over c, t of w[o, c, t] x[n, g C/G + c, p stride + t
//   dilation - pad])
//
// x [N, C, spatial...], w [O, C/group, kernel...], bias [O] or absent, y [N, O, spatial...]; all
// one float type.
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
};

struct ConvShape {
  int64_t batch = 0, channels = 0, out_channels = 0;
  int64_t group_channels = 0, group_out_channels = 0;  // per group
  Window window;
};

// Decodes and validates a step. Errors: kInvalidArgument.
Result<ConvParams> ParseConv(const StepSpec& spec);

// Derives the geometry from x and w. Allocates nothing when ok. Errors: kInvalidArgument.
Status ConvGeometry(const ConvParams& params, const Shape& x, const Shape& w, ConvShape* shape);

// The whole of CheckShapes: dtypes, ranks, weight, bias and result shapes.
Status CheckConv(const ConvParams& params, const RunArgs& args);

}  // namespace fusee::ops
