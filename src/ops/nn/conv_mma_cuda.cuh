// Convolution on tensor cores as an implicit GEMM, channels last, one group, f16 and bf16.
//
//   rows     of the product: pixels of the result over the whole batch
//   columns  its channels
//   depth    kernel position, then channel: a row of the weights [O, kH, kW, C] as it lies
//
// A tile of rows is gathered while it is copied: each 16-byte piece holds 8 channels of one input
// pixel, or zeros where the window hangs over the edge. Everything else is the GEMM of
// matmul_mma_cuda.cuh: stages of cp.async, ldmatrix, mma.sync, sums through shared memory into the
// epilogue. Each result is one chain over the depth, so tiles, batches and positions in them give
// the same bits. A split variant (sm_90) gives each block of a cluster an equal part of the depth
// and adds the parts in rank order: the same bits in every run, other bits than without.
//
// Where the window has neither pads nor dilation along the width, its rows are contiguous and count
// as one kernel position of kernel_w * C channels: a patch embedding of 16 x 16 x 3 then reads
// whole pieces too.
//
// Other inputs whose channels are no multiple of 8 (the first layer of most networks has 3) are
// gathered element by element.
//
// Floor: operations over the tensor cores' rate, or bytes over bandwidth; ResNet-50 at batch 1 has
// 53 of these, 10 us of arithmetic and 24 us of bytes on an H200 in f16, and is bound by how many
// blocks a layer has (7 x 7 pixels x 512 channels make 32 tiles of 32 x 32) and by launches.
#pragma once

#include <utility>

#include "cuda/launch.cuh"
#include "cuda/mma.cuh"
#include "cuda/numeric.cuh"
#include "ops/nn/conv_cuda.h"
#include "ops/nn/epilogue_cuda.cuh"
#include "ops/nn/matmul_mma_cuda.cuh"

namespace fusee::ops {

// {rows, columns, depth, stages, warps_m, warps_n, split}. The order is the number that plans
// store: append only. Up to kConvMmaAnyTileCount they also gather element by element.
inline constexpr MmaTile kConvTiles[kConvMmaTileCount] = {
    {128, 128, 32, 4, 2, 4, 1},  // 0
    {128, 64, 32, 4, 4, 2, 1},   // 1
    {64, 64, 64, 4, 2, 2, 1},    // 2
    {64, 32, 64, 5, 2, 2, 1},    // 3
    {32, 64, 64, 5, 2, 2, 1},    // 4
    {32, 32, 64, 6, 2, 2, 1},    // 5
    {128, 256, 32, 4, 2, 4, 1},  // 6: large products
    {128, 128, 64, 3, 2, 4, 1},  // 7
    {128, 64, 64, 3, 4, 2, 1},   // 8
    {64, 128, 64, 3, 2, 4, 1},   // 9
    {64, 64, 64, 4, 2, 2, 2},    // 10: split: few pixels and a long depth
    {64, 64, 64, 4, 2, 2, 4},    // 11
    {64, 64, 64, 4, 2, 2, 8},    // 12
    {32, 64, 64, 5, 2, 2, 4},    // 13
    {32, 64, 64, 5, 2, 2, 8},    // 14
    {128, 64, 64, 3, 4, 2, 4},   // 15
    {64, 32, 64, 5, 2, 2, 4},    // 16
};

// A kernel's template argument is a number: nvcc's host side cannot spell a struct there.
constexpr MmaTile ConvTileAt(int index) { return kConvTiles[index]; }

// n / d for n below 2^31, by a multiplication. Source: Granlund and Montgomery, "Division by
// Invariant Integers using Multiplication", PLDI 1994.
struct Divider {
  uint32_t divisor = 1, multiplier = 0, shift = 0;

