// SkipLayerNormalization as its kernels see it: y = LayerNormalization(x + skip) over the last
// axis, and x + skip as a second result where somebody else needs it.
//
// x, skip, y and the sum have one shape and type; scale and bias (optional) are 1-D over the last
// axis. Statistics are of the sum before it is rounded to that type, whether it is wanted or not.
#pragma once

#include "ops/kernel.h"

namespace fusee::ops {

struct SkipNormParams {
  int rank = 0;
  double epsilon = 1e-5;
  DType dtype = DType::kInvalid;
};

// Decodes and validates a step. Errors: kInvalidArgument.
Result<SkipNormParams> ParseSkipNorm(const StepSpec& spec);

// The whole of CheckShapes. Allocates nothing when ok. Errors: kInvalidArgument.
Status CheckSkipNorm(const SkipNormParams& params, const RunArgs& args);

inline bool WantsSum(const RunArgs& args) {
  return args.outputs.size() > 1 && args.outputs[1].present();
}

}  // namespace fusee::ops
