// Folding axes of a tensor on a CUDA device: the kernels of the reductions and of global pooling.
//
// Axes are merged into two walks, one over the results and one over the elements of a result.
//   rows     the innermost axis is reduced: a warp a result, a block from kWarpElements elements on
//   columns  the innermost axis is kept: a thread a pack of neighbouring results, and where many
//            elements are reduced up to 32 threads, whose parts are merged in order
// Who folds which element, and in which order parts are merged, follows from the shape of a result
// alone, so a result has the same bits in any batch.
//
// Floor: bytes read over the bandwidth, when there are results enough to fill the device; one
// result is one block's work.
#pragma once

#include <array>
#include <limits>
#include <type_traits>

#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/packed.cuh"
#include "cuda/reduce.cuh"
#include "tensor/shape.h"

namespace fusee::ops::fold {

inline constexpr int kBlock = 256;
inline constexpr int64_t kWarpElements = 1024;
// Rows shorter than this leave most of a warp idle: a thread a result.
inline constexpr int64_t kThreadElements = 16;

// Sizes and strides of some axes, outermost first; axes of size 1 are left out, neighbours merged.
struct Walk {
  int axes = 0;
  int64_t count = 1;
  std::array<int64_t, kMaxRank> size{}, stride{};

  void Add(int64_t axis_size, int64_t axis_stride) {
    count *= axis_size;
    if (axis_size == 1) return;
    const auto last = static_cast<size_t>(axes) - 1;
    if (axes > 0 && stride[last] == axis_size * axis_stride) {
      size[last] *= axis_size;
      stride[last] = axis_stride;
      return;
    }
    size[last + 1] = axis_size;
    stride[last + 1] = axis_stride;
    ++axes;
  }
  // Of element i < count.
  __device__ __forceinline__ int64_t Offset(int64_t i) const {
    if (axes == 1) return i * stride[0];
    int64_t offset = 0;
    for (int a = axes - 1; a > 0; --a) {
      const int64_t rest = i / size[a];
      offset += (i - rest * size[a]) * stride[a];
      i = rest;
    }
    return axes > 0 ? offset + i * stride[0] : 0;
  }
  bool StridesDivideBy(int64_t n) const {
    for (int a = 0; a < axes; ++a) {
      if (stride[static_cast<size_t>(a)] % n != 0) return false;
    }
    return true;
  }
};

struct FoldShape {
  Walk kept, reduced;

