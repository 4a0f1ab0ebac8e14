#include "compiler/repro.h"

#include <fmt/format.h>

#include <set>

#include "base/wire.h"
#include "tensor/tensor_proto.h"

namespace fusee::compiler {
namespace {

// Field numbers of onnx.proto, IR version 14.
namespace model_field {
constexpr uint32_t kIrVersion = 1, kProducerName = 2, kGraph = 7, kOpsetImport = 8, kFunctions = 25;
}
namespace opset_field {
constexpr uint32_t kDomain = 1, kVersion = 2;
}
namespace graph_field {
constexpr uint32_t kNode = 1, kName = 2, kInitializer = 5, kInput = 11, kOutput = 12;
}
namespace node_field {
constexpr uint32_t kInput = 1, kOutput = 2, kName = 3, kOpType = 4, kAttribute = 5, kDomain = 7,
                   kOverload = 8;
}
namespace attribute_field {
constexpr uint32_t kName = 1;
}
namespace value_field {
constexpr uint32_t kName = 1, kType = 2;
}
namespace type_field {
constexpr uint32_t kTensor = 1;
}
namespace tensor_type_field {
constexpr uint32_t kElemType = 1, kShape = 2;
}
namespace shape_field {
constexpr uint32_t kDim = 1;
}
namespace dim_field {
constexpr uint32_t kValue = 1, kParam = 2;
}

constexpr size_t kMaxModelBytes = (size_t{1} << 31) - 1;
constexpr int64_t kOldestWritten = 8;  // IR version in which every opset since 7 may appear

std::string_view Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string ValueInfo(const RefusedOperand& operand) {
  wire::Writer shape;
  for (const ir::Dim& dim : operand.info.shape) {
    wire::Writer out;
    if (dim.is_constant()) {
      out.Varint(dim_field::kValue, static_cast<uint64_t>(dim.constant()));
    } else {
      out.Bytes(dim_field::kParam, dim.ToString());
    }
    shape.Bytes(shape_field::kDim, out.str());
  }
  wire::Writer tensor;
  tensor.Varint(tensor_type_field::kElemType, static_cast<uint64_t>(operand.info.dtype));
  tensor.Bytes(tensor_type_field::kShape, shape.str());
  wire::Writer type;
  type.Bytes(type_field::kTensor, tensor.str());
  wire::Writer value;
  value.Bytes(value_field::kName, operand.name);
  value.Bytes(value_field::kType, type.str());
  return value.str();
}

// The bytes of an operand that the importer knows without running anything: a constant, or integers
// computed from shapes.
Result<Tensor> KnownBytes(const RefusedOperand& operand) {
  if (operand.constant.present()) return operand.constant;
  if (!operand.info.elements || !ir::IsStatic(operand.info.shape)) return Tensor();
  for (const ir::Dim& d : *operand.info.elements) {
    if (!d.is_constant()) return Tensor();
  }
  TensorView out;
  FUSEE_TRY(Tensor tensor,
            Tensor::Allocate(operand.info.dtype, ir::ToShape(operand.info.shape), &out));
  for (size_t i = 0; i < operand.info.elements->size(); ++i)
    StoreInt(out, static_cast<int64_t>(i), (*operand.info.elements)[i].constant());
  return tensor;
}

// "--shape-profile x:1x4,8x4" from the ranges of the operand's dimensions; empty when static.
std::string ProfileOption(const RefusedOperand& operand, const ir::SymbolRanges& symbols) {
  if (ir::IsStatic(operand.info.shape)) return "";
  std::vector<int64_t> least, most;
  for (const ir::Dim& dim : operand.info.shape) {
    const ir::DimRange range = dim.Range(symbols);
    least.push_back(std::max<int64_t>(0, range.min));
    most.push_back(std::max<int64_t>(0, range.max));
  }
  return fmt::format("--shape-profile {}:{},{}", operand.name, fmt::join(least, "x"),
                     fmt::join(most, "x"));
}

Status AddOperand(const RefusedOperand& operand, const ir::SymbolRanges& symbols,
                  wire::Writer* graph, Repro* repro) {
  if (operand.unreadable != nullptr && !operand.unreadable->message.empty()) {
    graph->Bytes(graph_field::kInitializer, Text(operand.unreadable->message));
    return OkStatus();
  }
  if (operand.info.dtype == DType::kInvalid) {
    return FailedPrecondition(
        fmt::format("nothing is known of operand '{}'; say the shapes of the model's inputs with "
                    "--shape-profile, or run onnx.shape_inference on the model first, which writes "
                    "the types of all values into it",
                    operand.name));
  }
  FUSEE_TRY(const Tensor known, KnownBytes(operand));
  if (known.present()) {
    graph->Bytes(graph_field::kInitializer, EncodeTensorProto(known.view(), operand.name));
    return OkStatus();
  }
  graph->Bytes(graph_field::kInput, ValueInfo(operand));
  const std::string option = ProfileOption(operand, symbols);
  if (!option.empty()) repro->options += (repro->options.empty() ? "" : " ") + option;
  return OkStatus();
}

// A result, with the type that the model declares for it, if it does.
std::string Output(const onnx::Model& model, const onnx::Function* function,
                   std::string_view name) {
  const std::vector<onnx::ValueDecl> none;
  const auto& inner = function == nullptr ? model.graph.value_infos : function->value_infos;
  const auto& outer = function == nullptr ? model.graph.outputs : none;
  for (const auto* list : {&inner, &outer}) {
    for (const onnx::ValueDecl& decl : *list) {
      if (decl.name == name && !decl.message.empty()) return std::string(Text(decl.message));
    }
  }
  // A type is required; the element type "undefined" leaves it to whoever infers it.
  wire::Writer tensor;
  tensor.Varint(tensor_type_field::kElemType, 0);
  wire::Writer type;
  type.Bytes(type_field::kTensor, tensor.str());
  wire::Writer value;
  value.Bytes(value_field::kName, name);
  value.Bytes(value_field::kType, type.str());
  return value.str();
}

bool RefersToFunction(std::span<const onnx::Node> nodes) {
  return std::ranges::any_of(nodes, [](const onnx::Node& n) {
    return std::ranges::any_of(n.attributes, [](const onnx::Attribute& a) {
      return !a.ref_attr_name.empty() || std::ranges::any_of(a.graphs, [](const auto& graph) {
        return RefersToFunction(graph->nodes);
      });
    });
  });
}

// Node of a function: what it refers to outside of itself put in.
Result<std::string> BoundNode(const Refusal& refusal) {
  const onnx::Node& node = *refusal.node;
  wire::Writer out;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const bool absent = i < refusal.operands.size() && refusal.operands[i].name.empty();
    out.Bytes(node_field::kInput, absent ? std::string_view() : node.inputs[i]);
  }
  for (const std::string_view name : node.outputs) out.Bytes(node_field::kOutput, name);
  out.Bytes(node_field::kOpType, node.op_type);
  if (!node.domain.empty()) out.Bytes(node_field::kDomain, node.domain);
  if (!node.overload.empty()) out.Bytes(node_field::kOverload, node.overload);
  for (const onnx::Attribute& a : node.attributes) {
    for (const auto& graph : a.graphs) {
      if (!RefersToFunction(graph->nodes)) continue;
      return FailedPrecondition(fmt::format(
          "a graph in attribute '{}' refers to attributes of the function around it, so that the "
          "node cannot stand alone; write functions out with onnx.inliner first",
          a.name));
    }
    const auto bound = ResolveAttribute(a, refusal.bindings.get());
    if (bound.ok() && *bound == nullptr) continue;  // absent
    // A reference that is wrong stays as it is, and is refused in the same words or nearly.
    wire::Writer attribute;
    attribute.str() = Text((bound.ok() ? *bound : &a)->message);
    attribute.Bytes(attribute_field::kName, a.name);
    out.Bytes(node_field::kAttribute, attribute.str());
  }
  return std::move(out.str());
}

}  // namespace

