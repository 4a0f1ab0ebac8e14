// What the reference kernels of elementwise operators share: typed access, wide arithmetic types,
// and a plain walk over broadcast operands.
#pragma once

#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include "ops/kernel.h"
#include "ops/movement/kernel_support.h"
#include "ops/pointwise/type_set.h"

namespace fusee::ops::pointwise {

// The type in which a reference kernel computes: exact for integers, double for every float.
template <typename T>
using Wide = std::conditional_t<
    std::is_same_v<T, bool>, bool,
    std::conditional_t<std::is_integral_v<T>,
                       std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>, double>>;

// Element i, widened. The data may be unaligned (an initialiser in a model file), a bool may hold
// any byte.
template <typename T>
Wide<T> Load(const void* data, int64_t i) {
  if constexpr (std::is_same_v<T, bool>) {
    return static_cast<const uint8_t*>(data)[i] != 0;
  } else {
    T value;
    std::memcpy(&value, static_cast<const char*>(data) + i * static_cast<int64_t>(sizeof(T)),
                sizeof(T));
    if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
      return static_cast<double>(static_cast<float>(value));
    } else {
      return static_cast<Wide<T>>(value);
    }
  }
}

// Rounds floats once, wraps integers.
template <typename T>
T Narrow(Wide<T> value) {
  if constexpr (std::is_same_v<T, Half>) {
    return HalfFromDouble(value);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return BFloat16FromDouble(value);
  } else {
    return static_cast<T>(value);
  }
}

// Row-major walk over a result, with the flat index of each of N broadcast operands beside it.
template <size_t N>
class BroadcastWalk {
 public:
  // Precondition: every shape broadcasts to out.
  BroadcastWalk(const Shape& out, const std::array<const Shape*, N>& shapes) : out_(out) {
    for (size_t k = 0; k < N; ++k) {
      const Shape& shape = *shapes[k];
      const Shape strides = RowMajorStrides(shape);
      const int offset = out.rank() - shape.rank();
      for (int i = 0; i < shape.rank(); ++i) {
        stride_[k][static_cast<size_t>(offset + i)] = shape[i] == 1 ? 0 : strides[i];
      }
    }
  }
  int64_t operand(size_t k) const { return position_[k]; }
  void Next() {
    for (int axis = out_.rank() - 1; axis >= 0; --axis) {
      const auto a = static_cast<size_t>(axis);
      ++index_[a];
      for (size_t k = 0; k < N; ++k) position_[k] += stride_[k][a];
      if (index_[a] < out_[axis]) return;
      for (size_t k = 0; k < N; ++k) position_[k] -= stride_[k][a] * index_[a];
      index_[a] = 0;
    }
  }

 private:
  const Shape& out_;
  std::array<int64_t, kMaxRank> index_{};
  std::array<std::array<int64_t, kMaxRank>, N> stride_{};
  std::array<int64_t, N> position_{};
};

// What every bind of a fixed number of present operands and one present result checks first.
Status CheckOperands(const StepSpec& spec, size_t inputs);

// The result has operand 0's shape.
Status CheckSameShape(std::string_view op, const RunArgs& args);
// The result has the shape that all operands broadcast to. Errors: kInvalidArgument naming both
// shapes.
Status CheckBroadcast(std::string_view op, const RunArgs& args);

// kInvalidArgument when the type is not in the set.
Status CheckType(const StepSpec& spec, DType dtype, TypeSet types, const char* what);

}  // namespace fusee::ops::pointwise
