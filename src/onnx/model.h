// A checked, read-only view of an ONNX model.
//
// The bytes are untrusted. Load maps the file, reads protobuf's wire format with bounds on
// everything, and returns plain structs whose strings and weights point into the mapping (weights
// are never copied; the old varint fields int32_data, int64_data, uint64_data are decoded into
// owned buffers). Nothing here knows operators.
//
// Contract: any bytes give a Model or a Status; no crash, no unbounded time or memory: at most
// limits.max_nodes nodes and so on, nesting at most limits.max_depth, memory at most 1.2 x the file
// + 64 MiB.
//
// Judged here: the wire format, field types, attribute types against their values, limits. A
// tensor's content is judged too, but what is wrong with it becomes TensorRef::problem. Names,
// order and operators are the importer's. A message that occurs twice where one is allowed is
// merged, as protobuf has it. Unknown fields are skipped; UTF-8 is not enforced; training_info, doc
// strings and device configurations are not read.
//
// Lifetime: everything borrowed from a Model lives as long as it; Tensors share the mapping.
// Thread-safety: immutable after Load.
// Source: onnx/onnx.proto of IR version 14 (1 to 99 are accepted),
// https://github.com/onnx/onnx/blob/main/docs/IR.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "tensor/tensor.h"

namespace fusee::onnx {

// Untrusted counts stop here. The defaults admit every model of the public zoos with room to spare.
struct Limits {
  size_t max_nodes = 1u << 20;
  size_t max_initializers = 1u << 20;
  size_t max_attribute_elements = 1u << 24;
  int max_depth = 16;                // nested graphs
  size_t max_external_files = 4096;  // each one is a mapping
  // What the view itself may take beside the mapped file: a fifth of the file plus this.
  size_t memory_slack_bytes = 64u << 20;
};

// TensorProto without its conversion: what it says of itself.
struct TensorRef {
  std::string_view name;
  int32_t onnx_type = 0;  // TensorProto.DataType
  std::vector<int64_t> dims;
  // Present when the type is one Fusee has and the payload is complete; external data is resolved.
  Tensor tensor;
  // Why tensor is absent, with its place in the file: an unsupported type, a wrong size, a missing
  // file, sparse. Not ok exactly when tensor is absent. A tensor that nobody uses does no harm.
  Status problem;
  std::span<const std::byte> message;  // the TensorProto's own bytes; empty for a sparse one
};

// One dimension of a declared type: a number (0 or more; large ones are not judged), a name, or
// neither (absent, or the -1 of old exporters).
struct DimDecl {
  std::optional<int64_t> value;
  std::string_view name;
};

// ValueInfoProto: a declared graph input, output or intermediate.
struct ValueDecl {
  std::string_view name;
  enum class Kind : uint8_t {
    kTensor,
    kSequence,
    kOptional,
    kMap,
    kSparse,
    kOpaque,
    kUntyped
  } kind = Kind::kUntyped;
  int32_t onnx_type = 0;  // tensors
  bool has_shape = false;
  std::vector<DimDecl> shape;
  std::span<const std::byte> message;  // the ValueInfoProto's own bytes
};

enum class AttrType : uint8_t {  // AttributeProto.AttributeType
  kUndefined = 0,
  kFloat = 1,
  kInt = 2,
  kString = 3,
  kTensor = 4,
  kGraph = 5,
  kFloats = 6,
  kInts = 7,
  kStrings = 8,
  kTensors = 9,
  kGraphs = 10,
  kSparseTensor = 11,
  kSparseTensors = 12,
  kTypeProto = 13,
  kTypeProtos = 14
};
// Sparse tensors and type protos are named by their type only; their values are not read.

struct Graph;

struct Attribute {
  std::string_view name;
  AttrType type = AttrType::kUndefined;  // taken from the value where an old file gives none
  std::string_view ref_attr_name;        // inside model-local functions
  int64_t i = 0;
  float f = 0;
  std::string_view s;
  std::vector<int64_t> ints;
  std::vector<float> floats;
  std::vector<std::string_view> strings;
  std::vector<TensorRef> tensors;              // one for kTensor
  std::vector<std::unique_ptr<Graph>> graphs;  // one for kGraph
  std::span<const std::byte> message;          // the AttributeProto's own bytes
};

struct Node {
  std::string_view name;  // may be empty; use DisplayName for messages
  std::string_view op_type;
  std::string_view domain;  // "" and "ai.onnx" both read as ""
  std::string_view overload;
  std::vector<std::string_view> inputs;  // "" is an absent optional input
  std::vector<std::string_view> outputs;
  std::vector<Attribute> attributes;
  size_t index = 0;  // position in its graph
  // The NodeProto's own bytes, so that it can be written into another model as it stands.
  std::span<const std::byte> message;
  // The name, or "Conv_17" from operator and position when the model gives none.
  std::string DisplayName() const;
  const Attribute* FindAttribute(std::string_view attribute) const;
};

struct Graph {
  std::string_view name;
  std::vector<Node>
      nodes;  // in file order, which ONNX requires to be topological; not checked here
  std::vector<TensorRef> initializers;  // sparse ones too, as problems
  std::vector<ValueDecl> inputs, outputs, value_infos;
};

// A model-local function. Inside it, attributes of nodes may be references (ref_attr_name) to its
// own.
struct Function {
  std::string_view name, domain, overload;
  std::vector<std::string_view> inputs, outputs;
  std::vector<std::string_view> attributes;   // those without a default
  std::vector<Attribute> attribute_defaults;  // those with one
  std::vector<Node> nodes;
  std::vector<ValueDecl> value_infos;
  std::vector<std::pair<std::string_view, int64_t>> opset_imports;
  std::span<const std::byte> message;  // the FunctionProto's own bytes
};

struct Model {
  int64_t ir_version = 0;
  std::string_view producer_name, producer_version, domain;
  int64_t model_version = 0;
  std::vector<std::pair<std::string_view, int64_t>>
      opset_imports;  // domain ("" for ai.onnx), version
  std::vector<std::pair<std::string_view, std::string_view>> metadata;
  Graph graph;
  std::vector<Function> functions;
  std::shared_ptr<const MappedFile> file;   // owner of what the views point to
  std::shared_ptr<const void> owned_bytes;  // the same for Parse from memory

  // Version imported for a domain, nullopt when the model does not import it.
  std::optional<int64_t> OpsetVersion(std::string_view opset_domain) const;
};

// Maps and reads a model; external data is looked up beneath the model's folder only (no links, no
// ".."). Cost: proportional to the file without raw_data, whose pages are not touched (bool tensors
// excepted). Errors: kNotFound, kInvalidArgument (not ONNX: with byte offset and field),
// kResourceExhausted (a limit).
Result<std::shared_ptr<const Model>> Load(const std::string& path, const Limits& limits = {});

// The same from bytes that the caller keeps alive for the Model's life; external data is refused.
Result<std::shared_ptr<const Model>> Parse(std::span<const std::byte> bytes,
                                           const Limits& limits = {});

// One serialised TensorProto (a test's input_0.pb). Tensors share ownership of the file.
Result<Tensor> LoadTensorFile(const std::string& path);

}  // namespace fusee::onnx
