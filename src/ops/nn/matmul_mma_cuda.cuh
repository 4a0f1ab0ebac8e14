// The tensor-core GEMM of this family, for sm_80 and later: f16 and bf16 with float sums, any
// shape.
//
//   grid     one block a tile of the result; blocks that share a tile of b run together
//   block    warps_m x warps_n warps, each a (rows / warps_m) x (columns / warps_n) part in
//   registers k        tiles of `depth`, `stages` of them on their way into shared memory at once
//   b        tiles of a constant b are asked for before the block waits for the kernel before it
//   end      sums go through shared memory, so that c, residual and result move 16 bytes a thread
//
// Each element is one chain of products over k ascending, 16 at a time, in every tile variant that
// does not split k: variants, batch sizes and positions in the batch give the same bits. A split
// variant (sm_90) gives each block of a cluster an equal part of k and adds the parts in rank
// order: the same bits in every run, other bits than without.
#pragma once

#include <cstddef>

#include "cuda/launch.cuh"
#include "cuda/mma.cuh"
#include "cuda/numeric.cuh"
#include "ops/nn/epilogue_cuda.cuh"
#include "ops/nn/matmul_cuda.h"

namespace fusee::ops {

// A variant: block tile, stages, and how warps and clusters share it.
struct MmaTile {
  int rows, columns, depth, stages, warps_m, warps_n, split;

