// The kernel of attention on tensor cores, for sm_80 and later.
//
//   grid    one block for 64 queries of one head of one batch item
//   block   4 warps of 16 queries each; their fragments of q stay in registers
//   keys    tiles of 64 in ascending order, k and v of the next on their way while one is used
//   scores  16 x 64 a warp, in registers: scaled, biased, exponentials of base 2 against a running
//           maximum in float, rounded to halves for the product with v; sums of them in float
//
// A row's bits depend on its own operands alone: not on the batch, the head, or the other rows.
// Scores are rounded to halves before the second product: a relative error of 2^-11 (f16) or 2^-8
// (bf16) of each weight, which CPU kernels do not have.
#pragma once

#include "cuda/launch.cuh"
#include "cuda/mma.cuh"
#include "cuda/numeric.cuh"
#include "ops/nn/attention_cuda.h"

namespace fusee::ops {

inline constexpr int kAttentionRows = 64;
inline constexpr int kAttentionKeys = 64;
inline constexpr int kAttentionWarps = kAttentionRows / 16;
inline constexpr int kAttentionThreads = 32 * kAttentionWarps;
inline constexpr float kLog2E = 1.44269504f;

// q, and two stages of k and v. Rows are 16 bytes longer than a head, so that the eight rows that
// one matrix load reads lie in different banks.
constexpr int AttentionSharedBytes(int dim) {
  return (kAttentionRows + 4 * kAttentionKeys) * (dim + 8) * 2;
}

// Starts to copy (or, unaligned, copies) rows [row, row + 64) of one head, `width` of kDim columns;
// zeros outside.
template <int kDim, typename T>
__device__ __forceinline__ void CopyHead(T* shared, const T* from, int64_t ld, int row, int rows,
                                         int width, bool aligned) {
  constexpr int kChunks = kDim / 8;
  if (aligned) {
    const uint32_t to = cuda::SharedAddress(shared);
#pragma unroll 2
    for (int first = 0; first < 64 * kChunks; first += kAttentionThreads) {
      const int chunk = first + static_cast<int>(threadIdx.x);
      const int i = chunk / kChunks;
      const int j = chunk % kChunks * 8;
      const bool inside = row + i < rows && j < width;
      cuda::CopyAsync16(to + static_cast<uint32_t>((i * (kDim + 8) + j) * 2),
                        inside ? from + (row + i) * ld + j : from, inside ? 16 : 0);
    }
  } else {
#pragma unroll 1
    for (int at = static_cast<int>(threadIdx.x); at < 64 * kDim; at += kAttentionThreads) {
      const int i = at / kDim;
      const int j = at % kDim;
      shared[i * (kDim + 8) + j] =
          row + i < rows && j < width ? from[(row + i) * ld + j] : cuda::FromFloat<T>(0.0f);
    }
  }
}

// What a warp knows of its two rows of queries (lane / 4, and 8 further).
template <int kDim>
struct AttentionRows {
  float max[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};
  float result[kDim / 8][4] = {};
};

// A bias times log2(e). A finite mask stays finite, as -FLT_MAX would not: a row of nothing but
// such masks is their mean, not NaN. -infinity and NaN stay what they are.
__device__ __forceinline__ float BiasLog2(float bias) {
  const float scaled = bias * kLog2E;
  return scaled == -INFINITY && bias != -INFINITY ? -3.402823466e38f : scaled;
}

// What a bias that is the same for every row adds to one key, times log2(e): -infinity behind the
// last key. Read a tile ahead and passed on in shared memory, because a load for each score,
// between the two products, takes longer than both.
template <typename Bias>
__device__ __forceinline__ float KeyBias(const AttentionArgsCuda& args, const Bias* bias, int key) {
  if (key >= args.seq_k) return -INFINITY;
  return BiasLog2(cuda::ToFloat(bias[key * args.bias_strides[3]]));
}

// Scales scores and adds the bias of their keys, as KeyBias gave it.
__device__ __forceinline__ void AddKeyBias(const AttentionArgsCuda& args, const float* key_bias,
                                           float (&s)[kAttentionKeys / 8][4]) {
  const float scale = args.scale * kLog2E;
  const int first = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int j = 0; j < kAttentionKeys / 8; ++j) {
    const float2 add = *reinterpret_cast<const float2*>(key_bias + first + j * 8);
    s[j][0] = s[j][0] * scale + add.x;
    s[j][1] = s[j][1] * scale + add.y;
    s[j][2] = s[j][2] * scale + add.x;
    s[j][3] = s[j][3] * scale + add.y;
  }
}

