// What the reduction kernels share: parameters, checks and the split of axes into kept and reduced.
#pragma once

#include <array>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {

struct ReduceParams {
  int rank = 0;
  bool keepdims = true;
  std::array<bool, kMaxRank> reduced{};
};

// Errors: kInvalidArgument on axes out of range or repeated, or differing types.
Result<ReduceParams> ReadReduce(const StepSpec& spec);
Status CheckReduce(const ReduceParams& params, const RunArgs& args);

}  // namespace fusee::ops