  constexpr int threads() const { return 32 * warps_m * warps_n; }
  // Rows of shared memory are 16 bytes longer than the tile's, so that the eight rows that one
  // matrix load reads lie in different banks.
  constexpr int a_bytes() const { return rows * (depth + 8) * 2; }
  constexpr int b_bytes(bool trans_b) const {
    return (trans_b ? columns * (depth + 8) : depth * (columns + 8)) * 2;
  }
  constexpr int stage_bytes(bool trans_b) const { return a_bytes() + b_bytes(trans_b); }
  constexpr int shared_bytes(bool trans_b) const {
    const int pipeline = stages * stage_bytes(trans_b);
    const int sums = rows * (columns + 8) * 4;
    return pipeline > sums ? pipeline : sums;
  }
};

// {rows, columns, depth, stages, warps_m, warps_n, split}. The order is the number that plans
// store: append only.
//
// Registers a thread (nvcc 13.0, sm_90a), none spills: 0: 232, 1: 126, the rest below 100.
inline constexpr MmaTile kMmaTiles[] = {
    {128, 256, 32, 4, 2, 4, 1},  // 0: large products, one block a multiprocessor
    {128, 128, 32, 4, 2, 4, 1},  // 1
    {128, 64, 64, 3, 4, 2, 1},   // 2
    {64, 64, 64, 4, 2, 2, 1},    // 3
    {64, 32, 64, 5, 2, 2, 1},    // 4: few rows: enough blocks to occupy every multiprocessor
    {32, 64, 64, 5, 2, 2, 1},    // 5
    {32, 32, 64, 6, 2, 2, 1},    // 6: 96 blocks for 128 x 768
    {32, 32, 128, 4, 2, 2, 1},   // 7: half the barriers
    {16, 64, 64, 6, 1, 4, 1},    // 8: up to 16 rows
    {64, 64, 64, 4, 2, 2, 2},    // 9: split over clusters, sm_90
    {64, 64, 64, 4, 2, 2, 4},    // 10
    {64, 64, 64, 4, 2, 2, 8},    // 11
    {128, 64, 64, 3, 4, 2, 8},   // 12
    {64, 32, 64, 5, 2, 2, 4},    // 13
};
inline constexpr size_t kMmaTileCount = sizeof(kMmaTiles) / sizeof(kMmaTiles[0]);

// Variants for operands that cannot be read 16 bytes at a time.
inline constexpr MmaTile kMmaStridedTiles[] = {
    {64, 64, 32, 2, 2, 2, 1},
    {32, 32, 64, 2, 2, 2, 1},
};
inline constexpr size_t kMmaStridedTileCount =
    sizeof(kMmaStridedTiles) / sizeof(kMmaStridedTiles[0]);

// A kernel's template arguments are numbers: nvcc's host side cannot spell a struct there.
constexpr MmaTile MmaTileAt(size_t index, bool aligned) {
  return aligned ? kMmaTiles[index] : kMmaStridedTiles[index];
}

template <typename T>
struct MmaArgs {
  const T* a = nullptr;
  const T* b = nullptr;
  T* y = nullptr;
  int m = 0, n = 0, k = 0;
  int tiles_m = 0, tiles_n = 0;
  // Strides as MatMulShape has them; kernels for aligned operands use a_row, and b_row or (where b
  // is transposed) b_col.
  int64_t a_row = 0, a_col = 0, b_row = 0, b_col = 0;
  BatchStridesCuda batch;
  EpilogueCuda<T> epilogue;
  bool vector_epilogue = false;
  bool b_is_constant = false;
};

// Tiles whose blocks run next to each other share rows of b's tiles: this many tiles of rows, then
// the next tile of columns.
inline constexpr int kMmaTileGroup = 8;

// Starts copies of rows [row, row + kRows) and columns [column, column + kColumns) of a matrix into
// shared memory rows of kColumns + 8; zeros outside. 8 columns lie all inside or all outside.
template <int kRows, int kColumns, int kThreads, typename T>
__device__ __forceinline__ void CopyTile(uint32_t shared, const T* from, int64_t ld, int row,
                                         int rows, int column, int columns) {
  constexpr int kChunks = kColumns / 8;
  constexpr int kCount = kRows * kChunks;
#pragma unroll
  for (int first = 0; first < kCount; first += kThreads) {
    const int chunk = first + static_cast<int>(threadIdx.x);
    if (kCount % kThreads != 0 && chunk >= kCount) break;
    const int i = chunk / kChunks;
    const int j = chunk % kChunks * 8;
    const bool inside = row + i < rows && column + j < columns;
    const T* source = inside ? from + (row + i) * ld + (column + j) : from;
    cuda::CopyAsync16(shared + static_cast<uint32_t>((i * (kColumns + 8) + j) * 2), source,
                      inside ? 16 : 0);
  }
}

// The same through registers, element by element, for any strides and alignment.
template <int kRows, int kColumns, int kThreads, typename T>
__device__ __forceinline__ void CopyTileStrided(T* shared, const T* from, int64_t row_stride,
                                                int64_t column_stride, int row, int rows,
                                                int column, int columns) {
  for (int at = static_cast<int>(threadIdx.x); at < kRows * kColumns; at += kThreads) {
    const int i = at / kColumns;
    const int j = at % kColumns;
    const bool inside = row + i < rows && column + j < columns;
    shared[i * (kColumns + 8) + j] =
        inside ? from[(row + i) * row_stride + (column + j) * column_stride]
               : cuda::FromFloat<T>(0.0f);
  }
}

// Where a block works: its matrix, tile, and part of k in tiles of depth.
struct MmaPlace {
  uint32_t batch;
  int row, column, first, last, rank;
};

// This block's part of k, by its rank in the cluster.
template <MmaTile kTile>
__device__ __forceinline__ void TakeShare(int k, MmaPlace* p) {
  const int depths = (k + kTile.depth - 1) / kTile.depth;
  const int share = (depths + kTile.split - 1) / kTile.split;
  p->first = min(p->rank * share, depths);
  p->last = min(p->first + share, depths);
}

template <MmaTile kTile, typename T>
__device__ __forceinline__ MmaPlace FindPlace(const MmaArgs<T>& args) {
  MmaPlace p;
  p.rank = kTile.split > 1 ? static_cast<int>(cuda::ClusterRank()) : 0;
  uint32_t tile = blockIdx.x / kTile.split;
  const uint32_t per_matrix = static_cast<uint32_t>(args.tiles_m) * args.tiles_n;
  p.batch = tile / per_matrix;
  tile -= p.batch * per_matrix;
  const uint32_t in_group = static_cast<uint32_t>(kMmaTileGroup) * args.tiles_n;
  const int first_m = static_cast<int>(tile / in_group) * kMmaTileGroup;
  const uint32_t group = static_cast<uint32_t>(min(kMmaTileGroup, args.tiles_m - first_m));
  tile %= in_group;
  p.row = (first_m + static_cast<int>(tile % group)) * kTile.rows;
  p.column = static_cast<int>(tile / group) * kTile.columns;
  TakeShare<kTile>(args.k, &p);
  return p;
}

// A warp's part of the sums.
template <MmaTile kTile>
struct WarpTile {
  static constexpr int kRows = kTile.rows / kTile.warps_m;
  static constexpr int kColumns = kTile.columns / kTile.warps_n;
  static constexpr int kM = kRows / 16;
  static constexpr int kN = kColumns / 8;
  static_assert(kRows % 16 == 0 && kColumns % 16 == 0 && kTile.depth % 16 == 0);
  float sum[kM][kN][4];
};

// Adds the product of one stage to the sums.
template <MmaTile kTile, bool kTransB, typename T>
__device__ __forceinline__ void MultiplyStage(uint32_t stage, int warp_row, int warp_column,
                                              WarpTile<kTile>& w) {
  using W = WarpTile<kTile>;
  constexpr int kARow = (kTile.depth + 8) * 2;
  constexpr int kBRow = (kTransB ? kTile.depth + 8 : kTile.columns + 8) * 2;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const uint32_t a = stage + static_cast<uint32_t>((warp_row + lane % 16) * kARow + lane / 16 * 16);
  const uint32_t b0 = stage + kTile.a_bytes();
  const uint32_t b =
      kTransB ? b0 + static_cast<uint32_t>((warp_column + lane / 16 * 8 + lane % 8) * kBRow +
                                           lane / 8 % 2 * 16)
              : b0 + static_cast<uint32_t>(lane % 16 * kBRow + (warp_column + lane / 16 * 8) * 2);
#pragma unroll
  for (int k = 0; k < kTile.depth; k += 16) {
    uint32_t fa[W::kM][4];
    uint32_t fb[W::kN / 2][4];
#pragma unroll
    for (int i = 0; i < W::kM; ++i)
      cuda::LoadMatrices(a + static_cast<uint32_t>(i * 16 * kARow + k * 2), fa[i]);
#pragma unroll
    for (int j = 0; j < W::kN / 2; ++j) {
      if constexpr (kTransB)
        cuda::LoadMatrices(b + static_cast<uint32_t>(j * 16 * kBRow + k * 2), fb[j]);
      else
        cuda::LoadMatricesTransposed(b + static_cast<uint32_t>(k * kBRow + j * 32), fb[j]);
    }
#pragma unroll
    for (int i = 0; i < W::kM; ++i) {
#pragma unroll
      for (int j = 0; j < W::kN; ++j)
        cuda::MultiplyAdd<T>(w.sum[i][j], fa[i], fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]);
    }
  }
}

