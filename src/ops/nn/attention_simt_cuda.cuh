// The kernel of attention without tensor cores: f32 and f64 exactly in their type, and f16 and bf16
// (sums in float) where the tensor-core kernel does not go.
//
//   grid    one block for 32 queries of one head of one batch item
//   block   8 warps of 4 queries each
//   keys    tiles of 32 in ascending order, k and v widened in shared memory: a lane for each key
//           while scores are made, a lane for each column while values are added
//
// Fixed order, a row's bits depend on its own operands alone.
#pragma once

#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "ops/nn/attention_cuda.h"

namespace fusee::ops {

inline constexpr int kSimtWarps = 8;
inline constexpr int kSimtRows = 4;  // of a warp
inline constexpr int kSimtBlockRows = kSimtWarps * kSimtRows;
inline constexpr int kSimtThreads = 32 * kSimtWarps;
inline constexpr int kSimtKeys = 32;

// Rows of k have an odd length, so that lanes reading one column of 32 keys use 32 banks.
__host__ __device__ constexpr int SimtKeyRow(int dim) { return dim | 1; }
constexpr int64_t AttentionSimtSharedBytes(int64_t dim, int64_t dim_v, int64_t element) {
  return element * (kSimtBlockRows * dim + kSimtKeys * ((dim | 1) + dim_v));
}

template <typename Sum, typename T>
__device__ __forceinline__ Sum WidenTo(T x) {
  if constexpr (std::is_same_v<T, double>)
    return x;
  else
    return cuda::ToFloat(x);
}
__device__ __forceinline__ float ExpOf(float x) { return expf(x); }
__device__ __forceinline__ double ExpOf(double x) { return exp(x); }

// One element of a bias of any floating type.
template <typename Sum>
__device__ __forceinline__ Sum LoadBias(const void* bias, DType dtype, int64_t at) {
  switch (dtype) {
    case DType::kF16: return cuda::ToFloat(static_cast<const __half*>(bias)[at]);
    case DType::kBF16: return cuda::ToFloat(static_cast<const __nv_bfloat16*>(bias)[at]);
    case DType::kF64: return static_cast<Sum>(static_cast<const double*>(bias)[at]);
    default: return static_cast<const float*>(bias)[at];
  }
}

// Copies rows [row, row + count) of one head into shared memory rows of `to_row`; zeros outside.
template <typename Sum, typename T>
__device__ __forceinline__ void WidenRows(Sum* to, int to_row, const T* from, int64_t ld, int row,
                                          int count, int rows, int width) {
  for (int i = static_cast<int>(threadIdx.x) / 32; i < count; i += kSimtWarps) {
    for (int d = static_cast<int>(threadIdx.x) % 32; d < width; d += 32)
      to[i * to_row + d] = row + i < rows ? WidenTo<Sum>(from[(row + i) * ld + d]) : Sum{0};
  }
}

// kParts: dim_v in parts of 32 columns, rounded up.
template <typename T, typename Sum, int kParts>
__global__ void __launch_bounds__(kSimtThreads)
    AttentionSimtKernel(const __grid_constant__ AttentionArgsCuda args, DType bias_dtype,
                        Sum scale) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  const int key_row = SimtKeyRow(args.dim);
  Sum* const shared_q = reinterpret_cast<Sum*>(shared_memory);
  Sum* const shared_k = shared_q + kSimtBlockRows * args.dim;
  Sum* const shared_v = shared_k + kSimtKeys * key_row;

  const uint32_t tile = blockIdx.x % args.query_tiles;
  const uint32_t head = blockIdx.x / args.query_tiles % args.heads;
  const int64_t item = blockIdx.x / args.query_tiles / args.heads;
  const T* q = static_cast<const T*>(args.q) + item * args.seq_q * args.q_row + head * args.dim;
  const T* k = static_cast<const T*>(args.k) + item * args.seq_k * args.k_row + head * args.dim;
  const T* v = static_cast<const T*>(args.v) + item * args.seq_k * args.v_row + head * args.dim_v;
  T* y = static_cast<T*>(args.y) + item * args.seq_q * args.y_row + head * args.dim_v;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int first_row = static_cast<int>(tile) * kSimtBlockRows;
  const int row = first_row + warp * kSimtRows;

