// Which of cuBLASLt's algorithms keep a product's sum in float until the epilogue is done.
//
// Some kernels round the sum to the result's halves first and add bias or residual to that, which
// costs units in the last place where the two cancel (seen: algorithms 23 and 24 of version 13.1 on
// one H100). No property of an algorithm says so, so each is asked: a product of 1 + 2^-12, which
// neither f16 nor bf16 can hold, plus -1 has to give 2^-12.
#pragma once

#include <vector>

#include "ops/nn/cublaslt_problem_cuda.h"

namespace fusee::ops {

// Of `list`, which LtConfigurations gave for this problem, those that keep the sum in float; all of
// it where nothing is added or results are floats. Runs each on the device: at build only.
// Errors: kAborted (the device is lost), kResourceExhausted (no memory for operands).
Result<std::vector<Configuration>> KeepFloatSums(const StepSpec& spec, const LtProblem& problem,
                                                 Device& device, std::vector<Configuration> list);

}  // namespace fusee::ops
