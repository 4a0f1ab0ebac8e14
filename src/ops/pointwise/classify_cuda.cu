// IsNaN and IsInf on every float type.
#include "ops/movement/kernel_support.h"
#include "ops/pointwise/device_types_cuda.cuh"
#include "ops/pointwise/map_cuda.cuh"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

template <typename T>
struct ClassifyFn {
  bool nan, negative, positive;
  __device__ __forceinline__ Truth operator()(T x) const {
    const Compute<T> value = Widen(x);
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    return NarrowTo<Truth>((nan && value != value) || (negative && value == -kInfinity) ||
                           (positive && value == kInfinity));
  }
};

Status Run(const ClassifyParams& params, const RunArgs& args) {
  return VisitDeviceType<kFloats>(params.dtype, [&]<typename T>() -> Status {
    return LaunchMap<T, Truth>(args, ClassifyFn<T>{params.nan, params.negative, params.positive});
  });
}

Result<std::unique_ptr<BoundKernel>> BindIsNaN(const StepSpec& spec) {
  FUSEE_TRY(const ClassifyParams params, ReadIsNaN(spec));
  return MakeKernel(params, &CheckClassify, &Run);
}

Result<std::unique_ptr<BoundKernel>> BindIsInf(const StepSpec& spec) {
  FUSEE_TRY(const ClassifyParams params, ReadIsInf(spec));
  return MakeKernel(params, &CheckClassify, &Run);
}

}  // namespace

extern const KernelDef is_nan_cuda = {
    .id = "is_nan_cuda.1", .op = "IsNaN", .device = DeviceKind::kCuda, .bind = &BindIsNaN};
extern const KernelDef is_inf_cuda = {
    .id = "is_inf_cuda.1", .op = "IsInf", .device = DeviceKind::kCuda, .bind = &BindIsInf};

}  // namespace fusee::ops
