// Pow. pow_easy: a float base and a constant scalar exponent of 1, 2, 3, 0.5 or -1, by the few IEEE
// operations of pow_f32_cpu. pow: any broadcasting; floats of up to 32 bits to a power of their own
// type in float, to others in double; i32 and i64 to integer powers exactly.
#include "ops/movement/kernel_support.h"
#include "ops/pointwise/broadcast_cuda.cuh"
#include "ops/pointwise/device_types_cuda.cuh"
#include "ops/pointwise/map_cuda.cuh"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

constexpr TypeSet kIntBases = Only(DType::kI32) | Only(DType::kI64);
// Exponents of another type than a float base.
constexpr TypeSet kMixedExponents = Only(DType::kF32) | kIntBases;

struct EasyParams {
  DType dtype = DType::kInvalid;
  EasyPower power = EasyPower::kNone;
};

template <EasyPower power, typename T>
struct EasyFn {
  __device__ __forceinline__ T operator()(T stored) const {
    const Compute<T> x = Widen(stored);
    if constexpr (power == EasyPower::kSquare) return NarrowTo<T>(x * x);
    // In double, so that only the last step rounds.
    if constexpr (power == EasyPower::kCube) {
      const double wide = x;
      return NarrowTo<T>(static_cast<Compute<T>>(wide * wide * wide));
    }
    if constexpr (power == EasyPower::kReciprocal) return NarrowTo<T>(1 / x);
    if constexpr (power == EasyPower::kRoot) {
      // pow differs from sqrt at -0 and -inf, where it gives +0 and +inf.
      constexpr Compute<T> kInfinity = std::numeric_limits<Compute<T>>::infinity();
      if (x == -kInfinity) return NarrowTo<T>(kInfinity);
      return NarrowTo<T>(sqrt(x + Compute<T>(0)));
    }
    return stored;
  }
};

Status CheckEasy(const EasyParams&, const RunArgs& args) { return CheckEasyPow(args); }

Status RunEasy(const EasyParams& params, const RunArgs& args) {
  return VisitDeviceType<kFloats>(params.dtype, [&]<typename T>() -> Status {
    switch (params.power) {
      case EasyPower::kNone: break;
      case EasyPower::kOne: return LaunchMap<T, T>(args, EasyFn<EasyPower::kOne, T>{});
      case EasyPower::kSquare: return LaunchMap<T, T>(args, EasyFn<EasyPower::kSquare, T>{});
      case EasyPower::kCube: return LaunchMap<T, T>(args, EasyFn<EasyPower::kCube, T>{});
      case EasyPower::kRoot: return LaunchMap<T, T>(args, EasyFn<EasyPower::kRoot, T>{});
      case EasyPower::kReciprocal:
        return LaunchMap<T, T>(args, EasyFn<EasyPower::kReciprocal, T>{});
    }
    return Internal("Pow: no such exponent");
  });
}

Result<std::unique_ptr<BoundKernel>> BindEasy(const StepSpec& spec) {
  FUSEE_TRY(const PowParams params, ReadPow(spec));
  if (!Contains(kFloats, params.base)) return RefuseTactic(spec, "takes a base of floats only");
  const EasyPower power = FindEasyPower(spec.inputs[1]);
  if (power == EasyPower::kNone)
    return RefuseTactic(spec, "takes the constant exponents 1, 2, 3, 0.5 and -1 only");
  return MakeKernel(EasyParams{params.base, power}, &CheckEasy, &RunEasy);
}

// base^exponent modulo 2^64 by repeated squaring.
__device__ __forceinline__ uint64_t PowerOfInteger(uint64_t base, uint64_t exponent) {
  uint64_t result = 1;
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result *= base;
    base *= base;
  }
  return result;
}

template <typename T, typename E>
struct PowFn {
  using A = T;
  using B = E;
  using C = Unused;
  using Out = T;
  uint32_t* error;

  __device__ __forceinline__ T operator()(T stored, E stored_exponent, C) const {
    if constexpr (std::is_integral_v<T>) {
      return OfIntegers(stored, stored_exponent);
    } else if constexpr (std::is_same_v<T, E> && !std::is_same_v<T, double>) {
      return NarrowTo<T>(powf(Widen(stored), Widen(stored_exponent)));
    } else {
      const double power =
          pow(static_cast<double>(Widen(stored)), static_cast<double>(Widen(stored_exponent)));
      return RoundFromDouble<T>(power);
    }
  }

  // A negative exponent leaves the truncated quotient: 0 except for bases 1 and -1.
  __device__ __forceinline__ T OfIntegers(int64_t base, int64_t exponent) const {
    if (exponent >= 0) {
      return static_cast<T>(
          PowerOfInteger(static_cast<uint64_t>(base), static_cast<uint64_t>(exponent)));
    }
    if (base == 0) *error = static_cast<uint32_t>(RunError::kDivisionByZero);
    if (base == 1) return 1;
    return base == -1 ? ((exponent & 1) != 0 ? -1 : 1) : 0;
  }
};

Status Run(const PowParams& params, const RunArgs& args) {
  if (Contains(kIntBases, params.base)) {
    return VisitDeviceType<kIntBases>(params.base, [&]<typename T>() -> Status {
      return VisitDeviceType<kIntBases>(params.exponent, [&]<typename E>() -> Status {
        return LaunchBroadcast(args, PowFn<T, E>{args.error});
      });
    });
  }
  return VisitDeviceType<kFloats>(params.base, [&]<typename T>() -> Status {
    if (params.base == params.exponent) return LaunchBroadcast(args, PowFn<T, T>{args.error});
    return VisitDeviceType<kMixedExponents>(params.exponent, [&]<typename E>() -> Status {
      return LaunchBroadcast(args, PowFn<T, E>{args.error});
    });
  });
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const PowParams params, ReadPow(spec));
  const bool floats =
      Contains(kFloats, params.base) &&
      (params.base == params.exponent || Contains(kMixedExponents, params.exponent));
  const bool ints = Contains(kIntBases, params.base) && Contains(kIntBases, params.exponent);
  if (!floats && !ints) {
    return RefuseTactic(spec,
                        "takes floats to the power of their own type, f32, i32 and i64, and i32 "
                        "and i64 to that of i32 and i64");
  }
  return MakeKernel(params, &CheckPow, &Run);
}

}  // namespace

extern const KernelDef pow_easy_cuda = {.id = "pow_easy_cuda.1",
                                        .op = "Pow",
                                        .device = DeviceKind::kCuda,
                                        .in_place_inputs = 1,
                                        .bind = &BindEasy};
extern const KernelDef pow_cuda = {.id = "pow_cuda.1",
                                   .op = "Pow",
                                   .device = DeviceKind::kCuda,
                                   .in_place_inputs = 1,
                                   .bind = &Bind};

}  // namespace fusee::ops
