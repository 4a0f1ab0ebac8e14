// Element types of device code, and how kernels read and write them: 16 bytes a thread at a time
// where alignment allows, arithmetic in float whatever the storage.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "tensor/dtype.h"

namespace fusee::cuda {

// Calls fn.operator()<T>() with the device type of a floating dtype that kernels compute in float:
// float, __half, __nv_bfloat16. Precondition: IsComputeFloat(dtype).
inline bool IsComputeFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}
template <typename Fn>
decltype(auto) VisitComputeFloat(DType dtype, Fn&& fn) {
  if (dtype == DType::kF16) return fn.template operator()<__half>();
  if (dtype == DType::kBF16) return fn.template operator()<__nv_bfloat16>();
  return fn.template operator()<float>();
}

__host__ __device__ __forceinline__ float ToFloat(float x) { return x; }
__host__ __device__ __forceinline__ float ToFloat(__half x) { return __half2float(x); }
__host__ __device__ __forceinline__ float ToFloat(__nv_bfloat16 x) { return __bfloat162float(x); }

// Rounds to nearest even.
template <typename T>
__host__ __device__ __forceinline__ T FromFloat(float x) {
  if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(x);
  else if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return __float2bfloat16_rn(x);
  else
    return x;
}

// As many elements as one 16-byte access holds.
template <typename T>
struct alignas(16) Pack {
  static constexpr int kCount = 16 / sizeof(T);
  T value[kCount];
};

// Whether a pointer may be accessed as Pack.
inline bool IsPackAligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace fusee::cuda
