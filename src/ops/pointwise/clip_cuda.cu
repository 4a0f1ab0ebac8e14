// Clip on every type of numbers. The bounds lie in device memory, one element each.
#include "ops/movement/kernel_support.h"
#include "ops/pointwise/device_types_cuda.cuh"
#include "ops/pointwise/map_cuda.cuh"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

template <typename T>
struct ClipFn {
  const T* low;   // null: none
  const T* high;  // null: none
  __device__ __forceinline__ T operator()(T x) const {
    if (low != nullptr && Widen(x) < Widen(*low)) x = *low;
    if (high != nullptr && Widen(x) > Widen(*high)) x = *high;
    return x;
  }
};

Status Run(const ClipParams& params, const RunArgs& args) {
  return VisitDeviceType<kNumbers>(params.dtype, [&]<typename T>() -> Status {
    const auto bound = [&](size_t i) {
      return args.has_input(i) ? static_cast<const T*>(args.inputs[i].data) : nullptr;
    };
    return LaunchMap<T, T>(args, ClipFn<T>{bound(1), bound(2)});
  });
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const ClipParams params, ReadClip(spec));
  return MakeKernel(params, &CheckClip, &Run);
}

}  // namespace

extern const KernelDef clip_cuda = {.id = "clip_cuda.1",
                                    .op = "Clip",
                                    .device = DeviceKind::kCuda,
                                    .in_place_inputs = 1,
                                    .bind = &Bind};

}  // namespace fusee::ops
