// Matrix products as CUDA kernels take them: the description of nn/matmul.h with one b for all
// batches folded into rows, neighbouring batch dimensions merged, and sizes that fit 32 bits.
#pragma once

#include "ops/nn/matmul.h"

namespace fusee::ops {

// Rows, columns and depth of one product that kernels index with 32 bits, tiles above the edge
// included; also the most tiles of one launch.
inline constexpr int64_t kCudaMatMulSizeMax = (int64_t{1} << 31) - 4096;

// Strides in elements from one matrix of a batch to the next; the last dimension is the fastest.
struct BatchStridesCuda {
  int rank = 0;
  int64_t dims[kMaxRank] = {};
  int64_t a[kMaxRank] = {};
  int64_t b[kMaxRank] = {};
};

// The geometry of a run: MatMulGeometry, then fold and merge. Reads shapes only; allocates nothing
// when ok. Errors: kInvalidArgument; kOutOfRange above kCudaMatMulSizeMax.
Status MatMulGeometryCuda(const MatMulParams& params, const RunArgs& args, MatMulShape* shape);

// CheckMatMul, and the limits of MatMulGeometryCuda.
Status CheckMatMulCuda(const MatMulParams& params, const RunArgs& args);

BatchStridesCuda BatchStrides(const MatMulShape& shape);

}  // namespace fusee::ops