// Scales scores and adds the bias, both times log2(e); -infinity behind the last key. Kept small in
// registers: the last stride of a bias is 0 or 1, so that offsets in a row are constants.
template <typename Bias>
__device__ __forceinline__ void BiasScores(const AttentionArgsCuda& args, const Bias* bias, int row,
                                           int key, float (&s)[kAttentionKeys / 8][4]) {
  const int first = key + static_cast<int>(threadIdx.x) % 4 * 2;
  const float scale = args.scale * kLog2E;
  const bool whole = key + kAttentionKeys <= args.seq_k;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    // Rows behind the last one read the last one's: their results are not stored.
    const Bias* from =
        bias == nullptr ? nullptr : bias + min(row + 8 * r, args.seq_q - 1) * args.bias_strides[2];
    const bool one = args.bias_strides[3] == 0;
    const float all = bias != nullptr && one ? BiasLog2(cuda::ToFloat(*from)) : 0.0f;
    if (bias != nullptr) from += first;
#pragma unroll
    for (int j = 0; j < kAttentionKeys / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const bool inside = whole || first + j * 8 + e < args.seq_k;
        float add = all;
        if (bias != nullptr && !one && inside) add = BiasLog2(cuda::ToFloat(from[j * 8 + e]));
        s[j][2 * r + e] = inside ? s[j][2 * r + e] * scale + add : -INFINITY;
      }
    }
  }
}

// Turns scores into weights against the new maximum, and scales what was summed against the old.
template <int kDim>
__device__ __forceinline__ void Softmax(AttentionRows<kDim>& rows,
                                        float (&s)[kAttentionKeys / 8][4]) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float max = rows.max[r];
#pragma unroll
    for (int j = 0; j < kAttentionKeys / 8; ++j)
      max = fmaxf(max, fmaxf(s[j][2 * r], s[j][2 * r + 1]));
    max = fmaxf(max, __shfl_xor_sync(0xFFFFFFFFu, max, 1));
    max = fmaxf(max, __shfl_xor_sync(0xFFFFFFFFu, max, 2));
    // As long as every score is -infinity there is nothing to subtract from; all weights are 0.
    const float base = max == -INFINITY ? 0.0f : max;
    const float shrink = exp2f(rows.max[r] - base);
    float sum = 0;
#pragma unroll
    for (int j = 0; j < kAttentionKeys / 8; ++j) {
#pragma unroll
      for (int e = 2 * r; e < 2 * r + 2; ++e) {
        s[j][e] = exp2f(s[j][e] - base);
        sum += s[j][e];
      }
    }
    // Each lane of a row sums its own columns; they are added up at the end, in one order.
    rows.sum[r] = rows.sum[r] * shrink + sum;
    rows.max[r] = max;
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
      rows.result[d][2 * r] *= shrink;
      rows.result[d][2 * r + 1] *= shrink;
    }
  }
}

