// A MatMul or Gemm step as cuBLASLt takes it, and the configurations that its algorithms make.
//
// cuBLASLt thinks in columns: the row-major result [m, n] is its column-major [n, m], so that its
// first operand is our b and its second our a. The bias runs along its rows, our columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/cublaslt.h"
#include "ops/kernel.h"
#include "ops/nn/matmul_cuda.h"

namespace fusee::ops {

inline constexpr uint64_t kLtWorkspaceMax = uint64_t{32} << 20;

struct LtProblem {
  MatMulParams params;
  MatMulShape shape;  // folded and merged: at most one batch dimension
  bool bias = false;  // operand 2 is a bias over columns
  // Operand that is added by beta * C: 2, 3, or 0 for none.
  size_t added = 0;
  float beta = 0;
};

// Whether the step fits, by its exact shapes. Errors: kUnimplemented with the reason.
Result<LtProblem> MakeLtProblem(const StepSpec& spec);

// What a plan stores for a step. Untrusted until it went through ReadLtConfig and CheckLtAlgo.
struct LtConfig {
  static constexpr uint32_t kMagic = 0x31544C46;  // "FLT1"
  // k in parts, kept in workspace as floats and added in one order: the same bits in every run on
  // one GPU, other bits than without.
  static constexpr uint32_t kSplitK = 1;
  // The library's GELU is the tanh form. It differs from erf's by less than 5e-4 everywhere, which
  // is below half a unit in the last place of f16 and bf16 for results above 1.
  static constexpr uint32_t kGeluTanhForErf = 2;
  // f32 operands are rounded to TF32 (ops/math_mode.h): for steps that allow it, and for all
  // theirs.
  static constexpr uint32_t kTf32 = 4;

  uint32_t magic = kMagic;
  uint32_t flags = 0;
  uint64_t library_version = 0;
  uint64_t workspace_bytes = 0;
  cublasLtMatmulAlgo_t algo = {};
};
static_assert(sizeof(LtConfig) == 88);

// What a step has to ask of the plan: the library wants its workspace at multiples of 256 bytes,
// and a plan gives kTensorAlignment. (It says so only in its log; the call answers "invalid
// value".)
size_t LtWorkspaceBytes(const LtConfig& config);
void* AlignedLtWorkspace(void* workspace);

// Errors: kInvalidArgument: not such a configuration, or not for this step.
Result<LtConfig> ReadLtConfig(const StepSpec& spec, const LtProblem& problem);

// Descriptors by value: copied into each run, which sets its bias.
struct LtDescriptors {
  cublasLtMatmulDescOpaque_t matmul;
  cublasLtMatrixLayoutOpaque_t a, b, c, d;
};
// bias: an address of the alignment that runs will have.
Status InitLtDescriptors(const cuda::CublasLt& lt, const LtProblem& problem, LtDescriptors* out);

// Whether the library takes this algorithm for these descriptors here, within the workspace and the
// kind of reduction that the configuration says. Errors: kFailedPrecondition.
Status CheckLtAlgo(const cuda::CublasLt& lt, cublasLtHandle_t handle, LtDescriptors& descriptors,
                   const LtConfig& config);

// The heuristic's answers, with and without splits, then what a bounded search finds.
Result<std::vector<Configuration>> LtConfigurations(const cuda::CublasLt& lt,
                                                    cublasLtHandle_t handle,
                                                    const LtProblem& problem);

}  // namespace fusee::ops
