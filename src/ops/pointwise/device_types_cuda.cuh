// Element types of pointwise kernels on a CUDA device: which type each dtype is there, and in which
// each is computed. Floats of 16 and 32 bits are computed in float, integers in 32 or 64 bits; one
// rounding of the float result gives what the references' double gives for + - * / and comparisons,
// because 24 bits are at least twice 11 and two more.
#pragma once

#include <type_traits>

#include "cuda/numeric.cuh"
#include "ops/kernel.h"
#include "ops/pointwise/type_set.h"

namespace fusee::ops::pointwise {

// A bool in memory: any byte but 0 is true; 0 and 1 are written.
struct Truth {
  uint8_t byte;
};

// Calls fn.operator()<T>() with the device's type of the dtype, for the types of the set alone.
// Errors: kInternal for a dtype outside it, which bind should have refused.
template <TypeSet kTypes, typename Fn>
Status VisitDeviceType(DType dtype, Fn&& fn) {
  switch (dtype) {
#define FUSEE_CASE(Name, T)                                                          \
  case DType::Name:                                                                  \
    if constexpr (Contains(kTypes, DType::Name)) return fn.template operator()<T>(); \
    break;
    FUSEE_CASE(kF32, float)
    FUSEE_CASE(kF64, double)
    FUSEE_CASE(kF16, __half)
    FUSEE_CASE(kBF16, __nv_bfloat16)
    FUSEE_CASE(kI8, int8_t)
    FUSEE_CASE(kI16, int16_t)
    FUSEE_CASE(kI32, int32_t)
    FUSEE_CASE(kI64, int64_t)
    FUSEE_CASE(kU8, uint8_t)
    FUSEE_CASE(kU16, uint16_t)
    FUSEE_CASE(kU32, uint32_t)
    FUSEE_CASE(kU64, uint64_t)
    FUSEE_CASE(kBool, Truth)
#undef FUSEE_CASE
    default: break;  // narrow types, which bind does not let through, and none
  }
  return Internal("a kernel was bound to a type it does not take");
}

template <typename T>
inline constexpr bool kIsFloatType = std::is_same_v<T, float> || std::is_same_v<T, double> ||
                                     std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>;

// The type in which T is computed.
template <typename T>
struct ComputeOf {
  using Type = T;  // float, double, and integers of 32 and 64 bits
};
template <>
struct ComputeOf<__half> {
  using Type = float;
};
template <>
struct ComputeOf<__nv_bfloat16> {
  using Type = float;
};
template <>
struct ComputeOf<int8_t> {
  using Type = int32_t;
};
template <>
struct ComputeOf<int16_t> {
  using Type = int32_t;
};
template <>
struct ComputeOf<uint8_t> {
  using Type = uint32_t;
};
template <>
struct ComputeOf<uint16_t> {
  using Type = uint32_t;
};
template <>
struct ComputeOf<Truth> {
  using Type = bool;
};
template <typename T>
using Compute = typename ComputeOf<T>::Type;

template <typename T>
__device__ __forceinline__ Compute<T> Widen(T x) {
  if constexpr (std::is_same_v<T, Truth>)
    return x.byte != 0;
  else if constexpr (std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>)
    return cuda::ToFloat(x);
  else
    return static_cast<Compute<T>>(x);
}

// Rounds floats to nearest even, wraps integers.
template <typename T>
__device__ __forceinline__ T NarrowTo(Compute<T> x) {
  if constexpr (std::is_same_v<T, Truth>)
    return Truth{static_cast<uint8_t>(x ? 1 : 0)};
  else if constexpr (std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>)
    return cuda::FromFloat<T>(x);
  else
    return static_cast<T>(x);
}

// One rounding from double; integers truncate.
template <typename T>
__device__ __forceinline__ T RoundFromDouble(double x) {
  if constexpr (std::is_same_v<T, __half>)
    return __double2half(x);
  else if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return __double2bfloat16(x);
  else
    return static_cast<T>(x);
}

}  // namespace fusee::ops::pointwise