template <int kDim, typename T>
__device__ __forceinline__ void StoreRows(const AttentionArgsCuda& args, AttentionRows<kDim>& rows,
                                          T* y, int row) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const bool pairs = args.dim_v % 2 == 0;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float sum = rows.sum[r];
    sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
    sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
    // No keys: 0. Only keys of weight 0: 0/0, as softmax has it.
    const float inverse = args.seq_k == 0 ? 0.0f : 1.0f / sum;
    // Keys of weight 0 only sum to 0, a NaN among them to NaN: NaN weights to softmax either way.
    const bool zero = args.zero_nan_rows && !(sum > 0);
    if (row + 8 * r >= args.seq_q) continue;
    T* to = y + (row + 8 * r) * args.y_row;
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
      const int column = d * 8 + lane % 4 * 2;
      const float x0 = zero ? 0.0f : rows.result[d][2 * r] * inverse;
      const float x1 = zero ? 0.0f : rows.result[d][2 * r + 1] * inverse;
      if (pairs && column < args.dim_v) {
        *reinterpret_cast<uint32_t*>(to + column) = cuda::PackHalves<T>(x0, x1);
      } else {
        if (column < args.dim_v) to[column] = cuda::FromFloat<T>(x0);
        if (column + 1 < args.dim_v) to[column + 1] = cuda::FromFloat<T>(x1);
      }
    }
  }
}

// scores = q k^T for one warp and one tile of keys.
template <int kDim, typename T>
__device__ __forceinline__ void Scores(const uint32_t (&q)[kDim / 16][4], uint32_t keys,
                                       float (&s)[kAttentionKeys / 8][4]) {
  constexpr int kRow = (kDim + 8) * 2;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const uint32_t from =
      keys + static_cast<uint32_t>((lane / 16 * 8 + lane % 8) * kRow + lane / 8 % 2 * 16);
#pragma unroll
  for (int j = 0; j < kAttentionKeys / 16; ++j) {
#pragma unroll
    for (int d = 0; d < kDim / 16; ++d) {
      uint32_t k[4];
      cuda::LoadMatrices(from + static_cast<uint32_t>(j * 16 * kRow + d * 32), k);
      cuda::MultiplyAdd<T>(s[2 * j], q[d], k[0], k[1]);
      cuda::MultiplyAdd<T>(s[2 * j + 1], q[d], k[2], k[3]);
    }
  }
}

// results += weights v.
template <int kDim, typename T>
__device__ __forceinline__ void AddValues(const float (&s)[kAttentionKeys / 8][4], uint32_t values,
                                          AttentionRows<kDim>& rows) {
  constexpr int kRow = (kDim + 8) * 2;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const uint32_t from = values + static_cast<uint32_t>(lane % 16 * kRow + lane / 16 * 16);
#pragma unroll
  for (int j = 0; j < kAttentionKeys / 16; ++j) {
    const uint32_t weights[4] = {cuda::PackHalves<T>(s[2 * j][0], s[2 * j][1]),
                                 cuda::PackHalves<T>(s[2 * j][2], s[2 * j][3]),
                                 cuda::PackHalves<T>(s[2 * j + 1][0], s[2 * j + 1][1]),
                                 cuda::PackHalves<T>(s[2 * j + 1][2], s[2 * j + 1][3])};
#pragma unroll
    for (int d = 0; d < kDim / 16; ++d) {
      uint32_t v[4];
      cuda::LoadMatricesTransposed(from + static_cast<uint32_t>(j * 16 * kRow + d * 32), v);
      cuda::MultiplyAdd<T>(rows.result[2 * d], weights, v[0], v[1]);
      cuda::MultiplyAdd<T>(rows.result[2 * d + 1], weights, v[2], v[3]);
    }
  }
}

