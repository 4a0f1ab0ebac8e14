// Index operands of the gather and scatter kernels.
#pragma once

#include <array>

#include "ops/movement/kernel_support.h"

namespace fusee::ops {

inline bool IsIndexType(DType d) { return d == DType::kI32 || d == DType::kI64; }

// Element i of an i32 or i64 tensor.
inline int64_t IndexAt(const ConstTensorView& indices, int64_t i) {
  return indices.dtype == DType::kI32 ? indices.as<int32_t>()[i] : indices.as<int64_t>()[i];
}

// kOutOfRange "Gather: index 7 is out of range, expected -3 to 2".
Status BadIndex(std::string_view op, int64_t index, int64_t size);

// Reads [i * tuple, (i + 1) * tuple) of indices as a position in the leading axes `first`.. of a
// tensor with these dimensions; each may be negative. Errors: kOutOfRange.
struct IndexTuples {
  int64_t length = 0;
  std::array<int64_t, kMaxRank> size{};    // dimension that entry k indexes
  std::array<int64_t, kMaxRank> stride{};  // its stride in elements

  IndexTuples(const Shape& shape, int first, int64_t tuple);
  // Are all `count` tuples in range?
  Status Check(std::string_view op, const ConstTensorView& indices, int64_t count) const;
  // Offset that tuple i stands for. Precondition: Check passed.
  int64_t Offset(const ConstTensorView& indices, int64_t i) const;
};

// The element-wise form: index element k of a tensor of shape `index` stands for the element of
// `data` at the same position, but on `axis` at the index's value.
struct IndexGrid {
  Shape index, strides;
  int axis = 0;
  int64_t size = 0;

  IndexGrid(const Shape& data, const Shape& indices, int grid_axis);
  Status Check(std::string_view op, const ConstTensorView& indices) const;
  int64_t Offset(const ConstTensorView& indices, int64_t k) const;
  // Do the shapes fit? Ranks equal, and no index dimension but the axis is above data's.
  static Status CheckShapes(std::string_view op, const Shape& data, const Shape& indices, int axis);
};

}  // namespace fusee::ops
