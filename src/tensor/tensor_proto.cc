#include "tensor/tensor_proto.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "base/checked_math.h"
#include "tensor/packed.h"

namespace fusee {
namespace {

// Field numbers of TensorProto.
enum Number : uint32_t {
  kDims = 1,
  kDataType = 2,
  kSegment = 3,
  kFloatData = 4,
  kInt32Data = 5,
  kStringData = 6,
  kInt64Data = 7,
  kName = 8,
  kRawData = 9,
  kDoubleData = 10,
  kUint64Data = 11,
  kExternalData = 13,
  kDataLocation = 14,
};

constexpr int32_t kLocationExternal = 1;
// Growing vectors hold the old and the new block at once while they move.
constexpr uint64_t kGrowthFactor = 3;

struct TypedFieldInfo {
  Number number;
  const char* name;
};
// Indexed by TensorProto::Field.
constexpr std::array<TypedFieldInfo, TensorProto::kFieldCount> kTyped = {{
    {kFloatData, "float_data"},
    {kInt32Data, "int32_data"},
    {kInt64Data, "int64_data"},
    {kDoubleData, "double_data"},
    {kUint64Data, "uint64_data"},
    {kStringData, "string_data"},
}};

TensorProto::Field FieldFor(DType dtype) {
  if (IsNarrow(dtype)) return TensorProto::kInt32Data;
  switch (dtype) {
    case DType::kF32: return TensorProto::kFloatData;
    case DType::kF64: return TensorProto::kDoubleData;
    case DType::kI64: return TensorProto::kInt64Data;
    case DType::kU32:
    case DType::kU64: return TensorProto::kUint64Data;
    case DType::kU8:
    case DType::kI8:
    case DType::kU16:
    case DType::kI16:
    case DType::kI32:
    case DType::kBool:
    case DType::kF16:
    case DType::kBF16: return TensorProto::kInt32Data;
    default: break;
  }
  return TensorProto::kFieldCount;
}

Status ReadTyped(wire::Reader& in, TensorProto::Field field, TensorProto* out) {
  TensorProto::TypedField& typed = out->typed[field];
  const char* name = kTyped[field].name;
  uint64_t elements = 0;
  const auto count = [&elements](auto) { ++elements; };
  switch (field) {
    case TensorProto::kFloatData: FUSEE_TRY(in.Fixed<uint32_t>(name, count)); break;
    case TensorProto::kDoubleData: FUSEE_TRY(in.Fixed<uint64_t>(name, count)); break;
    case TensorProto::kInt32Data:
    case TensorProto::kInt64Data:
    case TensorProto::kUint64Data: FUSEE_TRY(in.Varints(name, count)); break;
    case TensorProto::kStringData:
    case TensorProto::kFieldCount: {
      std::string_view ignored;
      FUSEE_TRY(in.String(name, &ignored));
      elements = 1;
      break;
    }
  }
  typed.elements += elements;
  // Not pieces of zero elements: protobuf treats an empty packed field like an absent one.
  if (elements > 0) ++typed.pieces;
  if (elements > 0 && in.is(wire::Type::kBytes)) FUSEE_TRY(in.Bytes(name, &typed.packed));
  return OkStatus();
}

Status ReadDims(wire::Reader& in, std::vector<int64_t>* dims) {
  FUSEE_TRY(in.Charge(in.CountVarints() * sizeof(int64_t) * kGrowthFactor));
  return in.Varints("dims",
                    [dims](uint64_t value) { dims->push_back(static_cast<int64_t>(value)); });
}

Status ReadExternalEntry(wire::Reader in, TensorProto* out) {
  auto& [key, value] = out->external_data.emplace_back();
  while (in.Next()) {
    if (in.field() == 1) FUSEE_TRY(in.String("key", &key));
    if (in.field() == 2) FUSEE_TRY(in.String("value", &value));
  }
  return in.status();
}

// Smallest and largest value of an integer stored in a wider field.
struct Range {
  int64_t min;
  int64_t max;
};
Range StoredRange(DType dtype) {
  // One byte of the packed data, or of the 8 bits, by some writers sign-extended.
  if (IsNarrow(dtype)) return {-0x80, 0xff};
  switch (dtype) {
    case DType::kU8: return {0, 0xff};
    case DType::kI8: return {-0x80, 0x7f};
    case DType::kI16: return {-0x8000, 0x7fff};
    case DType::kU16: return {0, 0xffff};
    case DType::kF16:
    case DType::kBF16: return {-0x8000, 0xffff};  // the 16 bits, by some writers sign-extended
    case DType::kU32: return {0, 0xffffffff};
    case DType::kI32:
      return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
    case DType::kBool: return {0, 1};
    default: return {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  }
}

// Writes the low size_bytes of each element, little-endian, and remembers the first that is out of
// range.
struct Filler {
  std::byte* at;
  std::byte* end;
  size_t element_bytes;
  Range range;
  bool any_word;  // 64-bit and floating-point words need no range
  int64_t index = 0;
  int64_t bad_index = -1;
  int64_t bad_value = 0;

  void operator()(uint64_t word) {
    const auto value = static_cast<int64_t>(word);
    if (!any_word && (value < range.min || value > range.max) && bad_index < 0) {
      bad_index = index;
      bad_value = value;
    }
    ++index;
    if (static_cast<size_t>(end - at) < element_bytes) return;
    std::memcpy(at, &word, element_bytes);
    at += element_bytes;
  }
};

Status FillTyped(const TensorProto& proto, TensorProto::Field field, const TensorView& out) {
  const Number number = kTyped[field].number;
  const char* name = kTyped[field].name;
  const auto bytes = out.bytes();
  const auto element_bytes = static_cast<size_t>(BytesPerElement(out.dtype));
  Filler fill{bytes.data(), bytes.data() + bytes.size(), element_bytes, StoredRange(out.dtype),
              out.dtype == DType::kU64 || field == TensorProto::kFloatData ||
                  field == TensorProto::kDoubleData};
  for (const auto& message : proto.messages) {
    wire::Reader in(message);
    while (in.Next()) {
      if (in.field() != number) continue;
      switch (field) {
        case TensorProto::kFloatData: FUSEE_TRY(in.Fixed<uint32_t>(name, std::ref(fill))); break;
        case TensorProto::kDoubleData: FUSEE_TRY(in.Fixed<uint64_t>(name, std::ref(fill))); break;
        case TensorProto::kInt32Data:
          // An int32 field: only the low 32 bits count, sign-extended.
          FUSEE_TRY(in.Varints(name, [&fill](uint64_t v) {
            fill(static_cast<uint64_t>(
                static_cast<int64_t>(static_cast<int32_t>(static_cast<uint32_t>(v)))));
          }));
          break;
        case TensorProto::kInt64Data:
        case TensorProto::kUint64Data: FUSEE_TRY(in.Varints(name, std::ref(fill))); break;
        case TensorProto::kStringData:
        case TensorProto::kFieldCount: break;
      }
    }
    FUSEE_TRY(in.status());
  }
  if (fill.bad_index >= 0) {
    return InvalidArgument(fmt::format("{}[{}] is {}, expected {} to {} for {}", name,
                                       fill.bad_index, fill.bad_value, fill.range.min,
                                       fill.range.max, DTypeName(out.dtype)));
  }
  return OkStatus();
}

// At most four times the bytes of the message, so the budget need not know.
Result<Tensor> FromPacked(const TensorSpec& spec, std::span<const std::byte> packed) {
  TensorView out;
  FUSEE_TRY(Tensor tensor, Tensor::Allocate(spec.dtype, spec.shape, &out));
  Unpack(packed, out);
  return tensor;
}

Result<Tensor> FromTyped(const TensorProto& proto, const TensorSpec& spec,
                         std::shared_ptr<const void> owner, wire::Budget* budget) {
  const TensorProto::Field field = FieldFor(spec.dtype);
  const TensorProto::TypedField& typed = proto.typed[field];
  // The field has a byte of packed elements in each of its own.
  const bool packed = IsPacked(spec.dtype);
  const auto expected = packed ? spec.size_bytes : static_cast<uint64_t>(spec.shape.elements());
  if (typed.elements != expected) {
    return InvalidArgument(fmt::format("{} has {} elements and raw_data none, expected {} for {}",
                                       kTyped[field].name, typed.elements, expected,
                                       Describe(spec.dtype, spec.shape)));
  }
  const bool memory_order = field == TensorProto::kFloatData || field == TensorProto::kDoubleData;
  if (memory_order && typed.pieces == 1 && typed.packed.size() == spec.size_bytes) {
    return Tensor(spec.dtype, spec.shape, typed.packed.data(), std::move(owner));
  }
  if (budget != nullptr) {
    const uint64_t need = AlignUp(spec.size_bytes + 1, kTensorAlignment) + kTensorAlignment;
    if (need > budget->left) {
      return ResourceExhausted(
          fmt::format("decoding {} takes {} bytes, {} of {} are left; store it as raw_data",
                      kTyped[field].name, need, budget->left, budget->total));
    }
    budget->left -= need;
  }
  TensorView out;
  const Shape shape = packed ? Shape{static_cast<int64_t>(spec.size_bytes)} : spec.shape;
  FUSEE_TRY(Tensor tensor, Tensor::Allocate(spec.dtype, shape, &out));
  FUSEE_TRY(FillTyped(proto, field, out));
  if (packed) return FromPacked(spec, out.bytes());
  return tensor;
}

}  // namespace

Status ReadTensorProto(wire::Reader& in, TensorProto* out) {
  FUSEE_TRY(in.Charge(sizeof(in.message()) * kGrowthFactor));
  out->messages.push_back(in.message());
  while (in.Next()) {
    switch (in.field()) {
      case kDims: FUSEE_TRY(ReadDims(in, &out->dims)); break;
      case kDataType: FUSEE_TRY(in.Int32("data_type", &out->onnx_type)); break;
      case kSegment: out->has_segment = true; break;
      case kFloatData: FUSEE_TRY(ReadTyped(in, TensorProto::kFloatData, out)); break;
      case kInt32Data: FUSEE_TRY(ReadTyped(in, TensorProto::kInt32Data, out)); break;
      case kStringData: FUSEE_TRY(ReadTyped(in, TensorProto::kStringData, out)); break;
      case kInt64Data: FUSEE_TRY(ReadTyped(in, TensorProto::kInt64Data, out)); break;
      case kDoubleData: FUSEE_TRY(ReadTyped(in, TensorProto::kDoubleData, out)); break;
      case kUint64Data: FUSEE_TRY(ReadTyped(in, TensorProto::kUint64Data, out)); break;
      case kName: FUSEE_TRY(in.String("name", &out->name)); break;
      case kRawData: FUSEE_TRY(in.Bytes("raw_data", &out->raw_data)); break;
      case kExternalData:
        FUSEE_TRY(in.Charge(sizeof(out->external_data[0]) * kGrowthFactor));
        FUSEE_TRY(
            ReadExternalEntry(in.Message("external_data", std::ssize(out->external_data)), out));
        break;
      case kDataLocation: {
        int32_t location = 0;
        FUSEE_TRY(in.Int32("data_location", &location));
        out->external = location == kLocationExternal;
        break;
      }
      default: break;
    }
  }
  return in.status();
}

Result<Shape> CheckedShape(std::span<const int64_t> dims, DType dtype) {
  int64_t bits = BitsPerElement(dtype);
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] < 0)
      return InvalidArgument(fmt::format("dims[{}] is {}, expected 0 or more", i, dims[i]));
    // A zero counts as one: strides and partial products of the others are computed too and must
    // not overflow.
    if (!CheckedMul(bits, std::max<int64_t>(dims[i], 1), &bits)) {
      return InvalidArgument(
          fmt::format("the product of dims overflows at dims[{}] = {}", i, dims[i]));
    }
  }
  if (dims.size() > kMaxRank) {
    return Unimplemented(
        fmt::format("{} dimensions; tensors have at most {}", dims.size(), kMaxRank));
  }
  return Shape(dims);
}