  cuda::WaitForPrior();
  cuda::AllowNext();
  WidenRows(shared_q, args.dim, q, args.q_row, first_row, kSimtBlockRows, args.seq_q, args.dim);

  Sum max[kSimtRows], sum[kSimtRows], result[kSimtRows][kParts];
#pragma unroll
  for (int r = 0; r < kSimtRows; ++r) {
    max[r] = -INFINITY;
    sum[r] = 0;
#pragma unroll
    for (int p = 0; p < kParts; ++p) result[r][p] = 0;
  }
#pragma unroll 1
  for (int key = 0; key < args.seq_k; key += kSimtKeys) {
    __syncthreads();  // nobody reads the tile before any more
    WidenRows(shared_k, key_row, k, args.k_row, key, kSimtKeys, args.seq_k, args.dim);
    WidenRows(shared_v, args.dim_v, v, args.v_row, key, kSimtKeys, args.seq_k, args.dim_v);
    __syncthreads();
    Sum score[kSimtRows] = {};
    const Sum* my_key = shared_k + lane * key_row;
    const Sum* my_rows = shared_q + warp * kSimtRows * args.dim;
    for (int d = 0; d < args.dim; ++d) {
#pragma unroll
      for (int r = 0; r < kSimtRows; ++r) score[r] += my_rows[r * args.dim + d] * my_key[d];
    }
    const bool inside = key + lane < args.seq_k;
#pragma unroll
    for (int r = 0; r < kSimtRows; ++r) {
      Sum x = score[r] * scale;
      // Rows behind the last one read the last one's bias: their results are not stored.
      if (args.bias != nullptr && inside)
        x += LoadBias<Sum>(args.bias, bias_dtype,
                           item * args.bias_strides[0] + head * args.bias_strides[1] +
                               min(row + r, args.seq_q - 1) * args.bias_strides[2] +
                               (key + lane) * args.bias_strides[3]);
      if (!inside) x = -INFINITY;
      Sum top = x;
#pragma unroll
      for (int mask = 16; mask > 0; mask /= 2) {
        const Sum other = __shfl_xor_sync(0xFFFFFFFFu, top, mask);
        top = other > top ? other : top;
      }
      top = max[r] > top ? max[r] : top;
      // As long as every score is -infinity there is nothing to subtract from; all weights are 0.
      const Sum base = top == -INFINITY ? Sum{0} : top;
      const Sum shrink = ExpOf(max[r] - base);
      score[r] = ExpOf(x - base);
      sum[r] = sum[r] * shrink + score[r];
      max[r] = top;
#pragma unroll
      for (int p = 0; p < kParts; ++p) result[r][p] *= shrink;
    }
    for (int j = 0; j < kSimtKeys; ++j) {
      const Sum* values = shared_v + j * args.dim_v;
      Sum weight[kSimtRows];
#pragma unroll
      for (int r = 0; r < kSimtRows; ++r) weight[r] = __shfl_sync(0xFFFFFFFFu, score[r], j);
#pragma unroll
      for (int p = 0; p < kParts; ++p) {
        const int d = lane + 32 * p;
        const Sum value = d < args.dim_v ? values[d] : Sum{0};
#pragma unroll
        for (int r = 0; r < kSimtRows; ++r) result[r][p] += weight[r] * value;
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kSimtRows; ++r) {
    Sum total = sum[r];
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) total += __shfl_xor_sync(0xFFFFFFFFu, total, mask);
    // No keys: 0. Only keys of weight 0: 0/0, as softmax has it.
    if (args.seq_k == 0) total = 1;
    // Keys of weight 0 only sum to 0, a NaN among them to NaN: NaN weights to softmax either way.
    const bool zero = args.zero_nan_rows && !(total > 0);
    if (row + r >= args.seq_q) continue;
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      const int d = lane + 32 * p;
      if (d >= args.dim_v) continue;
      T* to = y + (row + r) * args.y_row + d;
      if constexpr (std::is_same_v<T, double>)
        *to = zero ? 0.0 : result[r][p] / total;
      else
        *to = cuda::FromFloat<T>(zero ? 0.0f : result[r][p] / total);
    }
  }
}

}  // namespace fusee::ops
