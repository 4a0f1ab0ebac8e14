// Cast between all pairs of types, with the reference's bits: floats round once to nearest even,
// floats beyond an integer type saturate to 64 bits and then wrap, NaN gives 0.
#include "ops/movement/kernel_support.h"
#include "ops/pointwise/device_types_cuda.cuh"
#include "ops/pointwise/map_cuda.cuh"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

// All comparisons are exact in F, which is float or double.
template <typename To, typename F>
__device__ __forceinline__ To IntegerFromFloat(F x) {
  constexpr F kTop = static_cast<F>(0x1p63);
  if (x != x) return 0;
  if constexpr (std::is_same_v<To, uint64_t>) {
    if (x >= 2 * kTop) return std::numeric_limits<uint64_t>::max();
    if (x >= kTop) return static_cast<uint64_t>(x);
  }
  if (x >= kTop) return static_cast<To>(std::numeric_limits<int64_t>::max());
  if (x <= -kTop) return static_cast<To>(std::numeric_limits<int64_t>::min());
  return static_cast<To>(static_cast<int64_t>(x));
}

// From float, double, an integer or a truth value.
template <typename To, typename X>
__device__ __forceinline__ To Convert(X x) {
  if constexpr (std::is_same_v<To, Truth>) {
    return NarrowTo<Truth>(x != 0);
  } else if constexpr (std::is_same_v<To, __half>) {
    if constexpr (std::is_same_v<X, float>)
      return __float2half_rn(x);
    else
      return __double2half(static_cast<double>(x));
  } else if constexpr (std::is_same_v<To, __nv_bfloat16>) {
    if constexpr (std::is_same_v<X, float>)
      return __float2bfloat16_rn(x);
    else
      return __double2bfloat16(static_cast<double>(x));
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<X>) {
    return IntegerFromFloat<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

template <typename From, typename To>
struct CastFn {
  __device__ __forceinline__ To operator()(From x) const {
    if constexpr (std::is_same_v<From, Truth>)
      return Convert<To>(static_cast<int32_t>(Widen(x)));
    else
      return Convert<To>(Widen(x));
  }
};

Status Run(const CastParams& params, const RunArgs& args) {
  return VisitDeviceType<kAny>(params.from, [&]<typename From>() -> Status {
    return VisitDeviceType<kAny>(params.to, [&]<typename To>() -> Status {
      return LaunchMap<From, To>(args, CastFn<From, To>{});
    });
  });
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const CastParams params, ReadCast(spec));
  return MakeKernel(params, &CheckCast, &Run);
}

}  // namespace

extern const KernelDef cast_cuda = {
    .id = "cast_cuda.1", .op = "Cast", .device = DeviceKind::kCuda, .bind = &Bind};

}  // namespace fusee::ops
