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
  // The narrow types: see below.
  kF8E4M3FN = 17,
  kF8E4M3FNUZ = 18,
  kF8E5M2 = 19,
  kF8E5M2FNUZ = 20,
  kU4 = 21,
  kI4 = 22,
  kF4E2M1 = 23,
  kF8E8M0 = 24,
  kU2 = 25,
  kI2 = 26,
};

// The narrow types are storage of quantised models: they are converted (tensor/narrow.h) and moved,
// never computed with, so neither IsFloat nor IsInt holds for them, and an operator sees them only
// if it says that it takes them (OpDef::narrow, ops/kernel.h).
//
// In memory each element of one takes a whole byte, those of 2 and 4 bits in its low bits: shapes,
// strides, views and whatever moves bytes work as they do for u8, at the price of memory. Signed
// integers are sign-extended, other high bits are zero; readers look at the low bits only, so a
// byte that breaks this rule is read as one that keeps it. Packed, several to a byte and the first
// in the lowest bits, they lie only in files: ONNX tensors and raw input and output files
// (tensor/packed.h).

// Bits an element takes in memory. 0 for kInvalid.
int BitsPerElement(DType dtype);

// Bits an element takes in files: 4 or 2 for the types so narrow, else as in memory.
int PackedBitsPerElement(DType dtype);

// Bytes of one element, a whole number for every type so far.
inline int64_t BytesPerElement(DType dtype) { return BitsPerElement(dtype) / 8; }

// "f32", "i64", "bool", ...: the spelling of IR text, reports and errors.
std::string_view DTypeName(DType dtype);
std::optional<DType> ParseDType(std::string_view name);

// KServe's spelling: "FP32", "INT64", "BOOL", ...; "INVALID" for the narrow types, which the
// protocol has no names for.
std::string_view KserveName(DType dtype);
std::optional<DType> ParseKserveName(std::string_view name);

// ONNX's TensorProto.DataType number to DType; nullopt for those Fusee has no tensors of (string,
// complex, ...).
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

inline bool IsNarrowInt(DType d) {
  return d == DType::kU4 || d == DType::kI4 || d == DType::kU2 || d == DType::kI2;
}
inline bool IsFloat8(DType d) {
  return d == DType::kF8E4M3FN || d == DType::kF8E4M3FNUZ || d == DType::kF8E5M2 ||
         d == DType::kF8E5M2FNUZ;
}
inline bool IsNarrowFloat(DType d) {
  return IsFloat8(d) || d == DType::kF4E2M1 || d == DType::kF8E8M0;
}
inline bool IsNarrow(DType d) { return IsNarrowInt(d) || IsNarrowFloat(d); }

}  // namespace fusee
