// The tensor-core convolution's kernels for bf16.
#include "ops/nn/conv_mma_cuda.cuh"

namespace fusee::ops {

template <>
const ConvMmaKernels<__nv_bfloat16>& ConvMmaKernelsOf<__nv_bfloat16>() {
  static const ConvMmaKernels<__nv_bfloat16> kernels = MakeConvMmaKernels<__nv_bfloat16>();
  return kernels;
}

}  // namespace fusee::ops
