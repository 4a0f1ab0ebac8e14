// The tensor-core GEMM's kernels for f16.
#include "ops/nn/matmul_mma_cuda.h"

namespace fusee::ops {

template <>
const MmaKernels<__half>& MmaKernelsOf<__half>() {
  static const MmaKernels<__half> kernels = MakeMmaKernels<__half>();
  return kernels;
}

}  // namespace fusee::ops
