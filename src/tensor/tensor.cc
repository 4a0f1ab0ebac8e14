#include "tensor/tensor.h"

#include <cstdlib>
#include <cstring>

#include "base/checked_math.h"
#include "tensor/narrow.h"

namespace fusee {
namespace {

template <typename T>
T Load(const void* data, int64_t i) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + i * static_cast<int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}
template <typename T>
void Store(void* data, int64_t i, T value) {
  std::memcpy(static_cast<char*>(data) + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

// Out-of-range conversion from double is undefined in C++; go through int64 with saturation, then
// wrap.
int64_t TruncateToInt64(double v) {
  if (v != v) return 0;
  if (v >= 9223372036854775808.0) return INT64_MAX;
  if (v <= -9223372036854775808.0) return INT64_MIN;
  return static_cast<int64_t>(v);
}

}  // namespace

std::string Shape::ToString() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) {
    if (i > 0) text += ',';
    text += std::to_string((*this)[i]);
  }
  return text + "]";
}

std::string Describe(DType dtype, const Shape& shape) {
  return std::string(DTypeName(dtype)) + shape.ToString();
}

Result<Tensor> Tensor::Allocate(DType dtype, const Shape& shape, TensorView* writable) {
  int64_t elements = 0;
  int64_t bits = 0;
  if (!CheckedProduct(shape.dims(), &elements) ||
      !CheckedMul(elements, static_cast<int64_t>(BitsPerElement(dtype)), &bits)) {
    return ResourceExhausted("a tensor of " + Describe(dtype, shape) +
                             " overflows the address space");
  }
  const size_t size = AlignUp(static_cast<uint64_t>(bits / 8 + 1), kTensorAlignment);
  void* data = std::aligned_alloc(kTensorAlignment, size);
  if (data == nullptr) {
    return ResourceExhausted("no memory for " + Describe(dtype, shape) + ", " +
                             std::to_string(size) + " bytes");
  }
  std::memset(data, 0, size);
  *writable = TensorView{dtype, shape, data};
  return Tensor(dtype, shape, data, std::shared_ptr<const void>(data, [](const void* p) {
                  std::free(const_cast<void*>(p));
                }));
}

int64_t IntAt(const ConstTensorView& t, int64_t i) {
  switch (t.dtype) {
    case DType::kI8: return Load<int8_t>(t.data, i);
    case DType::kI16: return Load<int16_t>(t.data, i);
    case DType::kI32: return Load<int32_t>(t.data, i);
    case DType::kI64: return Load<int64_t>(t.data, i);
    case DType::kU8:
    case DType::kBool: return Load<uint8_t>(t.data, i);
    case DType::kU16: return Load<uint16_t>(t.data, i);
    case DType::kU32: return Load<uint32_t>(t.data, i);
    case DType::kU64: return static_cast<int64_t>(Load<uint64_t>(t.data, i));
    case DType::kU4:
    case DType::kI4:
    case DType::kU2:
    case DType::kI2: return NarrowToInt(t.dtype, Load<uint8_t>(t.data, i));
    case DType::kF32:
    case DType::kF64:
    case DType::kF16:
    case DType::kBF16:
    case DType::kF8E4M3FN:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2:
    case DType::kF8E5M2FNUZ:
    case DType::kF4E2M1:
    case DType::kF8E8M0:
    case DType::kInvalid: break;
  }
  FUSEE_CHECK(false, "IntAt of a tensor that is not integer");
  return 0;
}

double DoubleAt(const ConstTensorView& t, int64_t i) {
  switch (t.dtype) {
    case DType::kF32: return Load<float>(t.data, i);
    case DType::kF64: return Load<double>(t.data, i);
    case DType::kF16: return static_cast<float>(Load<Half>(t.data, i));
    case DType::kBF16: return static_cast<float>(Load<BFloat16>(t.data, i));
    case DType::kU64: return static_cast<double>(Load<uint64_t>(t.data, i));
    case DType::kF8E4M3FN:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2:
    case DType::kF8E5M2FNUZ:
    case DType::kF4E2M1:
    case DType::kF8E8M0: return NarrowToFloat(t.dtype, Load<uint8_t>(t.data, i));
    default: return static_cast<double>(IntAt(t, i));
  }
}

void StoreInt(const TensorView& t, int64_t i, int64_t v) {
  switch (t.dtype) {
    case DType::kI8: return Store<int8_t>(t.data, i, static_cast<int8_t>(v));
    case DType::kI16: return Store<int16_t>(t.data, i, static_cast<int16_t>(v));
    case DType::kI32: return Store<int32_t>(t.data, i, static_cast<int32_t>(v));
    case DType::kI64: return Store<int64_t>(t.data, i, v);
    case DType::kU8: return Store<uint8_t>(t.data, i, static_cast<uint8_t>(v));
    case DType::kU16: return Store<uint16_t>(t.data, i, static_cast<uint16_t>(v));
    case DType::kU32: return Store<uint32_t>(t.data, i, static_cast<uint32_t>(v));
    case DType::kU64: return Store<uint64_t>(t.data, i, static_cast<uint64_t>(v));
    case DType::kBool: return Store<uint8_t>(t.data, i, v != 0 ? 1 : 0);
    case DType::kF32: return Store<float>(t.data, i, static_cast<float>(v));
    case DType::kF64: return Store<double>(t.data, i, static_cast<double>(v));
    case DType::kU4:
    case DType::kI4:
    case DType::kU2:
    case DType::kI2: return Store<uint8_t>(t.data, i, IntToNarrow(t.dtype, v));
    case DType::kF16:
    case DType::kBF16:
    case DType::kF8E4M3FN:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2:
    case DType::kF8E5M2FNUZ:
    case DType::kF4E2M1:
    case DType::kF8E8M0: return StoreDouble(t, i, static_cast<double>(v));
    case DType::kInvalid: break;
  }
  FUSEE_CHECK(false, "StoreInt into an absent tensor");
}

void StoreDouble(const TensorView& t, int64_t i, double v) {
  switch (t.dtype) {
    case DType::kF32: return Store<float>(t.data, i, static_cast<float>(v));
    case DType::kF64: return Store<double>(t.data, i, v);
    case DType::kF16: return Store<Half>(t.data, i, HalfFromDouble(v));
    case DType::kBF16: return Store<BFloat16>(t.data, i, BFloat16FromDouble(v));
    case DType::kF8E4M3FN:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2:
    case DType::kF8E5M2FNUZ:
    case DType::kF4E2M1:
    case DType::kF8E8M0: return Store<uint8_t>(t.data, i, DoubleToNarrow(t.dtype, v));
    case DType::kBool: return Store<uint8_t>(t.data, i, v != 0 ? 1 : 0);
    case DType::kU64:
      if (v >= 9223372036854775808.0) {
        return Store<uint64_t>(t.data, i,
                               v >= 18446744073709551616.0 ? UINT64_MAX : static_cast<uint64_t>(v));
      }
      return StoreInt(t, i, TruncateToInt64(v));
    default: return StoreInt(t, i, TruncateToInt64(v));
  }
}

}  // namespace fusee