// Sums of all warps into rows of columns + 8 floats.
template <MmaTile kTile>
__device__ __forceinline__ void StoreSums(float* sums, int warp_row, int warp_column,
                                          const WarpTile<kTile>& w) {
  using W = WarpTile<kTile>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int i = 0; i < W::kM; ++i) {
#pragma unroll
    for (int j = 0; j < W::kN; ++j) {
      float* at = sums + (warp_row + i * 16 + lane / 4) * (kTile.columns + 8) + warp_column +
                  j * 8 + lane % 4 * 2;
      *reinterpret_cast<float2*>(at) = make_float2(w.sum[i][j][0], w.sum[i][j][1]);
      *reinterpret_cast<float2*>(at + 8 * (kTile.columns + 8)) =
          make_float2(w.sum[i][j][2], w.sum[i][j][3]);
    }
  }
}

// Where one matrix of sums goes.
template <typename T>
struct TileResult {
  const EpilogueCuda<T>& epilogue;
  const T* residual;  // of this matrix; null: none
  T* y;               // of this matrix
  int rows, columns;  // of the whole result; rows lie `columns` apart
  bool vector;        // as FinishRow takes it
};

// From the sums to the result. Each block of a cluster finishes its share of the rows.
template <MmaTile kTile, typename T>
__device__ __forceinline__ void FinishTile(const TileResult<T>& result, const MmaPlace& p,
                                           const float* sums) {
  constexpr int kPacks = kTile.columns / 8;
  constexpr int kShare = kTile.rows / kTile.split;
  static_assert(kTile.rows % kTile.split == 0);
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x); at < kShare * kPacks; at += kTile.threads()) {
    const int i = p.rank * kShare + at / kPacks;
    const int j = at % kPacks * 8;
    const int count = min(8, result.columns - (p.column + j));
    if (p.row + i >= result.rows || count <= 0) continue;
    const float* from = sums + i * (kTile.columns + 8) + j;
    float sum[8];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float4 v;
      if constexpr (kTile.split == 1) {
        v = *reinterpret_cast<const float4*>(from + half * 4);
      } else {
        v = cuda::LoadFromCluster(from + half * 4, 0);
#pragma unroll
        for (uint32_t other = 1; other < kTile.split; ++other) {
          const float4 more = cuda::LoadFromCluster(from + half * 4, other);
          v.x += more.x;
          v.y += more.y;
          v.z += more.z;
          v.w += more.w;
        }
      }
      sum[half * 4] = v.x;
      sum[half * 4 + 1] = v.y;
      sum[half * 4 + 2] = v.z;
      sum[half * 4 + 3] = v.w;
    }
    FinishRow(result.epilogue, result.residual, result.y, result.columns, p.row + i, p.column + j,
              count, result.vector, sum);
  }
}

