// Where the kernels of the tensor-core GEMM are found: compiled in one file for each type, because
// there are many.
#pragma once

#include <cstddef>
#include <utility>

#include "ops/nn/matmul_mma_cuda.cuh"

namespace fusee::ops {

template <typename T>
using MmaKernel = void (*)(MmaArgs<T>);

// Kernels of aligned operands by b's layout and tile; of strided ones by tile.
template <typename T>
struct MmaKernels {
  MmaKernel<T> plain[kMmaTileCount];
  MmaKernel<T> transposed[kMmaTileCount];
  MmaKernel<T> strided[kMmaStridedTileCount];
};
template <typename T>
const MmaKernels<T>& MmaKernelsOf();
template <>
const MmaKernels<__half>& MmaKernelsOf<__half>();
template <>
const MmaKernels<__nv_bfloat16>& MmaKernelsOf<__nv_bfloat16>();

// Fills the table above; for the files that compile the kernels.
template <typename T, size_t... kTile, size_t... kStrided>
MmaKernels<T> MakeMmaKernels(std::index_sequence<kTile...>, std::index_sequence<kStrided...>) {
  return {{&MatMulMmaKernel<T, kTile, false, true>...},
          {&MatMulMmaKernel<T, kTile, true, true>...},
          {&MatMulMmaKernel<T, kStrided, false, false>...}};
}
template <typename T>
MmaKernels<T> MakeMmaKernels() {
  return MakeMmaKernels<T>(std::make_index_sequence<kMmaTileCount>(),
                           std::make_index_sequence<kMmaStridedTileCount>());
}

}  // namespace fusee::ops
