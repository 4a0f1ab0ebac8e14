// Tensors: TensorView and ConstTensorView borrow memory, Tensor shares it. All are dense and
// row-major.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <type_traits>

#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/half.h"
#include "tensor/shape.h"

namespace fusee {

// Alignment of every tensor Fusee allocates: one cache line, one AVX-512 register.
inline constexpr size_t kTensorAlignment = 64;

// dtype of a C++ element type.
template <typename T>
constexpr DType DTypeOf() {
  if constexpr (std::is_same_v<T, float>)
    return DType::kF32;
  else if constexpr (std::is_same_v<T, double>)
    return DType::kF64;
  else if constexpr (std::is_same_v<T, Half>)
    return DType::kF16;
  else if constexpr (std::is_same_v<T, BFloat16>)
    return DType::kBF16;
  else if constexpr (std::is_same_v<T, int8_t>)
    return DType::kI8;
  else if constexpr (std::is_same_v<T, int16_t>)
    return DType::kI16;
  else if constexpr (std::is_same_v<T, int32_t>)
    return DType::kI32;
  else if constexpr (std::is_same_v<T, int64_t>)
    return DType::kI64;
  else if constexpr (std::is_same_v<T, uint8_t>)
    return DType::kU8;
  else if constexpr (std::is_same_v<T, uint16_t>)
    return DType::kU16;
  else if constexpr (std::is_same_v<T, uint32_t>)
    return DType::kU32;
  else if constexpr (std::is_same_v<T, uint64_t>)
    return DType::kU64;
  else if constexpr (std::is_same_v<T, bool>)
    return DType::kBool;
  else
    return DType::kInvalid;
}

// A borrowed, read-only tensor. A null view (dtype kInvalid) stands for an absent optional operand.
// data need not be aligned when it lies in a file (an ONNX initialiser); planned tensors are, to
// kTensorAlignment.
struct ConstTensorView {
  DType dtype = DType::kInvalid;
  Shape shape;
  const void* data = nullptr;

  bool present() const { return dtype != DType::kInvalid; }
  int64_t elements() const { return shape.elements(); }
  int64_t size_bytes() const { return (elements() * BitsPerElement(dtype) + 7) / 8; }
  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(data), static_cast<size_t>(size_bytes())};
  }
  template <typename T>
  const T* as() const {
    FUSEE_DCHECK(DTypeOf<T>() == dtype, "tensor read as another dtype");
    return static_cast<const T*>(data);
  }
};

// The same, writable.
struct TensorView {
  DType dtype = DType::kInvalid;
  Shape shape;
  void* data = nullptr;

  bool present() const { return dtype != DType::kInvalid; }
  int64_t elements() const { return shape.elements(); }
  int64_t size_bytes() const { return (elements() * BitsPerElement(dtype) + 7) / 8; }
  std::span<std::byte> bytes() const {
    return {static_cast<std::byte*>(data), static_cast<size_t>(size_bytes())};
  }
  template <typename T>
  T* as() const {
    FUSEE_DCHECK(DTypeOf<T>() == dtype, "tensor written as another dtype");
    return static_cast<T*>(data);
  }
  operator ConstTensorView() const { return {dtype, shape, data}; }
};

// An immutable tensor that shares ownership of its bytes: a constant of a graph, a test input.
// Copies are cheap. The second owner is whatever the bytes lie in: a heap block, or the mapped
// model file, which therefore stays mapped while any of its weights is in use. Thread-safe for
// reading.
class Tensor {
 public:
  Tensor() = default;  // absent
  // Borrows bytes that owner keeps alive. data may be unaligned.
  Tensor(DType dtype, Shape shape, const void* data, std::shared_ptr<const void> owner)
      : view_{dtype, shape, data}, owner_(std::move(owner)) {}

  // Allocates zeroed memory aligned to kTensorAlignment; fill it through *writable before sharing.
  // Errors: kResourceExhausted when the size overflows or exceeds memory.
  static Result<Tensor> Allocate(DType dtype, const Shape& shape, TensorView* writable);
  // Copies values (tests and small constants; aborts if the count is wrong).
  template <typename T>
  static Tensor Of(const Shape& shape, std::span<const T> values);
  template <typename T>
  static Tensor Of(const Shape& shape, std::initializer_list<T> values) {
    return Of<T>(shape, std::span<const T>(values.begin(), values.size()));
  }

  bool present() const { return view_.present(); }
  DType dtype() const { return view_.dtype; }
  const Shape& shape() const { return view_.shape; }
  int64_t elements() const { return view_.elements(); }
  std::span<const std::byte> bytes() const { return view_.bytes(); }
  const ConstTensorView& view() const { return view_; }
  template <typename T>
  const T* as() const {
    return view_.as<T>();
  }
  // The same bytes under another shape. Precondition: equal element count.
  Tensor Reshaped(const Shape& shape) const {
    return Tensor(view_.dtype, shape, view_.data, owner_);
  }

 private:
  ConstTensorView view_;
  std::shared_ptr<const void> owner_;
};

template <typename T>
Tensor Tensor::Of(const Shape& shape, std::span<const T> values) {
  TensorView out;
  auto tensor = Allocate(DTypeOf<T>(), shape, &out);
  FUSEE_CHECK(tensor.ok() && out.elements() == static_cast<int64_t>(values.size()),
              "Tensor::Of: wrong count");
  std::copy(values.begin(), values.end(), static_cast<T*>(out.data));
  return std::move(tensor).value();
}

// "f32[1,3,224,224]".
std::string Describe(DType dtype, const Shape& shape);

// Element i of an integer or bool tensor as int64 (unaligned data allowed). Precondition: in range,
// integer type (of 4 and 2 bits too).
int64_t IntAt(const ConstTensorView& tensor, int64_t i);
// Element i of any numeric tensor as double (u64 and i64 beyond 2^53 round).
double DoubleAt(const ConstTensorView& tensor, int64_t i);
// Stores value into element i, rounded once to the element type; integers truncate and wrap, bool
// is value != 0. The narrow floating-point types saturate (NarrowRounding's defaults).
void StoreDouble(const TensorView& tensor, int64_t i, double value);
void StoreInt(const TensorView& tensor, int64_t i, int64_t value);

}  // namespace fusee
