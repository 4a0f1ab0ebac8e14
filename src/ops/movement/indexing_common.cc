#include "ops/movement/indexing.h"

namespace fusee::ops {

Status BadIndex(std::string_view op, int64_t index, int64_t size) {
  return OutOfRange(std::string(op) + ": index " + std::to_string(index) +
                    " is out of range, expected " + std::to_string(-size) + " to " +
                    std::to_string(size - 1));
}

IndexTuples::IndexTuples(const Shape& shape, int first, int64_t tuple) : length(tuple) {
  const Shape strides = RowMajorStrides(shape);
  for (int64_t k = 0; k < tuple; ++k) {
    size[static_cast<size_t>(k)] = shape[first + static_cast<int>(k)];
    stride[static_cast<size_t>(k)] = strides[first + static_cast<int>(k)];
  }
}

Status IndexTuples::Check(std::string_view op, const ConstTensorView& indices,
                          int64_t count) const {
  for (int64_t i = 0; i < count * length; ++i) {
    const int64_t limit = size[static_cast<size_t>(i % length)];
    const int64_t index = IndexAt(indices, i);
    if (index < -limit || index >= limit) return BadIndex(op, index, limit);
  }
  return OkStatus();
}

int64_t IndexTuples::Offset(const ConstTensorView& indices, int64_t i) const {
  int64_t offset = 0;
  for (int64_t k = 0; k < length; ++k) {
    const auto a = static_cast<size_t>(k);
    const int64_t index = IndexAt(indices, i * length + k);
    offset += (index < 0 ? index + size[a] : index) * stride[a];
  }
  return offset;
}

IndexGrid::IndexGrid(const Shape& data, const Shape& indices, int grid_axis)
    : index(indices), strides(RowMajorStrides(data)), axis(grid_axis), size(data[grid_axis]) {}

Status IndexGrid::Check(std::string_view op, const ConstTensorView& indices) const {
  for (int64_t k = 0; k < indices.elements(); ++k) {
    const int64_t value = IndexAt(indices, k);
    if (value < -size || value >= size) return BadIndex(op, value, size);
  }
  return OkStatus();
}

int64_t IndexGrid::Offset(const ConstTensorView& indices, int64_t k) const {
  const int64_t value = IndexAt(indices, k);
  int64_t offset = (value < 0 ? value + size : value) * strides[axis];
  for (int i = index.rank() - 1; i >= 0; --i) {
    if (i != axis) offset += k % index[i] * strides[i];
    k /= index[i];
  }
  return offset;
}

Status IndexGrid::CheckShapes(std::string_view op, const Shape& data, const Shape& indices,
                              int axis) {
  bool fits = data.rank() == indices.rank();
  for (int i = 0; fits && i < data.rank(); ++i) fits = i == axis || indices[i] <= data[i];
  if (fits) return OkStatus();
  return InvalidArgument(std::string(op) + ": indices " + indices.ToString() + " do not fit data " +
                         data.ToString() + " on axis " + std::to_string(axis));
}

}  // namespace fusee::ops