  bool InnermostReduced() const {
    if (reduced.axes == 0) return false;
    return kept.axes == 0 || reduced.stride[static_cast<size_t>(reduced.axes) - 1] <
                                 kept.stride[static_cast<size_t>(kept.axes) - 1];
  }
};

// Elements as they are folded: floats as float, integers in 64 bits.
template <typename T>
inline constexpr bool kIsInteger = std::is_integral_v<T>;
template <typename T>
using Value = std::conditional_t<kIsInteger<T>, int64_t, float>;
template <typename T>
__device__ __forceinline__ Value<T> Widen(T x) {
  if constexpr (kIsInteger<T>)
    return static_cast<int64_t>(x);
  else
    return cuda::ToFloat(x);
}
template <typename T>
__device__ __forceinline__ T Narrow(Value<T> x) {
  if constexpr (kIsInteger<T>)
    return static_cast<T>(x);
  else
    return cuda::FromFloat<T>(x);
}

// A fold of elements of type T is a struct with
//   Acc                what a thread keeps; has a ShuffleXor
//   Start()            of no element
//   Step(acc, x)       one more element, a Value<T>
//   Merge(a, b)        of two threads; commutative
//   Finish(acc, n)     the result, a T
template <typename T>
struct SumFold {
  using Acc = Value<T>;
  static __device__ __forceinline__ Acc Start() { return 0; }
  static __device__ __forceinline__ Acc Step(Acc acc, Acc x) { return Merge(acc, x); }
  static __device__ __forceinline__ Acc Merge(Acc a, Acc b) {
    // Unsigned arithmetic wraps where signed overflow would be undefined.
    if constexpr (kIsInteger<T>)
      return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
    else
      return a + b;
  }
  static __device__ __forceinline__ T Finish(Acc acc, int64_t) { return Narrow<T>(acc); }
};

template <typename T>
struct MeanFold : SumFold<T> {
  static __device__ __forceinline__ T Finish(Value<T> acc, int64_t n) {
    if constexpr (kIsInteger<T>) {
      // The mean of nothing is no number: the lowest value, as the reference stores it.
      if (n == 0) return std::numeric_limits<T>::lowest();
      return static_cast<T>(
          static_cast<int64_t>(static_cast<double>(acc) / static_cast<double>(n)));
    } else {
      return Narrow<T>(acc / static_cast<float>(n));
    }
  }
};

// NaN wins: no comparison with it holds.
template <typename T>
struct MaxFold {
  using Acc = Value<T>;
  static __device__ __forceinline__ Acc Start() {
    if constexpr (kIsInteger<T>)
      return static_cast<int64_t>(std::numeric_limits<T>::lowest());
    else
      return -std::numeric_limits<float>::infinity();
  }
  static __device__ __forceinline__ Acc Step(Acc acc, Acc x) {
    return (acc >= x || acc != acc) ? acc : x;
  }
  static __device__ __forceinline__ Acc Merge(Acc a, Acc b) { return Step(a, b); }
  static __device__ __forceinline__ T Finish(Acc acc, int64_t) { return Narrow<T>(acc); }
};
template <typename T>
struct MinFold {
  using Acc = Value<T>;
  static __device__ __forceinline__ Acc Start() {
    if constexpr (kIsInteger<T>)
      return static_cast<int64_t>(std::numeric_limits<T>::max());
    else
      return std::numeric_limits<float>::infinity();
  }
  static __device__ __forceinline__ Acc Step(Acc acc, Acc x) {
    return (acc <= x || acc != acc) ? acc : x;
  }
  static __device__ __forceinline__ Acc Merge(Acc a, Acc b) { return Step(a, b); }
  static __device__ __forceinline__ T Finish(Acc acc, int64_t) { return Narrow<T>(acc); }
};

// A team of kBlock threads or of one warp a result; the innermost axis is reduced. kVec neighbours
// of it lie together. One block a multiprocessor at least: ptxas would otherwise spill for
// occupancy.
template <typename Fold, typename T, int kVec>
__global__ void __launch_bounds__(kBlock, 1)
    RowFoldKernel(const T* x, T* y, const __grid_constant__ FoldShape s, bool whole_block) {
  using Acc = typename Fold::Acc;
  using Packed = cuda::Packed<T, kVec>;
  __shared__ Acc slots[kBlock / cuda::kWarp];
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int team = whole_block ? kBlock : cuda::kWarp;
  const int lane = static_cast<int>(threadIdx.x) % team;
  const int64_t step = static_cast<int64_t>(gridDim.x) * (kBlock / team);
  const auto merge = [](Acc a, Acc b) { return Fold::Merge(a, b); };
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * (kBlock / team) + threadIdx.x / team;
       k < s.kept.count; k += step) {
    const T* from = x + s.kept.Offset(k);
    Acc acc = Fold::Start();
#pragma unroll 4
    for (int64_t i = lane * kVec; i < s.reduced.count; i += team * kVec) {
      const Packed pack = *reinterpret_cast<const Packed*>(from + s.reduced.Offset(i));
#pragma unroll
      for (int v = 0; v < kVec; ++v) acc = Fold::Step(acc, Widen(pack.value[v]));
    }
    acc = whole_block ? cuda::TeamReduce<kBlock>(acc, slots, merge) : cuda::WarpReduce(acc, merge);
    if (lane == 0) y[k] = Fold::Finish(acc, s.reduced.count);
  }
}

