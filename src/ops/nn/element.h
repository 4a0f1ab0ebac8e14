// Reading and writing tensor elements as double, one type at a time: what the reference kernels of
// this family and of norm are written over. The type is a template parameter, so that the inner
// loops hold no switch.
#pragma once

#include <cstring>
#include <type_traits>
#include <utility>

#include "base/status.h"
#include "tensor/tensor.h"

namespace fusee::ops {

// Element i of an array of T that need not be aligned (a weight may lie inside a model file).
template <typename T>
inline T LoadRaw(const void* data, int64_t i) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + i * static_cast<int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}

// The same as double. Exact for every floating-point type and for integers up to 2^53.
template <typename T>
inline double LoadDouble(const void* data, int64_t i) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return static_cast<double>(static_cast<float>(LoadRaw<T>(data, i)));
  } else {
    return static_cast<double>(LoadRaw<T>(data, i));
  }
}

// value rounded once to T.
template <typename T>
inline T RoundTo(double value) {
  if constexpr (std::is_same_v<T, Half>) {
    return HalfFromDouble(value);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return BFloat16FromDouble(value);
  } else {
    return static_cast<T>(value);
  }
}

template <typename T>
inline void StoreElement(void* data, int64_t i, T value) {
  std::memcpy(static_cast<char*>(data) + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

// Calls body.operator()<T>() with the C++ type of a floating-point dtype; body returns a Status.
// Precondition: IsFloat(dtype), which bind has checked.
template <typename Body>
Status DispatchFloat(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::kF32: return body.template operator()<float>();
    case DType::kF64: return body.template operator()<double>();
    case DType::kF16: return body.template operator()<Half>();
    case DType::kBF16: return body.template operator()<BFloat16>();
    default: return Internal("floating-point kernel bound to another type");
  }
}

}  // namespace fusee::ops
