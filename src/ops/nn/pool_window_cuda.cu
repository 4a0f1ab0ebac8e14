// MaxPool (with indices), AveragePool, LpPool and the global pools on f32, f16 and bf16, MaxPool
// also on i8 and u8, in both layouts.
//
// Windows: with layout NHWC a thread takes the neighbouring channels of 16 bytes at one position;
// with NCHW one result, which is the same kernel on images of one channel. Only taps inside the
// input are visited, in row-major order, so that no window costs more than the input has elements.
// Global pools are folds over the plane: fold_cuda.cuh.
//
// Floor: x read once (overlapping windows hit L1 and L2) and y written, over the bandwidth. MaxPool
// of ResNet-50 (112 x 112 x 64 halves, batch 1) moves 2 MB: the launch, 2 us, is above it.
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/packed.cuh"
#include "cuda/reduce.cuh"
#include "ops/nn/pool_cuda.h"
#include "ops/nn/taps.h"
#include "ops/reduce/fold_cuda.cuh"

namespace fusee::ops {
namespace {

constexpr int kThreads = 128;
constexpr int kSmallTaps = 3;  // of a small window, along each of its two axes

// The part of a window that lies inside the input.
struct InsideWindow {
  int64_t start[3], count[3];  // first position, number of taps
  int64_t divisor = 1;         // of an average

