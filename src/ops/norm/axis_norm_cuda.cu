// Softmax, LogSoftmax and LpNormalization on f32, f16 and bf16, arithmetic in float.
//
// Rows (the axis is innermost) of up to 4,096 elements stay in registers and cross memory once each
// way; longer ones are read three times, from L2 where they fit. Other axes: one thread a group,
// neighbours side by side. The maximum is subtracted before exp. An L2 norm beyond float's range is
// infinite here, where the reference's double is not.
//
// Floor: bytes read and written over the bandwidth; below about 2 MB the launch, 2 us.
#include <limits>

#include "ops/norm/norm.h"
#include "ops/norm/rows_cuda.cuh"

namespace fusee::ops {
namespace {

using cuda::AddFloats;
using cuda::FromFloat;
using cuda::MaxFloats;
using cuda::ToFloat;
using norm::kLongRowBlock;

enum class AxisOp : uint8_t { kSoftmax, kLogSoftmax, kL1, kL2 };

constexpr int kColumnBlock = 256;
constexpr float kLowest = -std::numeric_limits<float>::infinity();

template <AxisOp op>
inline constexpr bool kExponential = op == AxisOp::kSoftmax || op == AxisOp::kLogSoftmax;

// What an element adds to its group's sum, given the group's maximum.
template <AxisOp op>
__device__ __forceinline__ float Term(float x, float max) {
  if constexpr (kExponential<op>)
    return expf(x - max);
  else
    return op == AxisOp::kL1 ? fabsf(x) : x * x;
}

// What the results of a group need besides its maximum: one number.
template <AxisOp op>
__device__ __forceinline__ float Factor(float sum) {
  if constexpr (op == AxisOp::kSoftmax) return 1.0f / sum;
  if constexpr (op == AxisOp::kLogSoftmax) return logf(sum);
  return op == AxisOp::kL1 ? sum : sqrtf(sum);
}

// A group of norm 0 stays 0.
template <AxisOp op>
__device__ __forceinline__ float Of(float x, float max, float factor) {
  if constexpr (op == AxisOp::kSoftmax)
    return expf(x - max) * factor;
  else if constexpr (op == AxisOp::kLogSoftmax)
    return (x - max) - factor;
  else
    return factor == 0 ? 0.0f : x / factor;
}

template <AxisOp op, typename Tile>
__global__ void __launch_bounds__(norm::kRowBlock)
    RowKernel(const typename Tile::T* x, typename Tile::T* y, int64_t rows, int n) {
  __shared__ float slots[norm::kRowBlock / cuda::kWarp];
  cuda::WaitForPrior();
  cuda::AllowNext();
  for (int64_t row = Tile::FirstRow(); row < rows; row += Tile::RowStep()) {
    float value[Tile::kElements];
    Tile::Load(x + row * n, n, kExponential<op> ? kLowest : 0.0f, value);
    float max = 0;
    if constexpr (kExponential<op>) {
      max = kLowest;
      Tile::ForEach(n, [&](int k) { max = fmaxf(max, value[k]); });
      max = Tile::Reduce(max, slots, MaxFloats());
    }
    float sum = 0;
    Tile::ForEach(n, [&](int k) {
      const float term = Term<op>(value[k], max);
      sum += term;
      if constexpr (op == AxisOp::kSoftmax) value[k] = term;  // exp once
    });
    const float factor = Factor<op>(Tile::Reduce(sum, slots, AddFloats()));
    Tile::Store(y + row * n, n, [&](int k) {
      if constexpr (op == AxisOp::kSoftmax)
        return value[k] * factor;
      else
        return Of<op>(value[k], max, factor);
    });
  }
}

template <AxisOp op, typename T>
__global__ void __launch_bounds__(kLongRowBlock)
    LongRowKernel(const T* x, T* y, int64_t rows, int64_t n) {
  __shared__ float slots[kLongRowBlock / cuda::kWarp];
  cuda::WaitForPrior();
  cuda::AllowNext();
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* in = x + row * n;
    T* out = y + row * n;
    float max = 0;
    if constexpr (kExponential<op>) {
      max = kLowest;
      for (int64_t j = threadIdx.x; j < n; j += kLongRowBlock) max = fmaxf(max, ToFloat(in[j]));
      max = cuda::TeamReduce<kLongRowBlock>(max, slots, MaxFloats());
    }
    float sum = 0;
    for (int64_t j = threadIdx.x; j < n; j += kLongRowBlock) sum += Term<op>(ToFloat(in[j]), max);
    const float factor = Factor<op>(cuda::TeamReduce<kLongRowBlock>(sum, slots, AddFloats()));
    for (int64_t j = threadIdx.x; j < n; j += kLongRowBlock)
      out[j] = FromFloat<T>(Of<op>(ToFloat(in[j]), max, factor));
  }
}

// One thread a group of n elements, `inner` apart.
template <AxisOp op, typename T>
__global__ void __launch_bounds__(kColumnBlock)
    ColumnKernel(const T* x, T* y, int64_t groups, int64_t n, int64_t inner) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const int64_t step = static_cast<int64_t>(gridDim.x) * kColumnBlock;
  for (int64_t g = static_cast<int64_t>(blockIdx.x) * kColumnBlock + threadIdx.x; g < groups;
       g += step) {
    const int64_t base = g / inner * n * inner + g % inner;
    float max = 0;
    if constexpr (kExponential<op>) {
      max = kLowest;
      for (int64_t j = 0; j < n; ++j) max = fmaxf(max, ToFloat(x[base + j * inner]));
    }
    float sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += Term<op>(ToFloat(x[base + j * inner]), max);
    const float factor = Factor<op>(sum);
    for (int64_t j = 0; j < n; ++j) {
      const int64_t at = base + j * inner;
      y[at] = FromFloat<T>(Of<op>(ToFloat(x[at]), max, factor));
    }
  }
}

