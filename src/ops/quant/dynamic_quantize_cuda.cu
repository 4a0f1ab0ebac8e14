// DynamicQuantizeLinear in two kernels: the range of pieces of x into the workspace; then every
// block folds those and quantises its part. Minimum and maximum are exact, so the number of pieces
// changes no bit; the rest is the reference's arithmetic in float.
//
// Floor: x read twice and the result written, over the bandwidth; two launches, 3 us.
#include "cuda/launch.cuh"
#include "cuda/packed.cuh"
#include "cuda/reduce.cuh"
#include "ops/quant/dynamic_quantize.h"

namespace fusee::ops {
namespace {

constexpr int kThreads = 256;
constexpr int kPer = 4;  // elements a thread and step
// Pieces of x, at most; a block of the second kernel reads one range a thread.
constexpr int kPieces = kThreads;

struct Params {};

// Of nothing: [0, 0], which is part of every range.
struct Range {
  float low, high;
};
__device__ __forceinline__ Range ShuffleXor(Range r, int mask) {
  return {cuda::ShuffleXor(r.low, mask), cuda::ShuffleXor(r.high, mask)};
}
// NaN is ignored, as by the reference's comparisons.
struct Join {
  __device__ __forceinline__ Range operator()(Range a, Range b) const {
    return {fminf(a.low, b.low), fmaxf(a.high, b.high)};
  }
};

__global__ void __launch_bounds__(kThreads) RangeKernel(const float* x, int64_t n, Range* ranges) {
  __shared__ Range slots[kThreads / cuda::kWarp];
  cuda::WaitForPrior();
  cuda::AllowNext();
  Range range{0, 0};
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
#pragma unroll 4
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step)
    range = Join()(range, Range{x[i], x[i]});
  range = cuda::TeamReduce<kThreads>(range, slots, Join());
  if (threadIdx.x == 0) ranges[blockIdx.x] = range;
}

// NaN fails both comparisons and gives 0.
__device__ __forceinline__ uint8_t Saturate(float v) {
  return v >= 255 ? 255 : (v > 0 ? static_cast<uint8_t>(v) : 0);
}
// A range of nothing but 0 has scale 0; its quotients are taken as 0.
__device__ __forceinline__ float Quotient(float v, float scale) {
  return scale == 0 ? 0.0f : rintf(v / scale);
}

__global__ void __launch_bounds__(kThreads)
    QuantizeKernel(const float* x, int64_t n, const Range* ranges, int pieces, uint8_t* y,
                   float* scale_out, uint8_t* zero_out, bool aligned) {
  __shared__ Range slots[kThreads / cuda::kWarp];
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int thread = static_cast<int>(threadIdx.x);
  Range range = thread < pieces ? ranges[thread] : Range{0, 0};
  range = cuda::TeamReduce<kThreads>(range, slots, Join());
  const float scale = (range.high - range.low) / 255.0f;
  const uint8_t zero = Saturate(Quotient(-range.low, scale));
  if (blockIdx.x == 0 && thread == 0) {
    if (scale_out != nullptr) *scale_out = scale;
    if (zero_out != nullptr) *zero_out = zero;
  }
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads * kPer;
  for (int64_t begin = (static_cast<int64_t>(blockIdx.x) * kThreads + thread) * kPer; begin < n;
       begin += step) {
    if (aligned && begin + kPer <= n) {
      const auto in = *reinterpret_cast<const cuda::Packed<float, kPer>*>(x + begin);
      cuda::Packed<uint8_t, kPer> out;
#pragma unroll
      for (int i = 0; i < kPer; ++i)
        out.value[i] = Saturate(Quotient(in.value[i], scale) + static_cast<float>(zero));
      *reinterpret_cast<cuda::Packed<uint8_t, kPer>*>(y + begin) = out;
    } else {
      const int64_t end = begin + kPer < n ? begin + kPer : n;
      for (int64_t i = begin; i < end; ++i)
        y[i] = Saturate(Quotient(x[i], scale) + static_cast<float>(zero));
    }
  }
}

Status Check(const Params&, const RunArgs& args) { return CheckDynamicQuantize(args); }

Status Run(const Params&, const RunArgs& args) {
  const float* x = static_cast<const float*>(args.inputs[0].data);
  auto* y = static_cast<uint8_t*>(args.outputs[0].data);
  const int64_t n = args.inputs[0].elements();
  auto* ranges = reinterpret_cast<Range*>(args.workspace.data());
  // One block also for an empty x: its scale and zero point are results too.
  const unsigned wanted = n == 0 ? 1 : cuda::BlocksFor(n, kThreads * kPer);
  const unsigned pieces = wanted < kPieces ? wanted : kPieces;
  FUSEE_TRY(cuda::Launch(&RangeKernel, dim3(pieces), dim3(kThreads), 0, args.queue, x, n, ranges));
  return cuda::Launch(&QuantizeKernel, dim3(wanted), dim3(kThreads), 0, args.queue, x, n,
                      static_cast<const Range*>(ranges), static_cast<int>(pieces), y,
                      static_cast<float*>(args.outputs[1].data),
                      static_cast<uint8_t*>(args.outputs[2].data),
                      cuda::IsAligned<float, kPer>(x) && cuda::IsAligned<uint8_t, kPer>(y));
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckDynamicQuantizeStep(spec));
  return MakeKernel(Params{}, Check, Run, kPieces * sizeof(Range));
}

}  // namespace

extern const KernelDef dynamic_quantize_linear_cuda = {.id = "dynamic_quantize_linear_cuda.1",
                                                       .op = "DynamicQuantizeLinear",
                                                       .device = DeviceKind::kCuda,
                                                       .bind = Bind};

}  // namespace fusee::ops