  // By nothing (no channels) is by one: there is no depth to divide.
  explicit Divider(int d) : divisor(static_cast<uint32_t>(d > 0 ? d : 1)) {
    while ((uint64_t{1} << shift) < divisor) ++shift;
    multiplier = static_cast<uint32_t>(
        ((uint64_t{1} << 32) * ((uint64_t{1} << shift) - divisor)) / divisor + 1);
  }
  __device__ __forceinline__ int Quotient(int n) const {
    const uint32_t u = static_cast<uint32_t>(n);
    return static_cast<int>((__umulhi(u, multiplier) + u) >> shift);
  }
};

template <typename T>
struct ConvMmaArgs {
  const T* x;
  const T* w;
  T* y;
  int rows, columns, depth;  // of the product
  int tiles_n;
  int run;  // contiguous elements of one kernel position: channels, or kernel_w * channels
  int channels, in_h, in_w, out_h, out_w, kernel_w;  // kernel_w: 1 where run spans the width
  int stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;
  Divider by_run, by_kernel_w, by_out_w, by_out_h;
  EpilogueCuda<T> epilogue;
  bool vector_epilogue, w_is_constant;
};

// Where a row of the product begins in the input.
struct ConvRow {
  int64_t image = 0;  // elements before this image
  int h = 0, w = 0;   // of the window's first position; far outside for rows that do not exist
};

template <typename T>
__device__ __forceinline__ ConvRow FindRow(const ConvMmaArgs<T>& a, int row) {
  ConvRow r;
  if (row >= a.rows) {
    r.h = -(1 << 30);
    return r;
  }
  const int line = a.by_out_w.Quotient(row);
  const int image = a.by_out_h.Quotient(line);
  r.image = static_cast<int64_t>(image) * a.in_h * a.in_w * a.channels;
  r.h = (line - image * a.out_h) * a.stride_h - a.pad_h;
  r.w = (row - line * a.out_w) * a.stride_w - a.pad_w;
  return r;
}

// The input element of a row at a depth, or null outside.
template <typename T>
__device__ __forceinline__ const T* Gather(const ConvMmaArgs<T>& a, const ConvRow& r, int depth) {
  const int tap = a.by_run.Quotient(depth);
  const int tap_h = a.by_kernel_w.Quotient(tap);
  const int h = r.h + tap_h * a.dilation_h;
  const int w = r.w + (tap - tap_h * a.kernel_w) * a.dilation_w;
  if (h < 0 || h >= a.in_h || w < 0 || w >= a.in_w) return nullptr;
  return a.x + r.image + (static_cast<int64_t>(h) * a.in_w + w) * a.channels +
         (depth - tap * a.run);
}

template <typename T, int kIndex, bool kVector>
__global__ void __launch_bounds__(ConvTileAt(kIndex).threads())
    ConvMmaKernel(const __grid_constant__ ConvMmaArgs<T> args) {
  constexpr MmaTile kTile = ConvTileAt(kIndex);
  constexpr int kThreads = kTile.threads();
  constexpr int kChunks = kTile.depth / 8;
  constexpr int kRowStep = kThreads / kChunks;
  constexpr int kRowsEach = kTile.rows / kRowStep;
  static_assert(kThreads % kChunks == 0 && kTile.rows % kRowStep == 0);
  constexpr uint32_t kStageBytes = kTile.stage_bytes(true);
  constexpr int kPitch = kTile.depth + 8;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  const uint32_t shared = cuda::SharedAddress(shared_memory);
  MmaPlace p = {};
  p.rank = kTile.split > 1 ? static_cast<int>(cuda::ClusterRank()) : 0;
  const int tile_index = static_cast<int>(blockIdx.x) / kTile.split;
  p.row = tile_index / args.tiles_n * kTile.rows;
  p.column = tile_index % args.tiles_n * kTile.columns;
  TakeShare<kTile>(args.depth, &p);
  const int thread = static_cast<int>(threadIdx.x);
  const int my_row = thread / kChunks;
  const int my_depth = thread % kChunks * 8;

  ConvRow rows[kRowsEach];
#pragma unroll
  for (int q = 0; q < kRowsEach; ++q) rows[q] = FindRow(args, p.row + my_row + q * kRowStep);

  const auto copy_a = [&](int tile, int slot) {
    const int depth = tile * kTile.depth + my_depth;
    if constexpr (kVector) {
#pragma unroll
      for (int q = 0; q < kRowsEach; ++q) {
        const T* from = depth < args.depth ? Gather(args, rows[q], depth) : nullptr;
        const uint32_t to =
            shared + slot * kStageBytes +
            static_cast<uint32_t>(((my_row + q * kRowStep) * kPitch + my_depth) * 2);
        cuda::CopyAsync16(to, from == nullptr ? args.x : from, from == nullptr ? 0 : 16);
      }
    } else {
      T* to = reinterpret_cast<T*>(shared_memory + slot * kStageBytes);
#pragma unroll
      for (int q = 0; q < kRowsEach; ++q) {
#pragma unroll 1
        for (int i = 0; i < 8; ++i) {
          const T* from = depth + i < args.depth ? Gather(args, rows[q], depth + i) : nullptr;
          to[(my_row + q * kRowStep) * kPitch + my_depth + i] =
              from == nullptr ? cuda::FromFloat<T>(0.0f) : *from;
        }
      }
    }
  };
  const auto copy_b = [&](int tile, int slot) {
    const int depth = tile * kTile.depth;
    const uint32_t to = slot * kStageBytes + kTile.a_bytes();
    if constexpr (kVector)
      CopyTile<kTile.columns, kTile.depth, kThreads>(shared + to, args.w, args.depth, p.column,
                                                     args.columns, depth, args.depth);
    else
      CopyTileStrided<kTile.columns, kTile.depth, kThreads>(
          reinterpret_cast<T*>(shared_memory + to), args.w, args.depth, 1, p.column, args.columns,
          depth, args.depth);
  };

  const int tiles = p.last - p.first;
  const bool early_b = args.w_is_constant;
  if (early_b) {
    for (int s = 0; s < kTile.stages - 1 && s < tiles; ++s) copy_b(p.first + s, s);
  }
  cuda::WaitForPrior();
  for (int s = 0; s < kTile.stages - 1; ++s) {
    if (s < tiles) {
      if (!early_b) copy_b(p.first + s, s);
      copy_a(p.first + s, s);
    }
    cuda::CopyCommit();
  }
  cuda::AllowNext();

  const int warp = thread / 32;
  const int warp_row = warp / kTile.warps_n * WarpTile<kTile>::kRows;
  const int warp_column = warp % kTile.warps_n * WarpTile<kTile>::kColumns;
  WarpTile<kTile> w = {};
  int slot = 0;
  int next_slot = kTile.stages - 1;
  for (int t = 0; t < tiles; ++t) {
    cuda::CopyWait<kTile.stages - 2>();
    __syncthreads();  // stage t is there for all, and nobody reads the slot to be filled next
    if (const int next = t + kTile.stages - 1; next < tiles) {
      copy_b(p.first + next, next_slot);
      copy_a(p.first + next, next_slot);
    }
    cuda::CopyCommit();
    MultiplyStage<kTile, true, T>(shared + slot * kStageBytes, warp_row, warp_column, w);
    slot = slot + 1 == kTile.stages ? 0 : slot + 1;
    next_slot = next_slot + 1 == kTile.stages ? 0 : next_slot + 1;
  }
  cuda::CopyWait<0>();
  __syncthreads();  // everybody is done with the stages, whose memory the sums take
  float* sums = reinterpret_cast<float*>(shared_memory);
  StoreSums<kTile>(sums, warp_row, warp_column, w);
  if constexpr (kTile.split > 1)
    cuda::ClusterBarrier();
  else
    __syncthreads();
  FinishTile<kTile>(TileResult<T>{args.epilogue, args.epilogue.residual, args.y, args.rows,
                                  args.columns, args.vector_epilogue},
                    p, sums);
  // A block's shared memory stays until every other one has read it.
  if constexpr (kTile.split > 1) cuda::ClusterBarrier();
}

// The kernels of one type by tile, compiled in one file for each because there are many.
template <typename T>
using ConvMmaFunction = void (*)(ConvMmaArgs<T>);
template <typename T>
struct ConvMmaKernels {
  ConvMmaFunction<T> pieces[kConvMmaTileCount];       // 16 bytes at a time
  ConvMmaFunction<T> elements[kConvMmaAnyTileCount];  // one by one
};
template <typename T>
const ConvMmaKernels<T>& ConvMmaKernelsOf();
template <>
const ConvMmaKernels<__half>& ConvMmaKernelsOf<__half>();
template <>
const ConvMmaKernels<__nv_bfloat16>& ConvMmaKernelsOf<__nv_bfloat16>();

template <typename T, int... kTile, int... kAny>
ConvMmaKernels<T> MakeConvMmaKernels(std::integer_sequence<int, kTile...>,
                                     std::integer_sequence<int, kAny...>) {
  return {{&ConvMmaKernel<T, kTile, true>...}, {&ConvMmaKernel<T, kAny, false>...}};
}
template <typename T>
ConvMmaKernels<T> MakeConvMmaKernels() {
  return MakeConvMmaKernels<T>(std::make_integer_sequence<int, kConvMmaTileCount>(),
                               std::make_integer_sequence<int, kConvMmaAnyTileCount>());
}

}  // namespace fusee::ops