  __device__ __forceinline__ InsideWindow(const PoolArgs& a, const int64_t (&at)[3]) {
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      const int64_t begin = at[i] * a.stride[i] - a.pad_begin[i];
      const Taps taps = TapsBetween(begin, a.kernel[i], a.dilation[i], 0, a.in[i]);
      start[i] = begin + taps.first * a.dilation[i];
      count[i] = taps.count();
      divisor *= a.include_pad ? TapsBetween(begin, a.kernel[i], a.dilation[i], -a.pad_begin[i],
                                             a.in[i] + a.pad_end[i])
                                     .count()
                               : taps.count();
    }
  }
  // Of a window of one or two axes: is tap (h, k) inside?
  __device__ __forceinline__ bool Holds(int h, int k) const {
    return count[0] > 0 && h < count[1] && k < count[2];
  }
};

template <PoolOp op, typename T>
__device__ __forceinline__ fold::Value<T> StartOf() {
  if constexpr (op == PoolOp::kMax) return fold::MaxFold<T>::Start();
  return 0;
}

template <PoolOp op, typename T>
__device__ __forceinline__ fold::Value<T> Step(fold::Value<T> acc, T raw, int64_t lp) {
  const fold::Value<T> x = fold::Widen(raw);
  if constexpr (op == PoolOp::kMax)
    return fold::MaxFold<T>::Step(acc, x);
  else if constexpr (op == PoolOp::kAverage)
    return acc + x;
  else
    return acc + (lp == 1 ? fabsf(x) : lp == 2 ? x * x : powf(fabsf(x), static_cast<float>(lp)));
}

template <PoolOp op, typename T>
__device__ __forceinline__ T Finish(fold::Value<T> acc, int64_t divisor, int64_t lp) {
  if constexpr (op == PoolOp::kMax)
    return fold::Narrow<T>(acc);
  else if constexpr (op == PoolOp::kAverage)
    return fold::Narrow<T>(divisor == 0 ? 0.0f : acc / static_cast<float>(divisor));
  else
    return fold::Narrow<T>(lp == 1   ? acc
                           : lp == 2 ? sqrtf(acc)
                                     : powf(acc, 1.0f / static_cast<float>(lp)));
}

// Where result `unit` lies: units run over images, positions and packs of channels.
struct Place {
  int64_t image, channel, at[3];
};
__device__ __forceinline__ Place PlaceOf(const PoolArgs& a, int64_t unit, int64_t packs, int vec) {
  Place p;
  p.channel = unit % packs * vec;
  unit /= packs;
#pragma unroll
  for (int i = 2; i >= 0; --i) {
    // Windows of one or two axes have leading axes of size 1.
    p.at[i] = a.out[i] == 1 ? 0 : unit % a.out[i];
    unit = a.out[i] == 1 ? unit : unit / a.out[i];
  }
  p.image = unit;
  return p;
}

// kSmall: windows of up to 3 x 3 on one or two axes, whose taps are all on their way before the
// first is used; else one after the other. The same order of steps, so the same bits.
template <PoolOp op, typename T, int kVec, bool kSmall>
__device__ __forceinline__ void FoldWindow(const InsideWindow& w, const T* from,
                                           const int64_t (&steps)[3], int64_t lp,
                                           fold::Value<T> (&acc)[kVec]) {
  using Packed = cuda::Packed<T, kVec>;
  if constexpr (kSmall) {
    Packed taps[kSmallTaps * kSmallTaps];
#pragma unroll
    for (int t = 0; t < kSmallTaps * kSmallTaps; ++t) {
      const int h = t / kSmallTaps, k = t % kSmallTaps;
      if (w.Holds(h, k))
        taps[t] = *reinterpret_cast<const Packed*>(from + h * steps[1] + k * steps[2]);
    }
#pragma unroll
    for (int t = 0; t < kSmallTaps * kSmallTaps; ++t) {
      if (!w.Holds(t / kSmallTaps, t % kSmallTaps)) continue;
#pragma unroll
      for (int i = 0; i < kVec; ++i) acc[i] = Step<op, T>(acc[i], taps[t].value[i], lp);
    }
  } else {
    for (int64_t d = 0; d < w.count[0]; ++d) {
      for (int64_t h = 0; h < w.count[1]; ++h) {
        const T* tap = from + d * steps[0] + h * steps[1];
#pragma unroll 4
        for (int64_t k = 0; k < w.count[2]; ++k, tap += steps[2]) {
          const Packed pack = *reinterpret_cast<const Packed*>(tap);
#pragma unroll
          for (int i = 0; i < kVec; ++i) acc[i] = Step<op, T>(acc[i], pack.value[i], lp);
        }
      }
    }
  }
}

// One block a multiprocessor at least: ptxas would otherwise spill for occupancy.
template <PoolOp op, typename T, int kVec, bool kSmall>
__global__ void __launch_bounds__(kThreads, 1)
    WindowKernel(const T* x, T* y, const __grid_constant__ PoolArgs a) {
  using Packed = cuda::Packed<T, kVec>;
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int64_t packs = a.channels / kVec;
  const int64_t units = a.images * a.out[0] * a.out[1] * a.out[2] * packs;
  const int64_t steps[3] = {a.dilation[0] * a.in[1] * a.in[2] * a.channels,
                            a.dilation[1] * a.in[2] * a.channels, a.dilation[2] * a.channels};
  for (int64_t unit = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; unit < units;
       unit += static_cast<int64_t>(gridDim.x) * kThreads) {
    const Place p = PlaceOf(a, unit, packs, kVec);
    const InsideWindow w(a, p.at);
    const T* from =
        x + p.channel +
        (((p.image * a.in[0] + w.start[0]) * a.in[1] + w.start[1]) * a.in[2] + w.start[2]) *
            a.channels;
    fold::Value<T> acc[kVec];
#pragma unroll
    for (auto& v : acc) v = StartOf<op, T>();
    FoldWindow<op, T, kVec, kSmall>(w, from, steps, a.lp, acc);
    Packed result;
#pragma unroll
    for (int i = 0; i < kVec; ++i) result.value[i] = Finish<op, T>(acc[i], w.divisor, a.lp);
    *reinterpret_cast<Packed*>(y + unit * kVec) = result;
  }
}

// Maxima and where they lie, one result a thread, layout NCHW. The first of equals wins; the first
// NaN wins over numbers.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    IndexKernel(const T* x, T* y, const __grid_constant__ PoolArgs a) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int64_t units = a.images * a.out[0] * a.out[1] * a.out[2];
  for (int64_t unit = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; unit < units;
       unit += static_cast<int64_t>(gridDim.x) * kThreads) {
    const Place p = PlaceOf(a, unit, 1, 1);
    const InsideWindow w(a, p.at);
    const int64_t plane = p.image * a.in[0] * a.in[1] * a.in[2];
    auto best = fold::MaxFold<T>::Start();
    int64_t where = -1;
    for (int64_t d = 0; d < w.count[0]; ++d) {
      for (int64_t h = 0; h < w.count[1]; ++h) {
        for (int64_t k = 0; k < w.count[2]; ++k) {
          const int64_t depth = w.start[0] + d * a.dilation[0];
          const int64_t row = w.start[1] + h * a.dilation[1];
          const int64_t column = w.start[2] + k * a.dilation[2];
          const auto v = fold::Widen(x[plane + (depth * a.in[1] + row) * a.in[2] + column]);
          if (where >= 0 && !(v > best) && !(v != v && best == best)) continue;
          best = v;
          // Column-major: the tensor's first spatial axis runs fastest; axes it lacks have size 1.
          where = a.column_major ? depth + a.in[0] * (row + a.in[1] * column)
                                 : (depth * a.in[1] + row) * a.in[2] + column;
        }
      }
    }
    y[unit] = fold::Narrow<T>(best);
    a.indices[unit] = where < 0 ? -1 : plane + where;
  }
}