template <typename T, size_t kIndex, bool kTransB, bool kAligned>
__global__ void __launch_bounds__(MmaTileAt(kIndex, kAligned).threads())
    MatMulMmaKernel(const __grid_constant__ MmaArgs<T> args) {
  constexpr MmaTile kTile = MmaTileAt(kIndex, kAligned);
  extern __shared__ __align__(16) unsigned char shared_memory[];
  constexpr int kThreads = kTile.threads();
  constexpr uint32_t kStageBytes = kTile.stage_bytes(kTransB);
  const uint32_t shared = cuda::SharedAddress(shared_memory);
  const MmaPlace p = FindPlace<kTile>(args);
  int64_t a_offset, b_offset;
  BatchOffsets(args.batch, p.batch, &a_offset, &b_offset);
  const T* a = args.a + a_offset;
  const T* b = args.b + b_offset;

  const auto copy_a = [&](int tile, int slot) {
    const int k = tile * kTile.depth;
    if constexpr (kAligned)
      CopyTile<kTile.rows, kTile.depth, kThreads>(shared + slot * kStageBytes, a, args.a_row, p.row,
                                                  args.m, k, args.k);
    else
      CopyTileStrided<kTile.rows, kTile.depth, kThreads>(
          reinterpret_cast<T*>(shared_memory + slot * kStageBytes), a, args.a_row, args.a_col,
          p.row, args.m, k, args.k);
  };
  const auto copy_b = [&](int tile, int slot) {
    const int k = tile * kTile.depth;
    const uint32_t to = slot * kStageBytes + kTile.a_bytes();
    if constexpr (!kAligned)
      CopyTileStrided<kTile.depth, kTile.columns, kThreads>(
          reinterpret_cast<T*>(shared_memory + to), b, args.b_row, args.b_col, k, args.k, p.column,
          args.n);
    else if constexpr (kTransB)
      CopyTile<kTile.columns, kTile.depth, kThreads>(shared + to, b, args.b_col, p.column, args.n,
                                                     k, args.k);
    else
      CopyTile<kTile.depth, kTile.columns, kThreads>(shared + to, b, args.b_row, k, args.k,
                                                     p.column, args.n);
  };

  const int tiles = p.last - p.first;
  const bool early_b = args.b_is_constant;
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

  const int warp = static_cast<int>(threadIdx.x) / 32;
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
    MultiplyStage<kTile, kTransB && kAligned, T>(shared + slot * kStageBytes, warp_row, warp_column,
                                                 w);
    slot = slot + 1 == kTile.stages ? 0 : slot + 1;
    next_slot = next_slot + 1 == kTile.stages ? 0 : next_slot + 1;
  }

  cuda::CopyWait<0>();
  __syncthreads();  // everybody is done with the stages, whose memory the sums take
  float* sums = reinterpret_cast<float*>(shared_memory);
  StoreSums(sums, warp_row, warp_column, w);
  if constexpr (kTile.split > 1)
    cuda::ClusterBarrier();
  else
    __syncthreads();
  const int64_t matrix = static_cast<int64_t>(p.batch) * args.m * args.n;
  const T* residual = args.epilogue.residual == nullptr ? nullptr : args.epilogue.residual + matrix;
  FinishTile<kTile>(
      TileResult<T>{args.epilogue, residual, args.y + matrix, args.m, args.n, args.vector_epilogue},
      p, sums);
  // A block's shared memory stays until every other one has read it.
  if constexpr (kTile.split > 1) cuda::ClusterBarrier();
}

}  // namespace fusee::ops
