// What the kernels that compute positions share on a CUDA device: the limit of their 32-bit
// indices, and index operands.
#pragma once

#include <array>

#include "cuda/fast_div.cuh"
#include "cuda/vec.cuh"
#include "ops/movement/indexing.h"

namespace fusee::ops {

// Said by bind: the kernel counts elements of this tensor in 32 bits.
inline Status RefuseLarge(const StepSpec& spec, const TensorSpec& tensor) {
  if (tensor.max_shape.elements() < cuda::kFastDivLimit) return OkStatus();
  return RefuseTactic(spec, "takes fewer than 2^31 elements");
}
// The same by CheckShapes.
inline Status CheckNotLarge(std::string_view op, const Shape& shape) {
  if (shape.elements() < cuda::kFastDivLimit) return OkStatus();
  return InvalidArgument(std::string(op) + ": shape " + shape.ToString() +
                         " has more elements than the step was bound for");
}

// By Run, of what it counts in elements narrower than the tensor's: only where an address is not
// aligned to the tensor's type.
inline Status CheckCount(int64_t count) {
  if (count < cuda::kFastDivLimit) return OkStatus();
  return InvalidArgument("a large tensor lies at an address that is not aligned");
}

// An i32 or i64 operand.
struct Indices {
  const void* data = nullptr;
  bool wide = false;
  uint32_t* error = nullptr;

  explicit Indices(const ConstTensorView& view, uint32_t* run_error)
      : data(view.data), wide(view.dtype == DType::kI64), error(run_error) {}

  // Index i in [0, size), counted from the end where it is negative; -1, reported, when it is out
  // of range.
  __device__ __forceinline__ int64_t At(int64_t i, int64_t size) const {
    int64_t index =
        wide ? static_cast<const int64_t*>(data)[i] : static_cast<const int32_t*>(data)[i];
    if (index < -size || index >= size) {
      *error = static_cast<uint32_t>(RunError::kIndexOutOfRange);
      return -1;
    }
    return index < 0 ? index + size : index;
  }
};

// A position in up to kMaxRank axes of a tensor, as IndexTuples on the host.
struct DeviceTuples {
  int length = 0;
  std::array<int64_t, kMaxRank> size{};
  std::array<int64_t, kMaxRank> stride{};

  DeviceTuples(const Shape& shape, int first, int64_t tuple) {
    const IndexTuples tuples(shape, first, tuple);
    length = static_cast<int>(tuple);
    size = tuples.size;
    stride = tuples.stride;
  }

  // The offset that tuple i stands for; -1, reported, when an index is out of range.
  __device__ __forceinline__ int64_t Offset(const Indices& indices, int64_t i) const {
    int64_t offset = 0;
    for (int k = 0; k < length; ++k) {
      const int64_t index = indices.At(i * length + k, size[k]);
      if (index < 0) return -1;
      offset += index * stride[k];
    }
    return offset;
  }
};

}  // namespace fusee::ops