template <PoolOp op, typename T>
Status Launch(const PoolArgs& a, const void* from, void* to, void* queue) {
  const T* x = static_cast<const T*>(from);
  T* y = static_cast<T*>(to);
  constexpr int kPack = cuda::Pack<T>::kCount;
  const int64_t results = a.images * a.channels * a.out[0] * a.out[1] * a.out[2];
  if (results == 0) return OkStatus();
  const auto launch = [&](auto kernel, int vec) {
    return cuda::Launch(kernel, dim3(cuda::BlocksFor(results / vec, kThreads)), dim3(kThreads), 0,
                        queue, x, y, a);
  };
  if constexpr (op == PoolOp::kMax) {
    if (a.indices != nullptr) return launch(&IndexKernel<T>, 1);
  }
  const bool packed = a.channels % kPack == 0 && cuda::IsPackAligned(x) && cuda::IsPackAligned(y);
  if constexpr (op != PoolOp::kLp) {
    if (a.kernel[0] == 1 && a.kernel[1] <= kSmallTaps && a.kernel[2] <= kSmallTaps) {
      return packed ? launch(&WindowKernel<op, T, kPack, true>, kPack)
                    : launch(&WindowKernel<op, T, 1, true>, 1);
    }
  }
  return packed ? launch(&WindowKernel<op, T, kPack, false>, kPack)
                : launch(&WindowKernel<op, T, 1, false>, 1);
}

}  // namespace

Status LaunchWindowPool(PoolOp op, DType dtype, const PoolArgs& a, const void* x, void* y,
                        void* queue) {
  if (dtype == DType::kI8) return Launch<PoolOp::kMax, int8_t>(a, x, y, queue);
  if (dtype == DType::kU8) return Launch<PoolOp::kMax, uint8_t>(a, x, y, queue);
  return cuda::VisitComputeFloat(dtype, [&]<typename T>() -> Status {
    if (op == PoolOp::kMax) return Launch<PoolOp::kMax, T>(a, x, y, queue);
    if (op == PoolOp::kLp) return Launch<PoolOp::kLp, T>(a, x, y, queue);
    return Launch<PoolOp::kAverage, T>(a, x, y, queue);
  });
}

Status LaunchGlobalPool(PoolOp op, DType dtype, const GlobalPoolArgs& a, const void* x, void* y,
                        void* queue) {
  fold::FoldShape f;
  f.kept.Add(a.images, a.plane * a.channels);
  f.kept.Add(a.channels, 1);
  f.reduced.Add(a.plane, a.channels);
  return cuda::VisitComputeFloat(dtype, [&]<typename T>() -> Status {
    const T* from = static_cast<const T*>(x);
    T* to = static_cast<T*>(y);
    return op == PoolOp::kMax ? fold::LaunchFold<fold::MaxFold<T>>(from, to, f, queue)
                              : fold::LaunchFold<fold::MeanFold<T>>(from, to, f, queue);
  });
}

}  // namespace fusee::ops
