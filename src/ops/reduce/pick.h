// What the kernels of ArgMax, ArgMin and TopK share: parameters and checks. All see their operand
// as [outer, n, inner] around one axis.
#pragma once

#include "ops/movement/kernel_support.h"

namespace fusee::ops {

// ArgMax and ArgMin. A NaN is more extreme than any number, as in numpy.
struct ArgParams {
  int rank = 0;
  int axis = 0;
  bool keepdims = true;
  bool last = false;  // of equals the last, else the first
};

// TopK. Of equals the first comes first; NaN counts as larger than every number.
struct TopKParams {
  int rank = 0;
  int axis = 0;
  bool largest = true;
};

// Errors: kInvalidArgument on attributes, counts or result types that no kernel could take.
Result<ArgParams> ReadArg(const StepSpec& spec);
Result<TopKParams> ReadTopK(const StepSpec& spec);

// The whole of CheckShapes.
Status CheckArg(const ArgParams& params, const RunArgs& args);
Status CheckTopK(const TopKParams& params, const RunArgs& args);

}  // namespace fusee::ops
