// The tensor-core GEMM's kernels for bf16.
#include "ops/nn/matmul_mma_cuda.h"

namespace fusee::ops {

template <>
const MmaKernels<__nv_bfloat16>& MmaKernelsOf<__nv_bfloat16>() {
  static const MmaKernels<__nv_bfloat16> kernels = MakeMmaKernels<__nv_bfloat16>();
  return kernels;
}

}  // namespace fusee::ops