// kDim: dim and dim_v rounded up to a multiple of 32. Bias: float, T, or void without one.
template <typename T, typename Bias, int kDim>
__global__ void __launch_bounds__(kAttentionThreads)
    AttentionMmaKernel(const __grid_constant__ AttentionArgsCuda args) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  constexpr int kTile = kAttentionKeys * (kDim + 8);
  T* const shared_q = reinterpret_cast<T*>(shared_memory);
  T* const shared_k = shared_q + kAttentionRows * (kDim + 8);
  T* const shared_v = shared_k + 2 * kTile;

  const uint32_t tile = blockIdx.x % args.query_tiles;
  const uint32_t head = blockIdx.x / args.query_tiles % args.heads;
  const int64_t item = blockIdx.x / args.query_tiles / args.heads;
  const T* q = static_cast<const T*>(args.q) + item * args.seq_q * args.q_row + head * args.dim;
  const T* k = static_cast<const T*>(args.k) + item * args.seq_k * args.k_row + head * args.dim;
  const T* v = static_cast<const T*>(args.v) + item * args.seq_k * args.v_row + head * args.dim_v;
  T* y = static_cast<T*>(args.y) + item * args.seq_q * args.y_row + head * args.dim_v;
  const int first_row = static_cast<int>(tile) * kAttentionRows;
  const int tiles = (args.seq_k + kAttentionKeys - 1) / kAttentionKeys;

  const auto copy_keys = [&](int t) {
    if (t < tiles)
      CopyHead<kDim>(shared_k + t % 2 * kTile, k, args.k_row, t * kAttentionKeys, args.seq_k,
                     args.dim, args.aligned);
    cuda::CopyCommit();
  };
  const auto copy_values = [&](int t) {
    if (t < tiles)
      CopyHead<kDim>(shared_v + t % 2 * kTile, v, args.v_row, t * kAttentionKeys, args.seq_k,
                     args.dim_v, args.aligned);
    cuda::CopyCommit();
  };

  // A mask over keys, the same for every query and head: the common bias.
  __shared__ __align__(8) float key_bias[2][kAttentionKeys];
  const bool by_key = !std::is_void_v<Bias> && args.bias_strides[2] == 0;
  const auto stage_bias = [&](int t) {
    if constexpr (!std::is_void_v<Bias>) {
      const int at = static_cast<int>(threadIdx.x);
      if (by_key && t < tiles && at < kAttentionKeys) {
        const Bias* bias = static_cast<const Bias*>(args.bias) + item * args.bias_strides[0] +
                           head * args.bias_strides[1];
        key_bias[t % 2][at] = KeyBias(args, bias, t * kAttentionKeys + at);
      }
    }
  };

  cuda::WaitForPrior();
  CopyHead<kDim>(shared_q, q, args.q_row, first_row, args.seq_q, args.dim, args.aligned);
  copy_keys(0);
  copy_values(0);
  cuda::AllowNext();
  stage_bias(0);

  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = first_row + warp * 16 + lane / 4;
  AttentionRows<kDim> rows;
  uint32_t fragments[kDim / 16][4];
#pragma unroll 1
  for (int t = 0; t < tiles; ++t) {
    cuda::CopyWait<1>();
    __syncthreads();  // the keys are there for all, and nobody reads the stage to be filled next
    copy_keys(t + 1);
    copy_values(t + 1);
    stage_bias(t + 1);
    if (t == 0) {
      const uint32_t from =
          cuda::SharedAddress(shared_q) +
          static_cast<uint32_t>(((warp * 16 + lane % 16) * (kDim + 8) + lane / 16 * 8) * 2);
#pragma unroll
      for (int d = 0; d < kDim / 16; ++d)
        cuda::LoadMatrices(from + static_cast<uint32_t>(d * 32), fragments[d]);
    }
    float s[kAttentionKeys / 8][4] = {};
    Scores<kDim, T>(fragments, cuda::SharedAddress(shared_k + t % 2 * kTile), s);
    if constexpr (std::is_void_v<Bias>) {
      BiasScores<float>(args, nullptr, row, t * kAttentionKeys, s);
    } else if (by_key) {
      AddKeyBias(args, key_bias[t % 2], s);
    } else {
      const Bias* bias = static_cast<const Bias*>(args.bias) + item * args.bias_strides[0] +
                         head * args.bias_strides[1];
      BiasScores(args, bias, row, t * kAttentionKeys, s);
    }
    Softmax(rows, s);
    cuda::CopyWait<2>();
    __syncthreads();  // the values are there for all
    AddValues<kDim, T>(s, cuda::SharedAddress(shared_v + t % 2 * kTile), rows);
  }
  StoreRows(args, rows, y, row);
}

}  // namespace fusee::ops