// kBlock / rows columns of kVec neighbouring results a block, `rows` threads a column.
template <typename Fold, typename T, int kVec>
__global__ void __launch_bounds__(kBlock)
    ColumnFoldKernel(const T* x, T* y, const __grid_constant__ FoldShape s, int rows) {
  using Acc = typename Fold::Acc;
  using Packed = cuda::Packed<T, kVec>;
  __shared__ Acc parts[kBlock * kVec];
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int columns = kBlock / rows;
  const int column = static_cast<int>(threadIdx.x) % columns;
  const int row = static_cast<int>(threadIdx.x) / columns;
  const int width = columns * kVec;
  const int64_t step = static_cast<int64_t>(gridDim.x) * width;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * width; first < s.kept.count;
       first += step) {
    const int64_t k = first + column * kVec;
    Acc acc[kVec];
#pragma unroll
    for (Acc& a : acc) a = Fold::Start();
    if (k < s.kept.count) {
      const T* from = x + s.kept.Offset(k);
#pragma unroll 4
      for (int64_t i = row; i < s.reduced.count; i += rows) {
        const Packed pack = *reinterpret_cast<const Packed*>(from + s.reduced.Offset(i));
#pragma unroll
        for (int v = 0; v < kVec; ++v) acc[v] = Fold::Step(acc[v], Widen(pack.value[v]));
      }
    }
#pragma unroll
    for (int v = 0; v < kVec; ++v) parts[row * width + column * kVec + v] = acc[v];
    __syncthreads();
    for (int o = static_cast<int>(threadIdx.x); o < width && first + o < s.kept.count;
         o += kBlock) {
      Acc total = parts[o];
      for (int r = 1; r < rows; ++r) total = Fold::Merge(total, parts[r * width + o]);
      y[first + o] = Fold::Finish(total, s.reduced.count);
    }
    __syncthreads();  // parts are written again in the next step
  }
}

// Threads a column: a power of two that leaves each at least two elements, and `columns_min`
// columns to a block.
inline int RowsOf(int64_t reduced, int columns_min) {
  int rows = 1;
  while (rows * 2 <= reduced / 2 && kBlock / (rows * 2) >= columns_min) rows *= 2;
  return rows;
}

// y[k] = fold over the reduced walk, for every k of the kept walk. y is dense.
template <typename Fold, typename T>
Status LaunchFold(const T* x, T* y, const FoldShape& s, void* queue) {
  constexpr int kPack = kIsInteger<T> ? 1 : cuda::Pack<T>::kCount;
  const Walk &kept = s.kept, &reduced = s.reduced;
  if (kept.count == 0) return OkStatus();
  const bool aligned = kPack > 1 && cuda::IsPackAligned(x);
  // Of the walk over which neighbours lie together: may they be read kPack at a time?
  const auto packs = [&](const Walk& inner, const Walk& other) {
    const auto last = static_cast<size_t>(inner.axes) - 1;
    if (!aligned || inner.axes == 0 || inner.stride[last] != 1 || inner.size[last] % kPack != 0)
      return false;
    Walk above = inner;
    --above.axes;
    return above.StridesDivideBy(kPack) && other.StridesDivideBy(kPack);
  };
  if (s.InnermostReduced() && reduced.count >= kThreadElements) {
    const bool whole_block = reduced.count > kWarpElements;
    const dim3 grid(cuda::BlocksFor(kept.count, whole_block ? 1 : kBlock / cuda::kWarp));
    if (packs(reduced, kept)) {
      return cuda::Launch(&RowFoldKernel<Fold, T, kPack>, grid, dim3(kBlock), 0, queue, x, y, s,
                          whole_block);
    }
    return cuda::Launch(&RowFoldKernel<Fold, T, 1>, grid, dim3(kBlock), 0, queue, x, y, s,
                        whole_block);
  }
  if (!s.InnermostReduced() && packs(kept, reduced)) {
    const int rows = RowsOf(reduced.count, 8);
    return cuda::Launch(&ColumnFoldKernel<Fold, T, kPack>,
                        dim3(cuda::BlocksFor(kept.count, kBlock / rows * kPack)), dim3(kBlock), 0,
                        queue, x, y, s, rows);
  }
  const int rows = RowsOf(reduced.count, 32);
  return cuda::Launch(&ColumnFoldKernel<Fold, T, 1>,
                      dim3(cuda::BlocksFor(kept.count, kBlock / rows)), dim3(kBlock), 0, queue, x,
                      y, s, rows);
}

}  // namespace fusee::ops::fold
