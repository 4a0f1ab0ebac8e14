// A concrete shape: up to kMaxRank non-negative dimensions, stored inline (no allocation).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/check.h"

namespace fusee {

// ONNX models in the field stop at rank 6; the importer refuses what exceeds this by name.
inline constexpr int kMaxRank = 8;

class Shape {
 public:
  Shape() = default;  // a scalar
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
    FUSEE_CHECK(dims.size() <= kMaxRank, "shape rank above kMaxRank");
    std::copy(dims.begin(), dims.end(), dims_.begin());
  }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  int64_t& operator[](int axis) { return dims_[static_cast<size_t>(axis)]; }
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  void push_back(int64_t dim) {
    FUSEE_CHECK(rank_ < kMaxRank, "shape rank above kMaxRank");
    dims_[static_cast<size_t>(rank_++)] = dim;
  }
  void set_rank(int rank) {  // new dimensions are 0
    FUSEE_CHECK(rank >= 0 && rank <= kMaxRank, "shape rank above kMaxRank");
    for (int i = rank_; i < rank; ++i) dims_[static_cast<size_t>(i)] = 0;
    rank_ = rank;
  }

  // Product of the dimensions; 1 for a scalar. Precondition: does not overflow (checked where
  // shapes enter).
  int64_t elements() const {
    int64_t n = 1;
    for (int64_t d : dims()) n *= d;
    return n;
  }
  // Product of dims in [first, last).
  int64_t elements(int first, int last) const {
    int64_t n = 1;
    for (int i = first; i < last; ++i) n *= (*this)[i];
    return n;
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    return std::ranges::equal(a.dims(), b.dims());
  }

  // "[1,3,224,224]"; "[]" for a scalar.
  std::string ToString() const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

// Row-major strides in elements.
inline Shape RowMajorStrides(const Shape& shape) {
  Shape strides = shape;
  int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

}  // namespace fusee
