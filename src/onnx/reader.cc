#include "onnx/reader.h"

#include <fmt/format.h>

#include <bit>
#include <optional>

namespace fusee::onnx {
namespace {

using wire::Reader;
using wire::Type;
using OpsetImports = std::vector<std::pair<std::string_view, int64_t>>;

// Domains are a handful; the look-up is linear.
constexpr size_t kMaxOpsetImports = 256;
// ONNX is at 14 after nine years. Beyond this the file is something else.
constexpr int64_t kMaxIrVersion = 99;
constexpr size_t kAllocationOverheadBytes = 32;

// Makes room for `more` elements and takes their bytes from the budget. A vector that already holds
// some grows by doubling instead (an exact reserve per occurrence would be quadratic), which needs
// up to three times the bytes.
template <typename T>
Status Reserve(const Reader& in, size_t more, std::vector<T>* vector) {
  if (more == 0) return OkStatus();
  const size_t factor = vector->empty() ? 1 : 3;
  FUSEE_TRY(in.Charge(more * sizeof(T) * factor + kAllocationOverheadBytes));
  if (vector->empty()) vector->reserve(more);
  return OkStatus();
}

// The next element of a repeated message: its reader, which knows its index, and its place in the
// vector.
template <typename T>
std::pair<Reader, T*> Element(const Reader& in, const char* name, std::vector<T>* vector) {
  Reader message = in.Message(name, std::ssize(*vector));
  return {std::move(message), &vector->emplace_back()};
}

Status ReadString(const Reader& in, const char* name, std::vector<std::string_view>* out) {
  return in.String(name, &out->emplace_back());
}

std::string_view CanonicalDomain(std::string_view domain) {
  return domain == "ai.onnx" ? "" : domain;
}

Status ReadDomain(const Reader& in, std::string_view* domain) {
  FUSEE_TRY(in.String("domain", domain));
  *domain = CanonicalDomain(*domain);
  return OkStatus();
}

Status ReadEntry(Reader in, std::pair<std::string_view, std::string_view>* entry) {
  while (in.Next()) {
    if (in.field() == 1) FUSEE_TRY(in.String("key", &entry->first));
    if (in.field() == 2) FUSEE_TRY(in.String("value", &entry->second));
  }
  return in.status();
}

constexpr const char* kAttrTypeNames[] = {
    "UNDEFINED",      "FLOAT",      "INT",        "STRING",  "TENSOR", "GRAPH",
    "FLOATS",         "INTS",       "STRINGS",    "TENSORS", "GRAPHS", "SPARSE_TENSOR",
    "SPARSE_TENSORS", "TYPE_PROTO", "TYPE_PROTOS"};
constexpr int32_t kMaxAttrType = 14;

// AttributeProto's value field numbers, by AttrType.
constexpr uint32_t kAttrValueField[] = {0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 22, 23, 14, 15};

// The value fields that an attribute's bytes hold, as bits by AttrType.
class PresentValues {
 public:
  void Note(uint32_t field) {
    for (uint32_t type = 1; type <= kMaxAttrType; ++type) {
      if (kAttrValueField[type] == field) bits_ |= 1u << type;
    }
  }
  bool Has(AttrType type) const { return (bits_ >> static_cast<uint32_t>(type) & 1u) != 0; }
  int count() const { return std::popcount(bits_); }
  // Any one of them; kUndefined when there is none.
  AttrType first() const {
    return bits_ == 0 ? AttrType::kUndefined : static_cast<AttrType>(std::countr_zero(bits_));
  }

