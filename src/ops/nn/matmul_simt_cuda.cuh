// The GEMM of this family without tensor cores: every type, any strides, sums in the type itself
// (f32, f64; integers wrap) or in float (f16, bf16).
//
//   grid     one block a tile of the result
//   block    256 threads, each a kTileM x kTileN part in registers, rows and columns 16 apart
//   k        tiles of 16, the next in registers while one is used from shared memory
//   end      sums go through shared memory, so that neighbouring threads finish neighbouring packs
//
// Each element is one chain of multiply-adds over k ascending, whatever the tile: the same bits for
// every batch size and position.
#pragma once

#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "ops/nn/epilogue_cuda.cuh"
#include "ops/nn/matmul_cuda.h"

namespace fusee::ops {

inline constexpr int kSimtGemmThreads = 256;
inline constexpr int kSimtSide = 16;  // threads along rows and along columns
inline constexpr int kSimtDepth = 16;

template <typename T>
struct SimtArgs {
  const T* a = nullptr;
  const T* b = nullptr;
  T* y = nullptr;
  int m = 0, n = 0, k = 0;
  int tiles_m = 0, tiles_n = 0;
  int64_t a_row = 0, a_col = 0, b_row = 0, b_col = 0;
  bool a_by_rows = false;  // neighbouring threads read neighbouring rows of a (transposed a)
  bool b_by_rows = false;  // the same of b (transposed b)
  BatchStridesCuda batch;
  EpilogueCuda<T> epilogue;  // its alpha and beta are not f64's
  double alpha = 1, beta = 1;
  bool vector_epilogue = false;
};

// The type of sums.
template <typename T>
struct SimtSumOf {
  using Type = float;
};
template <>
struct SimtSumOf<double> {
  using Type = double;
};
template <>
struct SimtSumOf<uint32_t> {
  using Type = uint32_t;
};
template <>
struct SimtSumOf<uint64_t> {
  using Type = uint64_t;
};

template <typename T>
__device__ __forceinline__ typename SimtSumOf<T>::Type LoadSum(T x) {
  if constexpr (std::is_same_v<typename SimtSumOf<T>::Type, float>)
    return cuda::ToFloat(x);
  else
    return x;
}

// Activations in double, one element.
__device__ __forceinline__ double ActivateDouble(ActivationKind kind, double alpha, double beta,
                                                 double x) {
  switch (kind) {
    case ActivationKind::kNone: return x;
    case ActivationKind::kRelu: return x < 0 ? 0 : x;
    case ActivationKind::kClip: {
      const double low = x < alpha ? alpha : x;
      return low > beta ? beta : low;
    }
    case ActivationKind::kSigmoid: return 1 / (1 + exp(-x));
    case ActivationKind::kTanh: return tanh(x);
    case ActivationKind::kLeakyRelu: return x < 0 ? alpha * x : x;
    case ActivationKind::kHardSigmoid: {
      const double y = alpha * x + beta;
      return y < 0 ? 0 : (y > 1 ? 1 : y);
    }
    case ActivationKind::kHardSwish: {
      const double y = x / 6 + 0.5;
      return x * (y < 0 ? 0 : (y > 1 ? 1 : y));
    }
    case ActivationKind::kGelu: return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case ActivationKind::kGeluTanh:
      return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case ActivationKind::kSilu: return x / (1 + exp(-x));
  }
  return x;
}

// The elements of a tile that one thread brings from memory to registers, then to shared memory
// stored by k: [kSimtDepth][kEdge + 4].
template <typename Sum, int kEdge>
struct SimtLoad {
  static constexpr int kRow = kEdge + 4;
  static constexpr int kCount = kEdge * kSimtDepth / kSimtGemmThreads;
  Sum value[kCount];

