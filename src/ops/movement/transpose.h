// What the transpose kernels share: parameters and checks.
#pragma once

#include <array>

#include "ops/movement/kernel_support.h"
#include "ops/movement/strided_copy.h"

namespace fusee::ops {

struct TransposeParams {
  int rank = 0;
  std::array<int, kMaxRank> perm{};  // result dimension i is operand dimension perm[i]
};

// Errors: kInvalidArgument when perm is no permutation of the operand's axes.
Result<TransposeParams> ReadTranspose(const StepSpec& spec);
Status CheckTranspose(const TransposeParams& params, const RunArgs& args);
StridedCopy TransposeCopy(const TransposeParams& params, const RunArgs& args);

}  // namespace fusee::ops
