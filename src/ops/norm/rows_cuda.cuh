// Rows in registers: what the kernels that normalise a contiguous row share.
//
// A row of n <= kThreads * kElements elements belongs to a team of kThreads threads, a warp or a
// block of 128. Each thread reads its elements once, kVec at a time, and keeps them as float until
// the result is written, so that a row crosses memory once in each direction whatever its
// statistics need. Longer rows take a kernel that reads them again.
#pragma once

#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/packed.cuh"
#include "cuda/reduce.cuh"

namespace fusee::ops::norm {

inline constexpr int kRowBlock = 128;      // threads of a block of a row kernel
inline constexpr int kLongRowBlock = 512;  // of one for rows that registers do not hold

template <typename TypeT, int kVecN, int kThreadsN, int kElementsN>
struct RowTile {
  using T = TypeT;
  static constexpr int kVec = kVecN, kThreads = kThreadsN, kElements = kElementsN;
  static constexpr int kPacks = kElements / kVec;
  static constexpr int kRowsPerBlock = kRowBlock / kThreads;

  // Of this block: the row that the calling thread works on. A step advances it by gridDim.x
  // blocks.
  static __device__ __forceinline__ int64_t FirstRow() {
    return static_cast<int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.x / kThreads;
  }
  static __device__ __forceinline__ int64_t RowStep() {
    return static_cast<int64_t>(gridDim.x) * kRowsPerBlock;
  }
  // Position in the row of pack p of the calling thread. n is a multiple of kVec, so a pack lies in
  // the row whole or not at all.
  static __device__ __forceinline__ int At(int p) {
    return (p * kThreads + static_cast<int>(threadIdx.x) % kThreads) * kVec;
  }

  // Elements beyond the row are `fill`.
  static __device__ __forceinline__ void Load(const T* row, int n, float fill,
                                              float (&value)[kElements]) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (At(p) < n) {
        const auto in = *reinterpret_cast<const cuda::Packed<T, kVec>*>(row + At(p));
#pragma unroll
        for (int i = 0; i < kVec; ++i) value[p * kVec + i] = cuda::ToFloat(in.value[i]);
      } else {
#pragma unroll
        for (int i = 0; i < kVec; ++i) value[p * kVec + i] = fill;
      }
    }
  }

  // Calls fn(k) for every k with value[k] inside the row.
  template <typename Fn>
  static __device__ __forceinline__ void ForEach(int n, Fn&& fn) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (At(p) < n) {
#pragma unroll
        for (int i = 0; i < kVec; ++i) fn(p * kVec + i);
      }
    }
  }

  // row[...] = fn(k) for every element of the row.
  template <typename Fn>
  static __device__ __forceinline__ void Store(T* row, int n, Fn&& fn) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (At(p) < n) {
        cuda::Packed<T, kVec> out;
#pragma unroll
        for (int i = 0; i < kVec; ++i) out.value[i] = cuda::FromFloat<T>(fn(p * kVec + i));
        *reinterpret_cast<cuda::Packed<T, kVec>*>(row + At(p)) = out;
      }
    }
  }

  // Fold over the team.
  template <typename Merge>
  static __device__ __forceinline__ float Reduce(float v, float* slots, Merge&& merge) {
    return cuda::TeamReduce<kThreads>(v, slots, merge);
  }
};

// The longest row that a tile takes.
inline constexpr int64_t kTileRow = 4096;

// Calls fn.operator()<Tile>() with the tile for rows of n elements, n in [1, kTileRow]. The choice
// follows from n and the alignment alone, never from the number of rows: a row's result is the
// same in any batch.
template <typename T, typename Fn>
Status VisitTile(int64_t n, bool aligned, Fn&& fn) {
  constexpr int kPack = cuda::Pack<T>::kCount;
  if (aligned && n % kPack == 0) {
    if (n <= 32 * 8) return fn.template operator()<RowTile<T, kPack, 32, 8>>();
    if (n <= 128 * 8) return fn.template operator()<RowTile<T, kPack, 128, 8>>();
    return fn.template operator()<RowTile<T, kPack, 128, 32>>();
  }
  if (n <= 32 * 8) return fn.template operator()<RowTile<T, 1, 32, 8>>();
  if (n <= 128 * 8) return fn.template operator()<RowTile<T, 1, 128, 8>>();
  return fn.template operator()<RowTile<T, 1, 128, 32>>();
}

// kernel<<<...>>>(args...) over rows that a tile of type Tile takes.
template <typename Tile, typename... Params, typename... Args>
Status LaunchRows(void (*kernel)(Params...), int64_t rows, void* queue, Args... args) {
  return cuda::Launch(kernel, dim3(cuda::BlocksFor(rows, Tile::kRowsPerBlock)), dim3(kRowBlock), 0,
                      queue, args...);
}

}  // namespace fusee::ops::norm