template <AxisOp op, typename T>
Status LaunchNorm(const AxisShape& s, const RunArgs& args) {
  const T* x = static_cast<const T*>(args.inputs[0].data);
  T* y = static_cast<T*>(args.outputs[0].data);
  if (s.inner > 1) {
    const int64_t groups = s.outer * s.inner;
    return cuda::Launch(&ColumnKernel<op, T>, dim3(cuda::BlocksFor(groups, kColumnBlock)),
                        dim3(kColumnBlock), 0, args.queue, x, y, groups, s.count, s.inner);
  }
  if (s.count > norm::kTileRow) {
    return cuda::Launch(&LongRowKernel<op, T>, dim3(cuda::BlocksFor(s.outer, 1)),
                        dim3(kLongRowBlock), 0, args.queue, x, y, s.outer, s.count);
  }
  const bool aligned = cuda::IsPackAligned(x) && cuda::IsPackAligned(y);
  return norm::VisitTile<T>(s.count, aligned, [&]<typename Tile>() {
    return norm::LaunchRows<Tile>(&RowKernel<op, Tile>, s.outer, args.queue, x, y, s.outer,
                                  static_cast<int>(s.count));
  });
}

class AxisNormCuda final : public BoundKernel {
 public:
  explicit AxisNormCuda(AxisParams params) : params_(params) {}
  Status CheckShapes(const RunArgs& args) const override { return CheckAxisNorm(params_, args); }
  Status Run(const RunArgs& args) const override {
    const AxisShape s = AxisGeometry(params_, args.inputs[0].shape);
    if (s.outer == 0 || s.count == 0 || s.inner == 0) return OkStatus();
    return cuda::VisitComputeFloat(params_.dtype, [&]<typename T>() -> Status {
      if (params_.op == "Softmax") return LaunchNorm<AxisOp::kSoftmax, T>(s, args);
      if (params_.op == "LogSoftmax") return LaunchNorm<AxisOp::kLogSoftmax, T>(s, args);
      if (params_.p == 1) return LaunchNorm<AxisOp::kL1, T>(s, args);
      return LaunchNorm<AxisOp::kL2, T>(s, args);
    });
  }

 private:
  AxisParams params_;
};

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(AxisParams params, ParseAxisNorm(spec));
  if (!cuda::IsComputeFloat(params.dtype)) return RefuseTactic(spec, "takes f32, f16 and bf16");
  return std::unique_ptr<BoundKernel>(new AxisNormCuda(params));
}

}  // namespace

extern const KernelDef softmax_cuda = {.id = "softmax_cuda.1",
                                       .op = "Softmax",
                                       .device = DeviceKind::kCuda,
                                       .in_place_inputs = 1,
                                       .bind = Bind};
extern const KernelDef logsoftmax_cuda = {.id = "logsoftmax_cuda.1",
                                          .op = "LogSoftmax",
                                          .device = DeviceKind::kCuda,
                                          .in_place_inputs = 1,
                                          .bind = Bind};
extern const KernelDef lpnormalization_cuda = {.id = "lpnormalization_cuda.1",
                                               .op = "LpNormalization",
                                               .device = DeviceKind::kCuda,
                                               .in_place_inputs = 1,
                                               .bind = Bind};

}  // namespace fusee::ops
