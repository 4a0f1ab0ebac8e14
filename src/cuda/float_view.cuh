// Small operands whose type is known at run time only: scales, statistics. One switch an element,
// uniform over the grid.
#pragma once

#include <cstdint>

#include "cuda/numeric.cuh"
#include "tensor/tensor.h"

namespace fusee::cuda {

// Precondition of both: IsComputeFloat(dtype), or a null view that is never used.
struct FloatView {
  const void* data = nullptr;
  DType dtype = DType::kF32;

  FloatView() = default;
  explicit FloatView(const ConstTensorView& t) : data(t.data), dtype(t.dtype) {}
  __device__ __forceinline__ float operator[](int64_t i) const {
    if (dtype == DType::kF16) return ToFloat(static_cast<const __half*>(data)[i]);
    if (dtype == DType::kBF16) return ToFloat(static_cast<const __nv_bfloat16*>(data)[i]);
    return static_cast<const float*>(data)[i];
  }
};

struct FloatSink {
  void* data = nullptr;
  DType dtype = DType::kF32;

  FloatSink() = default;
  explicit FloatSink(const TensorView& t) : data(t.data), dtype(t.dtype) {}
  // Does nothing on a null view.
  __device__ __forceinline__ void Store(int64_t i, float value) const {
    if (data == nullptr) return;
    if (dtype == DType::kF16)
      static_cast<__half*>(data)[i] = FromFloat<__half>(value);
    else if (dtype == DType::kBF16)
      static_cast<__nv_bfloat16*>(data)[i] = FromFloat<__nv_bfloat16>(value);
    else
      static_cast<float*>(data)[i] = value;
  }
};

}  // namespace fusee::cuda