Result<Repro> WriteRepro(const onnx::Model& model, const Refusal& refusal,
                         const ir::SymbolRanges& symbols) {
  const onnx::Node& node = *refusal.node;
  Repro repro;
  wire::Writer graph;
  wire::Writer named;
  if (refusal.function != nullptr) {
    FUSEE_TRY(named.str(), BoundNode(refusal));
  } else {
    named.str() = Text(node.message);
  }
  // Of a scalar field that occurs twice the last one counts: the name that messages use, which may
  // come from the node's place in the model.
  named.Bytes(node_field::kName, node.DisplayName());
  graph.Bytes(graph_field::kNode, named.str());
  graph.Bytes(graph_field::kName, "refused");
  std::set<std::string_view> written;
  for (const RefusedOperand& operand : refusal.operands) {
    if (operand.name.empty() || !written.insert(operand.name).second) continue;
    FUSEE_TRY(AddOperand(operand, symbols, &graph, &repro));
  }
  for (const std::string_view name : node.outputs) {
    if (!name.empty()) graph.Bytes(graph_field::kOutput, Output(model, refusal.function, name));
  }
  wire::Writer out;
  out.Varint(model_field::kIrVersion,
             static_cast<uint64_t>(std::max(model.ir_version, kOldestWritten)));
  out.Bytes(model_field::kProducerName, "fusee inspect capability --repro");
  out.Bytes(model_field::kGraph, graph.str());
  const auto& opsets =
      refusal.function == nullptr ? model.opset_imports : refusal.function->opset_imports;
  for (const auto& [domain, version] : opsets) {
    wire::Writer opset;
    if (!domain.empty()) opset.Bytes(opset_field::kDomain, domain);
    opset.Varint(opset_field::kVersion, static_cast<uint64_t>(version));
    out.Bytes(model_field::kOpsetImport, opset.str());
  }
  const bool calls_function = std::ranges::any_of(model.functions, [&](const onnx::Function& f) {
    return f.domain == node.domain && f.name == node.op_type && f.overload == node.overload;
  });
  if (calls_function) {
    for (const onnx::Function& f : model.functions)
      out.Bytes(model_field::kFunctions, Text(f.message));
  }
  repro.model = std::move(out.str());
  if (repro.model.size() > kMaxModelBytes) {
    return ResourceExhausted(
        fmt::format("the node with its constants takes {} bytes, an ONNX file at most {}",
                    repro.model.size(), kMaxModelBytes));
  }
  return repro;
}

}  // namespace fusee::compiler