  static __device__ __forceinline__ void Place(int e, bool by_edge, int* edge, int* k) {
    const int at = static_cast<int>(threadIdx.x) + e * kSimtGemmThreads;
    *edge = by_edge ? at % kEdge : at / kSimtDepth;
    *k = by_edge ? at / kEdge : at % kSimtDepth;
  }
  template <typename T>
  __device__ __forceinline__ void FromMemory(const T* from, int64_t edge_stride, int64_t k_stride,
                                             int first, int edges, int first_k, int depth,
                                             bool by_edge) {
#pragma unroll
    for (int e = 0; e < kCount; ++e) {
      int edge, k;
      Place(e, by_edge, &edge, &k);
      const bool inside = first + edge < edges && first_k + k < depth;
      value[e] =
          inside ? LoadSum(from[(first + edge) * edge_stride + (first_k + k) * k_stride]) : Sum{0};
    }
  }
  __device__ __forceinline__ void ToShared(Sum* to, bool by_edge) const {
#pragma unroll
    for (int e = 0; e < kCount; ++e) {
      int edge, k;
      Place(e, by_edge, &edge, &k);
      to[k * kRow + edge] = value[e];
    }
  }
};

// Finishes `count` neighbouring sums of a row in f64 or integers.
template <typename T, typename Sum>
__device__ __forceinline__ void FinishWide(const SimtArgs<T>& args, const T* residual, T* y,
                                           int64_t row, int64_t column, int count, const Sum* sum) {
  for (int i = 0; i < count; ++i) {
    const int64_t at = row * args.n + column + i;
    Sum x = sum[i];
    if constexpr (std::is_same_v<Sum, double>) x *= args.alpha;
    if (args.epilogue.c != nullptr) {
      const Sum c = args.epilogue.c[row * args.epilogue.c_row + (column + i) * args.epilogue.c_col];
      if constexpr (std::is_same_v<Sum, double>)
        x += args.beta * c;
      else
        x += c;
    }
    if constexpr (std::is_same_v<Sum, double>) {
      if (residual != nullptr) x += residual[at];
      const ActivationCuda& act = args.epilogue.activation;
      x = ActivateDouble(act.kind, act.alpha, act.beta, x);
    }
    y[at] = x;
  }
}

template <typename T, int kTileM, int kTileN>
__global__ void __launch_bounds__(kSimtGemmThreads)
    MatMulSimtKernel(const __grid_constant__ SimtArgs<T> args) {
  using Sum = typename SimtSumOf<T>::Type;
  constexpr int kRows = kSimtSide * kTileM;
  constexpr int kColumns = kSimtSide * kTileN;
  using LoadA = SimtLoad<Sum, kRows>;
  using LoadB = SimtLoad<Sum, kColumns>;
  constexpr int kStage = kSimtDepth * (LoadA::kRow + LoadB::kRow);
  constexpr int kSums = kRows * (kColumns + 8);
  __shared__ __align__(16) Sum shared[2 * kStage > kSums ? 2 * kStage : kSums];

  uint32_t tile = blockIdx.x;
  const uint32_t per_matrix = static_cast<uint32_t>(args.tiles_m) * args.tiles_n;
  const uint32_t batch = tile / per_matrix;
  tile -= batch * per_matrix;
  const int row = static_cast<int>(tile % args.tiles_m) * kRows;
  const int column = static_cast<int>(tile / args.tiles_m) * kColumns;
  int64_t a_offset, b_offset;
  BatchOffsets(args.batch, batch, &a_offset, &b_offset);
  const T* a = args.a + a_offset;
  const T* b = args.b + b_offset;
  const int ty = static_cast<int>(threadIdx.x) / kSimtSide;
  const int tx = static_cast<int>(threadIdx.x) % kSimtSide;

  cuda::WaitForPrior();
  cuda::AllowNext();
  Sum sum[kTileM][kTileN] = {};
  LoadA next_a;
  LoadB next_b;
  const auto load = [&](int k) {
    next_a.FromMemory(a, args.a_row, args.a_col, row, args.m, k, args.k, args.a_by_rows);
    next_b.FromMemory(b, args.b_col, args.b_row, column, args.n, k, args.k, !args.b_by_rows);
  };
  const auto store = [&](int stage) {
    next_a.ToShared(shared + stage * kStage, args.a_by_rows);
    next_b.ToShared(shared + stage * kStage + kSimtDepth * LoadA::kRow, !args.b_by_rows);
  };
  int stage = 0;
  if (args.k > 0) {
    load(0);
    store(0);
  }
  __syncthreads();
#pragma unroll 1
  for (int k = 0; k < args.k; k += kSimtDepth) {
    const bool more = k + kSimtDepth < args.k;
    if (more) load(k + kSimtDepth);
    const Sum* from_a = shared + stage * kStage;
    const Sum* from_b = from_a + kSimtDepth * LoadA::kRow;
#pragma unroll
    for (int d = 0; d < kSimtDepth; ++d) {
      Sum x[kTileM], w[kTileN];
#pragma unroll
      for (int i = 0; i < kTileM; ++i) x[i] = from_a[d * LoadA::kRow + ty + i * kSimtSide];
#pragma unroll
      for (int j = 0; j < kTileN; ++j) w[j] = from_b[d * LoadB::kRow + tx + j * kSimtSide];
#pragma unroll
      for (int i = 0; i < kTileM; ++i) {
#pragma unroll
        for (int j = 0; j < kTileN; ++j) sum[i][j] += x[i] * w[j];
      }
    }
    stage ^= 1;
    if (more) store(stage);
    __syncthreads();
  }

  // Everybody is past the last tile, whose memory the sums take.
#pragma unroll
  for (int i = 0; i < kTileM; ++i) {
#pragma unroll
    for (int j = 0; j < kTileN; ++j)
      shared[(ty + i * kSimtSide) * (kColumns + 8) + tx + j * kSimtSide] = sum[i][j];
  }
  __syncthreads();
  const int64_t matrix = static_cast<int64_t>(batch) * args.m * args.n;
  const T* residual = args.epilogue.residual == nullptr ? nullptr : args.epilogue.residual + matrix;
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x); at < kRows * kColumns / 8; at += kSimtGemmThreads) {
    const int i = at / (kColumns / 8);
    const int j = at % (kColumns / 8) * 8;
    const int count = min(8, args.n - (column + j));
    if (row + i >= args.m || count <= 0) continue;
    const Sum* from = shared + i * (kColumns + 8) + j;
    if constexpr (std::is_same_v<Sum, float>) {
      float values[8];
#pragma unroll
      for (int e = 0; e < 8; ++e) values[e] = from[e];
      FinishRow(args.epilogue, residual, args.y + matrix, args.n, row + i, column + j, count,
                args.vector_epilogue, values);
    } else {
      FinishWide(args, residual, args.y + matrix, row + i, column + j, count, from);
    }
  }
}

}  // namespace fusee::ops
