// Element types. The numbers are stored in plans and equal ONNX's TensorProto.DataType; never
// renumber.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fusee {

enum class DType : uint8_t {
  kInvalid = 0,
  kF32 = 1,
  kU8 = 2,
  kI8 = 3,
  kU16 = 4,
  kI16 = 5,
  kI32 = 6,
  kI64 = 7,
  // 8 is ONNX's string: never a tensor here.
  kBool = 9,  // one byte, 0 or 1
  kF16 = 10,
  kF64 = 11,
  kU32 = 12,
  kU64 = 13,
  kBF16 = 16,
};

// Bits, not bytes, so that 4-bit types can join without changing callers. 0 for kInvalid.
int BitsPerElement(DType dtype);

// Bytes of one element, a whole number for every type so far.
inline int64_t BytesPerElement(DType dtype) { return BitsPerElement(dtype) / 8; }

// "f32", "i64", "bool", ...: the spelling of IR text, reports and errors.
std::string_view DTypeName(DType dtype);
std::optional<DType> ParseDType(std::string_view name);

// KServe's spelling: "FP32", "INT64", "BOOL", ...
std::string_view KserveName(DType dtype);
std::optional<DType> ParseKserveName(std::string_view name);

// ONNX's TensorProto.DataType number to DType; nullopt for those Fusee has no tensors of (string,
// complex, fp8, ...).
std::optional<DType> DTypeFromOnnx(int32_t onnx_type);
// A name for any ONNX number, "string" or "float8e4m3fn" or "type 99", for refusals.
std::string_view OnnxTypeName(int32_t onnx_type);

inline bool IsFloat(DType d) {
  return d == DType::kF32 || d == DType::kF64 || d == DType::kF16 || d == DType::kBF16;
}
inline bool IsSignedInt(DType d) {
  return d == DType::kI8 || d == DType::kI16 || d == DType::kI32 || d == DType::kI64;
}
inline bool IsUnsignedInt(DType d) {
  return d == DType::kU8 || d == DType::kU16 || d == DType::kU32 || d == DType::kU64;
}
inline bool IsInt(DType d) { return IsSignedInt(d) || IsUnsignedInt(d); }

}  // namespace fusee
