// ONNX's TensorProto, read from untrusted bytes and written: the weights of a model and the *.pb
// files of its tests.
//
// Two steps, because a message may be split and its fields come in any order: ReadTensorProto
// collects what the message says, TensorFromProto judges it and makes the tensor.
//
// Weights are not copied where the file already holds them in memory order: raw_data, and
// float_data or double_data in one packed piece. The other typed fields (int32_data, which also
// carries 8- and 16-bit types, bool, f16 and bf16, float8 and the bytes of packed elements;
// int64_data; uint64_data) are varints and become owned, aligned buffers. So do elements of 2 and 4
// bits, which files pack (tensor/packed.h).
//
// Source: TensorProto in onnx/onnx.proto, IR version 14.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/wire.h"
#include "tensor/tensor.h"

namespace fusee {

// What a TensorProto says of itself, unjudged. Views point into the message.
struct TensorProto {
  // A typed field: how many elements in how many pieces; the bytes of the last packed piece.
  struct TypedField {
    uint64_t elements = 0;
    uint64_t pieces = 0;
    std::span<const std::byte> packed;
  };
  enum Field : uint8_t {
    kFloatData,
    kInt32Data,
    kInt64Data,
    kDoubleData,
    kUint64Data,
    kStringData,
    kFieldCount
  };

  std::string_view name;
  int32_t onnx_type = 0;  // TensorProto.DataType
  std::vector<int64_t> dims;
  std::span<const std::byte> raw_data;
  bool has_segment = false;
  bool external = false;
  std::vector<std::pair<std::string_view, std::string_view>> external_data;  // keys and values
  std::array<TypedField, kFieldCount> typed;
  // The message's occurrences, usually one: typed fields are decoded from here once their type is
  // known.
  std::vector<std::span<const std::byte>> messages;
};

// Reads one occurrence of a message into out; a second occurrence merges, as protobuf has it
// (repeated fields append, scalars are replaced). Charges in's budget. Errors: kInvalidArgument,
// kResourceExhausted, with byte offset and path.
Status ReadTensorProto(wire::Reader& in, TensorProto* out);

// Type, shape and size of a tensor whose type Fusee has.
struct TensorSpec {
  DType dtype = DType::kInvalid;
  Shape shape;
  uint64_t size_bytes = 0;  // in the file: packed
};

// Errors: kUnimplemented (a type Fusee has no tensors of, by name; more than kMaxRank dimensions),
// kInvalidArgument (no type, a negative dimension, a product that overflows).
Result<TensorSpec> SpecOf(const TensorProto& proto);

// dims as a Shape whose size in bytes, strides and products of any sub-range fit int64_t, zeros
// counted as ones. Errors: as SpecOf.
Result<Shape> CheckedShape(std::span<const int64_t> dims, DType dtype);

// The tensor, its bytes borrowed from the message where possible; owner keeps the message alive
// (null: the caller does). External data is refused here (kFailedPrecondition): the onnx room
// resolves it. Errors: as SpecOf; kInvalidArgument when the payload's size or a value's range does
// not fit; kResourceExhausted.
Result<Tensor> TensorFromProto(const TensorProto& proto, std::shared_ptr<const void> owner,
                               wire::Budget* budget);

// A tensor over given bytes, checked: size equal, bool bytes 0 or 1 (any other is undefined
// behaviour to read as bool). Packed elements are copied out, a byte each. what names the bytes in
// messages ("raw_data").
Result<Tensor> TensorOverBytes(const TensorSpec& spec, std::span<const std::byte> bytes,
                               std::shared_ptr<const void> owner, std::string_view what);

// A serialised TensorProto with raw_data, packed as the type asks. Precondition: present.
std::string EncodeTensorProto(const ConstTensorView& tensor, std::string_view name = "");

}  // namespace fusee
