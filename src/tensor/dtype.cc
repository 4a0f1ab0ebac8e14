#include "tensor/dtype.h"

#include <algorithm>
#include <array>

namespace fusee {
namespace {

constexpr std::string_view kNoKserveName = "INVALID";

struct Row {
  DType dtype;
  int bits;  // in files
  std::string_view name;
  std::string_view kserve = kNoKserveName;
};

constexpr std::array<Row, 23> kRows = {{
    {DType::kF32, 32, "f32", "FP32"},
    {DType::kU8, 8, "u8", "UINT8"},
    {DType::kI8, 8, "i8", "INT8"},
    {DType::kU16, 16, "u16", "UINT16"},
    {DType::kI16, 16, "i16", "INT16"},
    {DType::kI32, 32, "i32", "INT32"},
    {DType::kI64, 64, "i64", "INT64"},
    {DType::kBool, 8, "bool", "BOOL"},
    {DType::kF16, 16, "f16", "FP16"},
    {DType::kF64, 64, "f64", "FP64"},
    {DType::kU32, 32, "u32", "UINT32"},
    {DType::kU64, 64, "u64", "UINT64"},
    {DType::kBF16, 16, "bf16", "BF16"},
    {DType::kF8E4M3FN, 8, "f8e4m3fn"},
    {DType::kF8E4M3FNUZ, 8, "f8e4m3fnuz"},
    {DType::kF8E5M2, 8, "f8e5m2"},
    {DType::kF8E5M2FNUZ, 8, "f8e5m2fnuz"},
    {DType::kU4, 4, "u4"},
    {DType::kI4, 4, "i4"},
    {DType::kF4E2M1, 4, "f4e2m1"},
    {DType::kF8E8M0, 8, "f8e8m0"},
    {DType::kU2, 2, "u2"},
    {DType::kI2, 2, "i2"},
}};

// Index = TensorProto.DataType (onnx.proto, IR version 13).
constexpr std::array<std::string_view, 27> kOnnxNames = {
    "undefined",      "float32",  "uint8",        "int8",           "uint16",
    "int16",          "int32",    "int64",        "string",         "bool",
    "float16",        "float64",  "uint32",       "uint64",         "complex64",
    "complex128",     "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
    "float8e5m2fnuz", "uint4",    "int4",         "float4e2m1",     "float8e8m0",
    "uint2",          "int2"};

const Row* Find(DType dtype) {
  for (const Row& row : kRows) {
    if (row.dtype == dtype) return &row;
  }
  return nullptr;
}

}  // namespace

int BitsPerElement(DType dtype) {
  const Row* row = Find(dtype);
  return row ? std::max(row->bits, 8) : 0;
}

int PackedBitsPerElement(DType dtype) {
  const Row* row = Find(dtype);
  return row ? row->bits : 0;
}

std::string_view DTypeName(DType dtype) {
  const Row* row = Find(dtype);
  return row ? row->name : "invalid";
}

std::string_view KserveName(DType dtype) {
  const Row* row = Find(dtype);
  return row ? row->kserve : kNoKserveName;
}

std::optional<DType> ParseDType(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

std::optional<DType> ParseKserveName(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.kserve == name && name != kNoKserveName) return row.dtype;
  }
  return std::nullopt;
}

std::optional<DType> DTypeFromOnnx(int32_t onnx_type) {
  if (onnx_type <= 0 || onnx_type > 255) return std::nullopt;
  const auto dtype = static_cast<DType>(onnx_type);
  return Find(dtype) ? std::optional(dtype) : std::nullopt;
}

std::string_view OnnxTypeName(int32_t onnx_type) {
  if (onnx_type < 0 || static_cast<size_t>(onnx_type) >= kOnnxNames.size())
    return "an unknown element type";
  return kOnnxNames[static_cast<size_t>(onnx_type)];
}

}  // namespace fusee