 private:
  uint32_t bits_ = 0;
};

// Settles an attribute's type and refuses values that contradict it.
Status JudgeAttribute(const Reader& in, int32_t declared, PresentValues present,
                      Attribute* attribute) {
  const auto refuse = [&](std::string_view what) {
    return InvalidArgument(
        fmt::format("{} '{}': {}", in.Place(), attribute->name.substr(0, 200), what));
  };
  if (declared < 0 || declared > kMaxAttrType) {
    return refuse(fmt::format("type {}, expected 1 to {}", declared, kMaxAttrType));
  }
  attribute->type = static_cast<AttrType>(declared);
  // Files of IR version 1 carry no type; the one value present tells it.
  if (declared == 0) attribute->type = present.first();
  if (present.count() > 1) return refuse("values of more than one type, expected one");
  if (present.count() == 1 && !present.Has(attribute->type)) {
    return refuse(fmt::format("type {}, but a value of type {}", kAttrTypeNames[declared],
                              kAttrTypeNames[static_cast<int>(present.first())]));
  }
  const bool needs_value =
      attribute->type == AttrType::kTensor || attribute->type == AttrType::kGraph ||
      attribute->type == AttrType::kSparseTensor || attribute->type == AttrType::kTypeProto;
  if (needs_value && present.count() == 0 && attribute->ref_attr_name.empty()) {
    return refuse(
        fmt::format("type {} without a value", kAttrTypeNames[static_cast<int>(attribute->type)]));
  }
  return OkStatus();
}

}  // namespace

Status ModelReader::Count(const Reader& in, size_t more, size_t limit, const char* what,
                          size_t* total) {
  *total += more;
  if (*total <= limit) return OkStatus();
  return ResourceExhausted(
      fmt::format("{}: {} {} so far, the limit is {}", in.Place(), *total, what, limit));
}

Status ModelReader::ReadModel(Reader in, Model* model) {
  const auto counts = in.CountFields<26>();
  FUSEE_TRY(Reserve(in, counts[8], &model->opset_imports));
  FUSEE_TRY(Reserve(in, counts[14], &model->metadata));
  FUSEE_TRY(Reserve(in, counts[25], &model->functions));
  bool has_graph = false;
  while (in.Next()) {
    switch (in.field()) {
      case 1: FUSEE_TRY(in.Int64("ir_version", &model->ir_version)); break;
      case 2: FUSEE_TRY(in.String("producer_name", &model->producer_name)); break;
      case 3: FUSEE_TRY(in.String("producer_version", &model->producer_version)); break;
      case 4: FUSEE_TRY(in.String("domain", &model->domain)); break;
      case 5: FUSEE_TRY(in.Int64("model_version", &model->model_version)); break;
      case 7:
        has_graph = true;
        FUSEE_TRY(ReadGraph(in.Message("graph"), 0, &model->graph));
        break;
      case 8:
        FUSEE_TRY(ReadOpsetImport(in.Message("opset_import", std::ssize(model->opset_imports)),
                                  &model->opset_imports));
        break;
      case 14: {
        const auto [message, entry] = Element(in, "metadata_props", &model->metadata);
        FUSEE_TRY(ReadEntry(message, entry));
        break;
      }
      case 25: {
        const auto [message, function] = Element(in, "functions", &model->functions);
        function->message = message.message();
        FUSEE_TRY(ReadFunction(message, function));
        break;
      }
      default: break;  // doc_string, training_info (not used at inference), configuration
    }
  }
  FUSEE_TRY(in.status());
  if (model->ir_version < 1 || model->ir_version > kMaxIrVersion) {
    return InvalidArgument(
        fmt::format("ir_version is {}, expected 1 to {}", model->ir_version, kMaxIrVersion));
  }
  if (!has_graph) return InvalidArgument("there is no graph");
  return OkStatus();
}

Status ModelReader::ReadGraph(Reader in, int depth, Graph* graph) {
  if (depth > limits_.max_depth) {
    return ResourceExhausted(fmt::format("{}: graphs nested {} deep, the limit is {}", in.Place(),
                                         depth, limits_.max_depth));
  }
  const auto counts = in.CountFields<16>();
  FUSEE_TRY(Count(in, counts[1], limits_.max_nodes, "nodes", &nodes_));
  FUSEE_TRY(
      Count(in, counts[5] + counts[15], limits_.max_initializers, "initializers", &initializers_));
  FUSEE_TRY(Reserve(in, counts[1], &graph->nodes));
  FUSEE_TRY(Reserve(in, counts[5] + counts[15], &graph->initializers));
  FUSEE_TRY(Reserve(in, counts[11], &graph->inputs));
  FUSEE_TRY(Reserve(in, counts[12], &graph->outputs));
  FUSEE_TRY(Reserve(in, counts[13], &graph->value_infos));
  int64_t sparse = 0;
  while (in.Next()) {
    switch (in.field()) {
      case 1: {
        const auto [message, node] = Element(in, "node", &graph->nodes);
        node->index = graph->nodes.size() - 1;
        FUSEE_TRY(ReadNode(message, depth, node));
        break;
      }
      case 2: FUSEE_TRY(in.String("name", &graph->name)); break;
      case 5: {
        const Reader message = in.Message("initializer", std::ssize(graph->initializers) - sparse);
        FUSEE_TRY(ReadTensor(message, &graph->initializers.emplace_back()));
        break;
      }
      case 11: {
        const auto [message, value] = Element(in, "input", &graph->inputs);
        FUSEE_TRY(ReadValue(message, value));
        break;
      }
      case 12: {
        const auto [message, value] = Element(in, "output", &graph->outputs);
        FUSEE_TRY(ReadValue(message, value));
        break;
      }
      case 13: {
        const auto [message, value] = Element(in, "value_info", &graph->value_infos);
        FUSEE_TRY(ReadValue(message, value));
        break;
      }
      case 15:
        FUSEE_TRY(ReadSparseInitializer(in.Message("sparse_initializer", sparse++),
                                        &graph->initializers.emplace_back()));
        break;
      default: break;  // doc_string, quantization_annotation, metadata_props
    }
  }
  return in.status();
}

Status ModelReader::ReadNode(Reader in, int depth, Node* node) {
  node->message = in.message();
  const auto counts = in.CountFields<6>();
  FUSEE_TRY(Reserve(in, counts[1], &node->inputs));
  FUSEE_TRY(Reserve(in, counts[2], &node->outputs));
  FUSEE_TRY(Reserve(in, counts[5], &node->attributes));
  while (in.Next()) {
    switch (in.field()) {
      case 1: FUSEE_TRY(ReadString(in, "input", &node->inputs)); break;
      case 2: FUSEE_TRY(ReadString(in, "output", &node->outputs)); break;
      case 3: FUSEE_TRY(in.String("name", &node->name)); break;
      case 4: FUSEE_TRY(in.String("op_type", &node->op_type)); break;
      case 5: {
        const auto [message, attribute] = Element(in, "attribute", &node->attributes);
        FUSEE_TRY(ReadAttribute(message, depth, attribute));
        break;
      }
      case 7: FUSEE_TRY(ReadDomain(in, &node->domain)); break;
      case 8: FUSEE_TRY(in.String("overload", &node->overload)); break;
      default: break;  // doc_string, metadata_props, device_configurations
    }
  }
  return in.status();
}

Status ModelReader::ReadAttribute(Reader in, int depth, Attribute* attribute) {
  attribute->message = in.message();
  int32_t declared = 0;
  PresentValues present;
  // The singular tensor and graph may occur twice, and then merge.
  std::optional<TensorProto> tensor;
  const auto counts = in.CountFields<12>();
  FUSEE_TRY(Count(in, counts[9] + counts[10] + counts[11], limits_.max_attribute_elements,
                  "attribute elements", &attribute_elements_));
  FUSEE_TRY(Reserve(in, counts[9], &attribute->strings));
  FUSEE_TRY(Reserve(in, counts[10] + (counts[5] > 0 ? 1 : 0), &attribute->tensors));
  FUSEE_TRY(Reserve(in, counts[11] + (counts[6] > 0 ? 1 : 0), &attribute->graphs));
  std::unique_ptr<Graph> graph;
  while (in.Next()) {
    present.Note(in.field());
    switch (in.field()) {
      case 1: FUSEE_TRY(in.String("name", &attribute->name)); break;
      case 2: FUSEE_TRY(in.Float("f", &attribute->f)); break;
      case 3: FUSEE_TRY(in.Int64("i", &attribute->i)); break;
      case 4: FUSEE_TRY(in.String("s", &attribute->s)); break;
      case 5: {
        if (!tensor) tensor.emplace();
        Reader message = in.Message("t");
        FUSEE_TRY(ReadTensorProto(message, &*tensor));
        break;
      }
      case 6:
        if (!graph) {
          FUSEE_TRY(in.Charge(sizeof(Graph) + kAllocationOverheadBytes));
          graph = std::make_unique<Graph>();
        }
        FUSEE_TRY(ReadGraph(in.Message("g"), depth + 1, graph.get()));
        break;
      case 7: {
        const size_t more = in.is(Type::kBytes) ? in.byte_count() / sizeof(float) : 1;
        FUSEE_TRY(Count(in, more, limits_.max_attribute_elements, "attribute elements",
                        &attribute_elements_));
        FUSEE_TRY(Reserve(in, more, &attribute->floats));
        FUSEE_TRY(in.Fixed<uint32_t>("floats", [&](uint32_t bits) {
          attribute->floats.push_back(std::bit_cast<float>(bits));
        }));
        break;
      }
      case 8: {
        const size_t more = in.CountVarints();
        FUSEE_TRY(Count(in, more, limits_.max_attribute_elements, "attribute elements",
                        &attribute_elements_));
        FUSEE_TRY(Reserve(in, more, &attribute->ints));
        FUSEE_TRY(in.Varints(
            "ints", [&](uint64_t v) { attribute->ints.push_back(static_cast<int64_t>(v)); }));
        break;
      }
      case 9: FUSEE_TRY(ReadString(in, "strings", &attribute->strings)); break;
      case 10: {
        const auto [message, element] = Element(in, "tensors", &attribute->tensors);
        FUSEE_TRY(ReadTensor(message, element));
        break;
      }
      case 11: {
        FUSEE_TRY(in.Charge(sizeof(Graph) + kAllocationOverheadBytes));
        const Reader message = in.Message("graphs", std::ssize(attribute->graphs));
        FUSEE_TRY(ReadGraph(message, depth + 1,
                            attribute->graphs.emplace_back(std::make_unique<Graph>()).get()));
        break;
      }
      case 20: FUSEE_TRY(in.Int32("type", &declared)); break;
      case 21: FUSEE_TRY(in.String("ref_attr_name", &attribute->ref_attr_name)); break;
      default: break;  // doc_string; sparse tensors and type protos: only their presence matters
    }
  }
  FUSEE_TRY(in.status());
  FUSEE_TRY(JudgeAttribute(in, declared, present, attribute));
  if (tensor) FUSEE_TRY(FinishTensor(in, *tensor, &attribute->tensors.emplace_back()));
  if (graph) attribute->graphs.push_back(std::move(graph));
  return OkStatus();
}

Status ModelReader::ReadFunction(Reader in, Function* function) {
  const auto counts = in.CountFields<13>();
  FUSEE_TRY(Count(in, counts[7], limits_.max_nodes, "nodes", &nodes_));
  FUSEE_TRY(Reserve(in, counts[4], &function->inputs));
  FUSEE_TRY(Reserve(in, counts[5], &function->outputs));
  FUSEE_TRY(Reserve(in, counts[6], &function->attributes));
  FUSEE_TRY(Reserve(in, counts[7], &function->nodes));
  FUSEE_TRY(Reserve(in, counts[9], &function->opset_imports));
  FUSEE_TRY(Reserve(in, counts[11], &function->attribute_defaults));
  FUSEE_TRY(Reserve(in, counts[12], &function->value_infos));
  while (in.Next()) {
    switch (in.field()) {
      case 1: FUSEE_TRY(in.String("name", &function->name)); break;
      case 4: FUSEE_TRY(ReadString(in, "input", &function->inputs)); break;
      case 5: FUSEE_TRY(ReadString(in, "output", &function->outputs)); break;
      case 6: FUSEE_TRY(ReadString(in, "attribute", &function->attributes)); break;
      case 7: {
        const auto [message, node] = Element(in, "node", &function->nodes);
        node->index = function->nodes.size() - 1;
        FUSEE_TRY(ReadNode(message, 0, node));
        break;
      }
      case 9:
        FUSEE_TRY(ReadOpsetImport(in.Message("opset_import", std::ssize(function->opset_imports)),
                                  &function->opset_imports));
        break;
      case 10: FUSEE_TRY(ReadDomain(in, &function->domain)); break;
      case 11: {
        const auto [message, attribute] =
            Element(in, "attribute_proto", &function->attribute_defaults);
        FUSEE_TRY(ReadAttribute(message, 0, attribute));
        break;
      }
      case 12: {
        const auto [message, value] = Element(in, "value_info", &function->value_infos);
        FUSEE_TRY(ReadValue(message, value));
        break;
      }
      case 13: FUSEE_TRY(in.String("overload", &function->overload)); break;
      default: break;  // doc_string, metadata_props
    }
  }
  return in.status();
}

Status ModelReader::ReadTensor(Reader in, TensorRef* tensor) {
  TensorProto proto;
  tensor->message = in.message();
  FUSEE_TRY(ReadTensorProto(in, &proto));
  return FinishTensor(in, proto, tensor);
}

Status ModelReader::FinishTensor(const Reader& in, const TensorProto& proto, TensorRef* tensor) {
  tensor->name = proto.name;
  tensor->onnx_type = proto.onnx_type;
  tensor->dims = proto.dims;
  const auto make = [&]() -> Result<Tensor> {
    if (!proto.external) return TensorFromProto(proto, owner_, in.budget());
    FUSEE_TRY(const TensorSpec spec, SpecOf(proto));
    if (external_ == nullptr) {
      return FailedPrecondition("external data of a model in memory; load the model from its file");
    }
    return external_->Resolve(proto, spec);
  };
  Result<Tensor> made = make();
  if (made.ok()) {
    tensor->tensor = std::move(made).value();
    return OkStatus();
  }
  tensor->problem = std::move(made).status().Annotate(
      fmt::format("{} '{}'", in.Place(), proto.name.substr(0, 200)));
  return in.Charge(tensor->problem.message().size() + kAllocationOverheadBytes);
}

Status ModelReader::ReadSparseInitializer(Reader in, TensorRef* tensor) {
  TensorProto values;
  while (in.Next()) {
    if (in.field() != 1) continue;
    Reader message = in.Message("values");
    FUSEE_TRY(ReadTensorProto(message, &values));
  }
  FUSEE_TRY(in.status());
  // Named like any other, so that its user is told why it cannot have it.
  tensor->name = values.name;
  tensor->onnx_type = values.onnx_type;
  tensor->problem =
      Unimplemented(fmt::format("{} '{}': sparse tensors are not supported; export it dense",
                                in.Place(), values.name.substr(0, 200)));
  return in.Charge(tensor->problem.message().size() + kAllocationOverheadBytes);
}

Status ModelReader::ReadValue(Reader in, ValueDecl* value) {
  value->message = in.message();
  while (in.Next()) {
    if (in.field() == 1) FUSEE_TRY(in.String("name", &value->name));
    if (in.field() == 2) FUSEE_TRY(ReadType(in.Message("type"), value));
  }
  return in.status();
}

// A oneof: the last member read decides. Element types of sequences, maps and optionals are not
// looked into, so this cannot recurse.
Status ModelReader::ReadType(Reader in, ValueDecl* value) {
  using Kind = ValueDecl::Kind;
  const auto choose = [&](Kind kind) {
    if (value->kind == kind) return;  // the same member again: merges
    value->kind = kind;
    value->onnx_type = 0;
    value->has_shape = false;
    value->shape.clear();
  };
  while (in.Next()) {
    switch (in.field()) {
      case 1:
        choose(Kind::kTensor);
        FUSEE_TRY(ReadTensorType(in.Message("tensor_type"), value));
        break;
      case 4: choose(Kind::kSequence); break;
      case 5: choose(Kind::kMap); break;
      case 7: choose(Kind::kOpaque); break;
      case 8:
        choose(Kind::kSparse);
        FUSEE_TRY(ReadTensorType(in.Message("sparse_tensor_type"), value));
        break;
      case 9: choose(Kind::kOptional); break;
      default: break;  // denotation
    }
  }
  return in.status();
}

Status ModelReader::ReadTensorType(Reader in, ValueDecl* value) {
  while (in.Next()) {
    if (in.field() == 1) FUSEE_TRY(in.Int32("elem_type", &value->onnx_type));
    if (in.field() == 2) {
      value->has_shape = true;
      FUSEE_TRY(ReadShape(in.Message("shape"), value));
    }
  }
  return in.status();
}

Status ModelReader::ReadShape(Reader in, ValueDecl* value) {
  const auto counts = in.CountFields<2>();
  FUSEE_TRY(Reserve(in, counts[1], &value->shape));
  while (in.Next()) {
    if (in.field() != 1) continue;
    const auto [message, dim] = Element(in, "dim", &value->shape);
    FUSEE_TRY(ReadDimension(message, dim));
  }
  return in.status();
}

Status ModelReader::ReadDimension(Reader in, DimDecl* dim) {
  while (in.Next()) {
    if (in.field() == 1) {
      int64_t number = 0;
      FUSEE_TRY(in.Int64("dim_value", &number));
      // -1 is how old exporters wrote "unknown".
      if (number < -1)
        return in.Error("dim_value", fmt::format("expected 0 or more, got {}", number));
      *dim = {};
      if (number >= 0) dim->value = number;
    } else if (in.field() == 2) {
      *dim = {};
      FUSEE_TRY(in.String("dim_param", &dim->name));
    }
  }
  return in.status();
}

Status ModelReader::ReadOpsetImport(Reader in, OpsetImports* imports) {
  std::string_view domain;
  int64_t version = 0;
  while (in.Next()) {
    if (in.field() == 1) FUSEE_TRY(ReadDomain(in, &domain));
    if (in.field() == 2) FUSEE_TRY(in.Int64("version", &version));
  }
  FUSEE_TRY(in.status());
  for (const auto& [known, known_version] : *imports) {
    if (known == domain && known_version != version) {
      return InvalidArgument(
          fmt::format("{}: domain '{}' is imported in version {} and in version {}, expected one",
                      in.Place(), domain.substr(0, 200), known_version, version));
    }
    if (known == domain) return OkStatus();
  }
  if (imports->size() >= kMaxOpsetImports) {
    return ResourceExhausted(
        fmt::format("{}: more than {} opset imports", in.Place(), kMaxOpsetImports));
  }
  imports->emplace_back(domain, version);
  return OkStatus();
}

}  // namespace fusee::onnx