Result<TensorSpec> SpecOf(const TensorProto& proto) {
  if (proto.onnx_type == 0) return InvalidArgument("the tensor has no data_type");
  const auto dtype = DTypeFromOnnx(proto.onnx_type);
  if (!dtype) {
    return Unimplemented(fmt::format("tensors of {} (TensorProto type {}) are not supported",
                                     OnnxTypeName(proto.onnx_type), proto.onnx_type));
  }
  if (proto.has_segment) return Unimplemented("a tensor stored in segments is not supported");
  TensorSpec spec;
  spec.dtype = *dtype;
  FUSEE_TRY(spec.shape, CheckedShape(proto.dims, *dtype));
  spec.size_bytes = static_cast<uint64_t>(PackedBytes(*dtype, spec.shape.elements()));
  return spec;
}

Result<Tensor> TensorOverBytes(const TensorSpec& spec, std::span<const std::byte> bytes,
                               std::shared_ptr<const void> owner, std::string_view what) {
  if (bytes.size() != spec.size_bytes) {
    return InvalidArgument(fmt::format("{} has {} bytes, expected {} for {}", what, bytes.size(),
                                       spec.size_bytes, Describe(spec.dtype, spec.shape)));
  }
  if (spec.dtype == DType::kBool) {
    const auto bad =
        std::ranges::find_if(bytes, [](std::byte b) { return static_cast<uint8_t>(b) > 1; });
    if (bad != bytes.end()) {
      return InvalidArgument(fmt::format("{}: element {} of a bool tensor is {}, expected 0 or 1",
                                         what, bad - bytes.begin(), static_cast<int>(*bad)));
    }
  }
  if (IsPacked(spec.dtype)) return FromPacked(spec, bytes);
  return Tensor(spec.dtype, spec.shape, bytes.data(), std::move(owner));
}

