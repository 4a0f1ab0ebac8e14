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
// the same bits.
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
#include "cuda/launch.cuh"
#include "cuda/mma.cuh"
#include "cuda/numeric.cuh"
#include "ops/nn/conv_cuda.h"
#include "ops/nn/epilogue_cuda.cuh"
#include "ops/nn/matmul_mma_cuda.cuh"

namespace fusee::ops {
namespace {

// {rows, columns, depth, stages, warps_m, warps_n, split}. The order is the number that plans
// store: append only.
constexpr MmaTile kTiles[kConvMmaTileCount] = {
    {128, 128, 32, 4, 2, 4, 1}, {128, 64, 32, 4, 4, 2, 1}, {64, 64, 64, 4, 2, 2, 1},
    {64, 32, 64, 5, 2, 2, 1},   {32, 64, 64, 5, 2, 2, 1},  {32, 32, 64, 6, 2, 2, 1},
};

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
struct Args {
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
struct Row {
  int64_t image = 0;  // elements before this image
  int h = 0, w = 0;   // of the window's first position; far outside for rows that do not exist
};

template <typename T>
__device__ __forceinline__ Row FindRow(const Args<T>& a, int row) {
  Row r;
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
__device__ __forceinline__ const T* Gather(const Args<T>& a, const Row& r, int depth) {
  const int tap = a.by_run.Quotient(depth);
  const int tap_h = a.by_kernel_w.Quotient(tap);
  const int h = r.h + tap_h * a.dilation_h;
  const int w = r.w + (tap - tap_h * a.kernel_w) * a.dilation_w;
  if (h < 0 || h >= a.in_h || w < 0 || w >= a.in_w) return nullptr;
  return a.x + r.image + (static_cast<int64_t>(h) * a.in_w + w) * a.channels +
         (depth - tap * a.run);
}

template <typename T, int kIndex, bool kVector>
__global__ void __launch_bounds__(kTiles[kIndex].threads())
    ConvMmaKernel(const __grid_constant__ Args<T> args) {
  constexpr MmaTile kTile = kTiles[kIndex];
  constexpr int kThreads = kTile.threads();
  constexpr int kChunks = kTile.depth / 8;
  constexpr int kRowStep = kThreads / kChunks;
  constexpr int kRowsEach = kTile.rows / kRowStep;
  static_assert(kThreads % kChunks == 0 && kTile.rows % kRowStep == 0);
  constexpr uint32_t kStageBytes = kTile.stage_bytes(true);
  constexpr int kPitch = kTile.depth + 8;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  const uint32_t shared = cuda::SharedAddress(shared_memory);
  const int row0 = static_cast<int>(blockIdx.x) / args.tiles_n * kTile.rows;
  const int column0 = static_cast<int>(blockIdx.x) % args.tiles_n * kTile.columns;
  const int thread = static_cast<int>(threadIdx.x);
  const int my_row = thread / kChunks;
  const int my_depth = thread % kChunks * 8;

  Row rows[kRowsEach];
#pragma unroll
  for (int q = 0; q < kRowsEach; ++q) rows[q] = FindRow(args, row0 + my_row + q * kRowStep);

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
      CopyTile<kTile.columns, kTile.depth, kThreads>(shared + to, args.w, args.depth, column0,
                                                     args.columns, depth, args.depth);
    else
      CopyTileStrided<kTile.columns, kTile.depth, kThreads>(
          reinterpret_cast<T*>(shared_memory + to), args.w, args.depth, 1, column0, args.columns,
          depth, args.depth);
  };

  const int tiles = (args.depth + kTile.depth - 1) / kTile.depth;
  const bool early_b = args.w_is_constant;
  if (early_b) {
    for (int s = 0; s < kTile.stages - 1 && s < tiles; ++s) copy_b(s, s);
  }
  cuda::WaitForPrior();
  for (int s = 0; s < kTile.stages - 1; ++s) {
    if (s < tiles) {
      if (!early_b) copy_b(s, s);
      copy_a(s, s);
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
      copy_b(next, next_slot);
      copy_a(next, next_slot);
    }
    cuda::CopyCommit();
    MultiplyStage<kTile, true, T>(shared + slot * kStageBytes, warp_row, warp_column, w);
    slot = slot + 1 == kTile.stages ? 0 : slot + 1;
    next_slot = next_slot + 1 == kTile.stages ? 0 : next_slot + 1;
  }
  cuda::CopyWait<0>();
  __syncthreads();
  float* sums = reinterpret_cast<float*>(shared_memory);
  StoreSums<kTile>(sums, warp_row, warp_column, w);
  __syncthreads();

  constexpr int kPacks = kTile.columns / 8;
#pragma unroll 1
  for (int at = thread; at < kTile.rows * kPacks; at += kThreads) {
    const int row = row0 + at / kPacks;
    const int column = column0 + at % kPacks * 8;
    const int count = min(8, args.columns - column);
    if (row >= args.rows || count <= 0) continue;
    const float* from = sums + at / kPacks * (kTile.columns + 8) + at % kPacks * 8;
    float sum[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) sum[i] = from[i];
    FinishRow(args.epilogue, args.epilogue.residual, args.y, args.columns, row, column, count,
              args.vector_epilogue, sum);
  }
}

template <typename T>
using Kernel = void (*)(Args<T>);

template <typename T, bool kVector>
Kernel<T> KernelOf(int tile) {
  static constexpr Kernel<T> kKernels[kConvMmaTileCount] = {
      &ConvMmaKernel<T, 0, kVector>, &ConvMmaKernel<T, 1, kVector>, &ConvMmaKernel<T, 2, kVector>,
      &ConvMmaKernel<T, 3, kVector>, &ConvMmaKernel<T, 4, kVector>, &ConvMmaKernel<T, 5, kVector>};
  return kKernels[tile];
}

template <typename T>
Status Load(int tile) {
  const int bytes = kTiles[tile].shared_bytes(true);
  for (Kernel<T> kernel : {KernelOf<T, true>(tile), KernelOf<T, false>(tile)})
    FUSEE_CUDA_TRY(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  return OkStatus();
}

template <typename T>
Status Enqueue(const ConvCuda& c, int index, void* queue) {
  const MmaTile& tile = kTiles[index];
  const int rows = static_cast<int>(c.batch * c.out_pixels());
  const int tiles_n = (c.out_channels + tile.columns - 1) / tile.columns;
  const int tiles_m = (rows + tile.rows - 1) / tile.rows;
  EpilogueCuda<T> epilogue;
  epilogue.c = static_cast<const T*>(c.bias);
  epilogue.c_col = 1;
  epilogue.residual = static_cast<const T*>(c.residual);
  epilogue.activation = ToCuda(c.activation);
  const bool vector_epilogue = c.out_channels % 8 == 0 && cuda::IsPackAligned(c.y) &&
                               cuda::IsPackAligned(c.bias) && cuda::IsPackAligned(c.residual);
  // The last position of a row of windows must lie inside, as it does without pads.
  const bool whole_rows = c.pad[2] == 0 && c.dilation[2] == 1 && c.kernel[2] > 1 &&
                          (c.out[2] - 1) * c.stride[2] + c.kernel[2] <= c.in[2];
  const int run = whole_rows ? c.kernel[2] * c.channels : c.channels;
  const int kernel_w = whole_rows ? 1 : c.kernel[2];
  const Args<T> args{static_cast<const T*>(c.x),
                     static_cast<const T*>(c.w),
                     static_cast<T*>(c.y),
                     rows,
                     c.out_channels,
                     c.taps() * c.channels,
                     tiles_n,
                     run,
                     c.channels,
                     c.in[1],
                     c.in[2],
                     c.out[1],
                     c.out[2],
                     kernel_w,
                     c.stride[1],
                     c.stride[2],
                     c.dilation[1],
                     c.dilation[2],
                     c.pad[1],
                     c.pad[2],
                     Divider(run),
                     Divider(kernel_w),
                     Divider(c.out[2]),
                     Divider(c.out[1]),
                     epilogue,
                     vector_epilogue,
                     c.w_is_constant};
  // Every piece of 8 lies in one run and begins at a multiple of 8 elements.
  const bool pieces =
      c.channels % 8 == 0 || (whole_rows && run % 8 == 0 && c.stride[2] * c.channels % 8 == 0 &&
                              static_cast<int64_t>(c.in[2]) * c.channels % 8 == 0);
  const bool vector = pieces && cuda::IsPackAligned(c.x) && cuda::IsPackAligned(c.w);
  const Kernel<T> kernel = vector ? KernelOf<T, true>(index) : KernelOf<T, false>(index);
  return cuda::Launch(kernel, dim3(static_cast<unsigned>(tiles_m) * static_cast<unsigned>(tiles_n)),
                      dim3(static_cast<unsigned>(tile.threads())),
                      static_cast<size_t>(tile.shared_bytes(true)), queue, args);
}

}  // namespace

ConvMmaTile ConvMmaTileSize(int tile) { return {kTiles[tile].rows, kTiles[tile].columns}; }

Status LoadConvMma(DType dtype, int tile) {
  return dtype == DType::kF16 ? Load<__half>(tile) : Load<__nv_bfloat16>(tile);
}

Status EnqueueConvMma(const ConvCuda& conv, int tile, void* queue) {
  return conv.dtype == DType::kF16 ? Enqueue<__half>(conv, tile, queue)
                                   : Enqueue<__nv_bfloat16>(conv, tile, queue);
}

}  // namespace fusee::ops
