// CumSum and CumProd. Lines that are contiguous: one warp a line, 32 elements a step, in a fixed
// tree; others: one thread a line, neighbours on neighbouring lines. Floats accumulate in double
// and round at every store; integers wrap.
#include "ops/movement/fill_steps.h"
#include "ops/movement/index_cuda.cuh"
#include "ops/pointwise/device_types_cuda.cuh"

namespace fusee::ops {
namespace {

using pointwise::kIsFloatType;
using pointwise::kNumbers;
using pointwise::RoundFromDouble;
using pointwise::VisitDeviceType;
using pointwise::Widen;

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

template <typename T>
using Total = std::conditional_t<kIsFloatType<T>, double, unsigned long long>;

template <bool product, typename W>
__device__ __forceinline__ W Joined(W a, W b) {
  return product ? a * b : a + b;
}

template <typename T>
__device__ __forceinline__ T Stored(Total<T> x) {
  if constexpr (kIsFloatType<T>)
    return RoundFromDouble<T>(x);
  else
    return static_cast<T>(x);
}

template <bool product, typename T>
__global__ void __launch_bounds__(cuda::kElementThreads)
    CumulateRowsKernel(const T* from, T* to, int64_t lines, int64_t n, bool exclusive,
                       bool reverse) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  constexpr Total<T> kNeutral = product ? 1 : 0;
  const int lane = threadIdx.x % kWarp;
  const int64_t line =
      blockIdx.x * static_cast<int64_t>(cuda::kElementThreads / kWarp) + threadIdx.x / kWarp;
  if (line >= lines) return;  // whole warps
  Total<T> carry = kNeutral;
  for (int64_t begin = 0; begin < n; begin += kWarp) {
    const int64_t i = begin + lane;
    const int64_t at = line * n + (reverse ? n - 1 - i : i);
    Total<T> sum = i < n ? static_cast<Total<T>>(Widen(from[at])) : kNeutral;
#pragma unroll
    for (int step = 1; step < kWarp; step *= 2) {
      const Total<T> before = __shfl_up_sync(kAllLanes, sum, step);
      if (lane >= step) sum = Joined<product>(before, sum);
    }
    Total<T> before = __shfl_up_sync(kAllLanes, sum, 1);
    if (lane == 0) before = kNeutral;
    if (i < n) to[at] = Stored<T>(Joined<product>(carry, exclusive ? before : sum));
    carry = Joined<product>(carry, __shfl_sync(kAllLanes, sum, kWarp - 1));
  }
}

template <bool product, typename T>
__global__ void __launch_bounds__(cuda::kElementThreads)
    CumulateColumnsKernel(const T* from, T* to, int64_t lines, int64_t n, int64_t inner,
                          bool exclusive, bool reverse) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int64_t line = blockIdx.x * static_cast<int64_t>(cuda::kElementThreads) + threadIdx.x;
  if (line >= lines) return;
  const int64_t first = line / inner * n * inner + line % inner;
  Total<T> total = product ? 1 : 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t at = first + (reverse ? n - 1 - i : i) * inner;
    const Total<T> next = Joined<product>(total, static_cast<Total<T>>(Widen(from[at])));
    to[at] = Stored<T>(exclusive ? total : next);
    total = next;
  }
}

template <bool product>
Status Run(const CumulateParams& params, const RunArgs& args) {
  const Shape& shape = args.inputs[0].shape;
  const int64_t n = shape[params.axis];
  if (shape.elements() == 0) return OkStatus();
  const int64_t inner = shape.elements(params.axis + 1, params.rank);
  const int64_t lines = shape.elements(0, params.axis) * inner;
  return VisitDeviceType<kNumbers>(args.inputs[0].dtype, [&]<typename T>() -> Status {
    const auto* from = static_cast<const T*>(args.inputs[0].data);
    auto* to = static_cast<T*>(args.outputs[0].data);
    const dim3 threads(cuda::kElementThreads);
    if (inner == 1) {
      return cuda::Launch(&CumulateRowsKernel<product, T>, cuda::BlocksFor(lines * kWarp), threads,
                          0, args.queue, from, to, lines, n, params.exclusive, params.reverse);
    }
    return cuda::Launch(&CumulateColumnsKernel<product, T>, cuda::BlocksFor(lines), threads, 0,
                        args.queue, from, to, lines, n, inner, params.exclusive, params.reverse);
  });
}

template <bool product>
Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const CumulateParams params, ReadCumulate(spec));
  return MakeKernel(params, CheckCumulate, Run<product>);
}

}  // namespace

extern const KernelDef cumsum_cuda = {
    .id = "cumsum_cuda.1", .op = "CumSum", .device = DeviceKind::kCuda, .bind = Bind<false>};
extern const KernelDef cumprod_cuda = {
    .id = "cumprod_cuda.1", .op = "CumProd", .device = DeviceKind::kCuda, .bind = Bind<true>};

}  // namespace fusee::ops
