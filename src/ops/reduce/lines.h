// What kernels that order the elements along one axis share.
#pragma once

#include "ops/movement/kernel_support.h"

namespace fusee::ops {

// A tensor as [outer, n, inner], n along the axis: outer * inner lines of n elements that lie
// `inner` apart.
struct Lines {
  int64_t count = 0;
  int64_t inner = 1;

  Lines(const Shape& shape, int axis) {
    inner = shape.elements(axis + 1, shape.rank());
    count = shape.elements(0, axis) * inner;
  }
  // Where line l begins in such a tensor with n elements along the axis.
  int64_t Begin(int64_t l, int64_t n) const { return l / inner * n * inner + l % inner; }
};

// Comparable form of an element: halves as float, everything else as it is.
template <typename T>
auto Comparable(T x) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return static_cast<float>(x);
  else
    return x;
}

}  // namespace fusee::ops
