// The tensor-core convolution's kernels for f16.
#include "ops/nn/conv_mma_cuda.cuh"

namespace fusee::ops {

template <>
const ConvMmaKernels<__half>& ConvMmaKernelsOf<__half>() {
  static const ConvMmaKernels<__half> kernels = MakeConvMmaKernels<__half>();
  return kernels;
}

}  // namespace fusee::ops