Result<Tensor> TensorFromProto(const TensorProto& proto, std::shared_ptr<const void> owner,
                               wire::Budget* budget) {
  FUSEE_TRY(const TensorSpec spec, SpecOf(proto));
  if (proto.external) {
    return FailedPrecondition(
        "the tensor's data lies in another file (data_location EXTERNAL), which is not read here");
  }
  const TensorProto::Field field = FieldFor(spec.dtype);
  for (size_t other = 0; other < proto.typed.size(); ++other) {
    if (proto.typed[other].elements > 0 && (other != field || !proto.raw_data.empty())) {
      return InvalidArgument(fmt::format(
          "{} has {} elements, expected the data of {} in {} or raw_data alone", kTyped[other].name,
          proto.typed[other].elements, DTypeName(spec.dtype), kTyped[field].name));
    }
  }
  if (!proto.raw_data.empty() || (spec.size_bytes == 0 && proto.typed[field].elements == 0)) {
    return TensorOverBytes(spec, proto.raw_data, std::move(owner), "raw_data");
  }
  return FromTyped(proto, spec, std::move(owner), budget);
}

std::string EncodeTensorProto(const ConstTensorView& tensor, std::string_view name) {
  FUSEE_CHECK(tensor.present(), "EncodeTensorProto of an absent tensor");
  wire::Writer out;
  for (const int64_t dim : tensor.shape.dims()) out.Varint(kDims, static_cast<uint64_t>(dim));
  out.Varint(kDataType, static_cast<uint64_t>(tensor.dtype));
  if (!name.empty()) out.Bytes(kName, name);
  if (IsPacked(tensor.dtype)) {
    out.Bytes(kRawData, Pack(tensor));
  } else {
    const auto bytes = tensor.bytes();
    out.Bytes(kRawData, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  return std::move(out.str());
}

}  // namespace fusee
