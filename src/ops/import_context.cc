#include "ops/import_context.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/op_def.h"

namespace fusee::ops {

Status ImportContext::Error(std::string_view message) const {
  return InvalidArgument(fmt::format("node '{}' ({}, opset {}): {}", node_.DisplayName(),
                                     node_.op_type, opset_, message));
}

Status ImportContext::Refuse(std::string_view message) const {
  return Unimplemented(fmt::format("node '{}' ({}, opset {}): {}", node_.DisplayName(),
                                   node_.op_type, opset_, message));
}

Result<int> ImportContext::Axis(int64_t axis, int limit) const {
  if (axis < -limit || axis >= limit) {
    return Error(
        fmt::format("axis {} is out of range, expected {} to {}", axis, -limit, limit - 1));
  }
  return static_cast<int>(axis < 0 ? axis + limit : axis);
}

Status ImportContext::RequireEqual(const ir::Dim& a, const ir::Dim& b, std::string_view what) {
  if (a == b) return OkStatus();
  const ir::DimRange ra = a.Range(graph_.symbols());
  const ir::DimRange rb = b.Range(graph_.symbols());
  if (ra.max < rb.min || rb.max < ra.min) {
    return Error(fmt::format("{} must agree, got {} and {}", what, a.ToString(), b.ToString()));
  }
  graph_.constraints().push_back(
      {a, b,
       fmt::format("node '{}' ({}): {} must agree", node_.DisplayName(), node_.op_type, what)});
  return OkStatus();
}

// --- operands ---

Result<Tensor> ImportContext::ConstInput(size_t i, std::string_view meaning) {
  if (!has_input(i)) return Error(fmt::format("operand {} ({}) is missing", i, meaning));
  return ConstValue(inputs_[i], fmt::format("operand {}, {}", i, meaning));
}

Result<Tensor> ImportContext::ConstValue(ir::ValueId id, std::string_view meaning) {
  if (!id.valid()) return Error(fmt::format("the {} is missing", meaning));
  const ir::Value& value = graph_.value(id);
  if (value.constant.present()) return value.constant;
  if (value.info.elements && ir::IsStatic(value.info.shape)) {
    bool known = true;
    for (const ir::Dim& d : *value.info.elements) known = known && d.is_constant();
    if (known) {
      TensorView out;
      FUSEE_TRY(Tensor tensor,
                Tensor::Allocate(value.info.dtype, ir::ToShape(value.info.shape), &out));
      for (size_t k = 0; k < value.info.elements->size(); ++k) {
        StoreInt(out, static_cast<int64_t>(k), (*value.info.elements)[k].constant());
      }
      return tensor;
    }
  }
  if (scope_ != nullptr) {
    if (std::optional<Tensor> tensor = scope_->Evaluate(id)) return *std::move(tensor);
  }
  unknown_operand_ = id;
  return Refuse(fmt::format(
      "value '{}' ({}) must be known while building, but depends on the model's inputs; "
      "if it is an input, fix its value with --pin {}=FILE",
      value.name, meaning, value.name));
}

Result<std::vector<ir::ValueId>> ImportContext::Inline(const onnx::Graph& subgraph,
                                                       std::span<const ir::ValueId> inputs) {
  if (scope_ == nullptr) return Refuse("subgraphs are not supported here");
  if (subgraph.inputs.size() != inputs.size()) {
    return Error(fmt::format("subgraph '{}' declares {} inputs, expected {}", subgraph.name,
                             subgraph.inputs.size(), inputs.size()));
  }
  return scope_->Inline(subgraph, inputs);
}

Result<std::vector<int64_t>> ImportContext::ConstInts(size_t i, std::string_view meaning) {
  FUSEE_TRY(Tensor tensor, ConstInput(i, meaning));
  if (!IsInt(tensor.dtype()) && tensor.dtype() != DType::kBool) {
    return Error(fmt::format("operand {} ({}) should hold integers, got {}", i, meaning,
                             DTypeName(tensor.dtype())));
  }
  std::vector<int64_t> values(static_cast<size_t>(tensor.elements()));
  for (size_t k = 0; k < values.size(); ++k)
    values[k] = IntAt(tensor.view(), static_cast<int64_t>(k));
  return values;
}

Result<std::vector<ir::Dim>> ImportContext::DimInput(size_t i, std::string_view meaning) {
  if (!has_input(i)) return Error(fmt::format("operand {} ({}) is missing", i, meaning));
  const ir::ValueInfo& info = graph_.value(inputs_[i]).info;
  if (info.elements) return *info.elements;
  FUSEE_TRY(std::vector<int64_t> ints, ConstInts(i, meaning));
  return std::vector<ir::Dim>(ints.begin(), ints.end());
}

// --- attributes ---

bool ImportContext::HasAttr(std::string_view name) const {
  return Resolved(node_.FindAttribute(name)) != nullptr;
}

const onnx::Attribute* ImportContext::Resolved(const onnx::Attribute* attribute) const {
  return attribute == nullptr || scope_ == nullptr ? attribute : scope_->Resolve(*attribute);
}

const onnx::Attribute* ImportContext::Find(std::string_view name) {
  read_.insert(std::string(name));
  return Resolved(node_.FindAttribute(name));
}

namespace {
std::string WrongType(std::string_view name, const char* expected) {
  return fmt::format("attribute '{}' should be {}", name, expected);
}
}  // namespace

Result<int64_t> ImportContext::Int(std::string_view name, int64_t fallback) {
  const onnx::Attribute* a = Find(name);
  if (a == nullptr) return fallback;
  if (a->type != onnx::AttrType::kInt) return Error(WrongType(name, "an integer"));
  return a->i;
}

Result<int64_t> ImportContext::RequiredInt(std::string_view name) {
  if (!HasAttr(name)) return Error(fmt::format("attribute '{}' is required", name));
  return Int(name, 0);
}

Result<double> ImportContext::Float(std::string_view name, double fallback) {
  const onnx::Attribute* a = Find(name);
  if (a == nullptr) return fallback;
  if (a->type != onnx::AttrType::kFloat) return Error(WrongType(name, "a float"));
  return static_cast<double>(a->f);
}

Result<std::string> ImportContext::Str(std::string_view name, std::string fallback) {
  const onnx::Attribute* a = Find(name);
  if (a == nullptr) return fallback;
  if (a->type != onnx::AttrType::kString) return Error(WrongType(name, "a string"));
  return std::string(a->s);
}

Result<std::vector<int64_t>> ImportContext::Ints(std::string_view name,
                                                 std::vector<int64_t> fallback) {
  const onnx::Attribute* a = Find(name);
  if (a == nullptr) return fallback;
  // An empty list may come typed as ints or with no payload of any kind.
  if (a->type != onnx::AttrType::kInts) return Error(WrongType(name, "a list of integers"));
  return a->ints;
}

Result<std::vector<double>> ImportContext::Floats(std::string_view name,
                                                  std::vector<double> fallback) {
  const onnx::Attribute* a = Find(name);
  if (a == nullptr) return fallback;
  if (a->type != onnx::AttrType::kFloats) return Error(WrongType(name, "a list of floats"));
  return std::vector<double>(a->floats.begin(), a->floats.end());
}

Result<std::vector<std::string>> ImportContext::Strings(std::string_view name) {
  const onnx::Attribute* a = Find(name);
  if (a == nullptr) return std::vector<std::string>();
  if (a->type != onnx::AttrType::kStrings) return Error(WrongType(name, "a list of strings"));
  return std::vector<std::string>(a->strings.begin(), a->strings.end());
}

Result<Tensor> ImportContext::TensorAttr(std::string_view name) {
  const onnx::Attribute* a = Find(name);
  if (a == nullptr) return Error(fmt::format("attribute '{}' is required", name));
  if (a->type != onnx::AttrType::kTensor || a->tensors.size() != 1)
    return Error(WrongType(name, "a tensor"));
  const onnx::TensorRef& ref = a->tensors[0];
  if (!ref.tensor.present()) {
    return Status(ref.problem.code(), ref.problem.message())
        .Annotate(fmt::format("node '{}' ({}), attribute '{}'", node_.DisplayName(), node_.op_type,
                              name));
  }
  return ref.tensor;
}

const onnx::Graph* ImportContext::GraphAttr(std::string_view name) {
  const onnx::Attribute* a = Find(name);
  if (a == nullptr || a->type != onnx::AttrType::kGraph || a->graphs.size() != 1) return nullptr;
  return a->graphs[0].get();
}

std::vector<std::string> ImportContext::UnreadAttrs() const {
  std::vector<std::string> names;
  for (const onnx::Attribute& a : node_.attributes) {
    if (!read_.contains(a.name) && Resolved(&a) != nullptr) names.emplace_back(a.name);
  }
  return names;
}

// --- results ---

ir::Node ImportContext::MakeNode(std::string_view op, std::vector<ir::ValueId> inputs, Attrs attrs,
                                 std::vector<ir::Dim> dims) const {
  ir::Node node;
  node.op = std::string(op);
  node.inputs = std::move(inputs);
  node.attrs = std::move(attrs);
  node.dims = std::move(dims);
  node.sources = {PrefixedName(node_.DisplayName())};
  return node;
}

std::string ImportContext::PrefixedName(std::string_view name) const {
  std::string prefixed(scope_ == nullptr ? std::string_view() : scope_->NamePrefix());
  return prefixed.append(name);
}

Result<std::vector<ir::ValueId>> ImportContext::EmitMany(std::string_view op,
                                                         std::vector<ir::ValueId> inputs,
                                                         size_t results, Attrs attrs,
                                                         std::vector<ir::Dim> dims) {
  ir::Node node = MakeNode(op, std::move(inputs), std::move(attrs), std::move(dims));
  std::vector<std::string> names(results);
  // Intermediate results of a decomposition are named after the node; SetOutput's values get ONNX's
  // names in the importer, which knows them.
  for (size_t i = 0; i < results; ++i)
    names[i] = graph_.FreshName(fmt::format("{}/{}", PrefixedName(node_.DisplayName()), op));
  return AddInferredNode(graph_, std::move(node), names);
}

Result<std::vector<ir::ValueId>> ImportContext::EmitWithRegions(
    std::string_view op, std::vector<ir::ValueId> inputs,
    std::vector<std::unique_ptr<ir::Graph>> regions, size_t results) {
  ir::Node node = MakeNode(op, std::move(inputs), {}, {});
  node.regions = std::move(regions);
  std::vector<std::string> names(results);
  for (std::string& name : names)
    name = graph_.FreshName(fmt::format("{}/{}", PrefixedName(node_.DisplayName()), op));
  return AddInferredNode(graph_, std::move(node), names);
}

Result<ir::ValueId> ImportContext::Emit(std::string_view op, std::vector<ir::ValueId> inputs,
                                        Attrs attrs, std::vector<ir::Dim> dims) {
  FUSEE_TRY(std::vector<ir::ValueId> ids,
            EmitMany(op, std::move(inputs), 1, std::move(attrs), std::move(dims)));
  return ids[0];
}

namespace {
constexpr size_t kMaxSymbols = 4096;  // as many as a plan may hold
}

Result<ir::Dim> ImportContext::NewCount(size_t result, int axis,
                                        const std::optional<ir::Dim>& most) {
  const std::string output =
      wants_output(result) ? std::string(node_.outputs[result]) : std::to_string(result);
  const std::string base = fmt::format("{}/{}:{}", PrefixedName(node_.DisplayName()), output, axis);
  // A body that is written out again and again finds sizes of its own each time.
  std::string name = base;
  if (graph_.symbols().contains(base)) name = fmt::format("{}.{}", base, graph_.symbols().size());
  if (graph_.symbols().size() >= kMaxSymbols || graph_.symbols().contains(name)) {
    return Refuse(fmt::format("more than {} sizes of this model are dynamic or depend on the data",
                              kMaxSymbols));
  }
  int64_t bound = most ? most->Range(graph_.symbols()).max : INT64_MAX;
  if (const auto given = scope_ == nullptr ? std::nullopt : scope_->BoundOf(name))
    bound = std::min(bound, *given);
  // Larger tensors are refused anyway; a symbol counts as at most this.
  if (bound < 0 || bound > INT32_MAX) {
    return Refuse(
        fmt::format("the size of axis {} of result '{}' depends on the data, and nothing bounds "
                    "it; say the most it may be with --bound {}=N, or, if it follows from an input "
                    "that never changes, fix that one with --pin",
                    axis, output, name));
  }
  graph_.symbols()[name] = {0, bound};
  return ir::Dim::Symbol(std::move(name));
}

Result<std::vector<ir::ValueId>> ImportContext::EmitFinding(
    std::string_view op, std::vector<ir::ValueId> inputs, size_t results,
    const std::vector<ir::Dim>& counts, Attrs attrs, std::vector<ir::Dim> dims) {
  ir::Node node = MakeNode(op, std::move(inputs), std::move(attrs), std::move(dims));
  for (const ir::Dim& count : counts) {
    const std::optional<std::string> symbol = count.AsSymbol();
    FUSEE_CHECK(symbol.has_value(), "a count is a symbol of NewCount");
    node.counts.push_back(*symbol);
  }
  std::vector<std::string> names(results);
  for (std::string& name : names)
    name = graph_.FreshName(fmt::format("{}/{}", PrefixedName(node_.DisplayName()), op));
  FUSEE_TRY(std::vector<ir::ValueId> ids, AddInferredNode(graph_, std::move(node), names));
  std::vector<Tensor> known;
  for (const ir::ValueId id : ids) {
    std::optional<Tensor> tensor = scope_ == nullptr ? std::nullopt : scope_->Evaluate(id);
    if (!tensor) return ids;
    known.push_back(*std::move(tensor));
  }
  graph_.EraseNode(graph_.value(ids[0]).producer);
  for (const ir::Dim& count : counts) graph_.symbols().erase(*count.AsSymbol());
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = Constant(std::move(known[i]));
  return ids;
}

Result<std::vector<ir::Dim>> ImportContext::FoundDims(ir::ValueId value, size_t result,
                                                      std::span<const int> axes,
                                                      const std::optional<ir::Dim>& most) {
  const ir::Value& v = graph_.value(value);
  if (v.info.elements && v.info.elements->size() == axes.size()) return *v.info.elements;
  // Of sizes side by side some are often known, such as the batch.
  const bool joined =
      v.producer.valid() && v.info.shape.size() == 1 && graph_.node(v.producer).op == "Concat";
  if (!joined) return FindDims(value, result, axes, most);
  std::vector<ir::Dim> dims;
  for (const ir::ValueId piece : std::vector<ir::ValueId>(graph_.node(v.producer).inputs)) {
    const ir::ValueInfo& info = graph_.value(piece).info;
    const std::optional<int64_t> length = info.shape[0].AsConstant();
    if (!length || *length > static_cast<int64_t>(axes.size() - dims.size()))
      return FindDims(value, result, axes, most);
    if (info.elements) {
      dims.insert(dims.end(), info.elements->begin(), info.elements->end());
    } else if (*length > 0) {
      FUSEE_TRY(
          const auto found,
          FindDims(piece, result, axes.subspan(dims.size(), static_cast<size_t>(*length)), most));
      dims.insert(dims.end(), found.begin(), found.end());
    }
  }
  return dims;
}

Result<std::vector<ir::Dim>> ImportContext::FindDims(ir::ValueId value, size_t result,
                                                     std::span<const int> axes,
                                                     const std::optional<ir::Dim>& most) {
  std::vector<ir::Dim> counts;
  for (const int axis : axes) {
    FUSEE_TRY(counts.emplace_back(), NewCount(result, axis, most));
  }
  FUSEE_TRY(const auto sizes, EmitFinding("Sizes", {value}, 1, counts));
  // Computed at once, or read by the run.
  if (const auto& elements = graph_.value(sizes[0]).info.elements) return *elements;
  return counts;
}

Result<std::vector<ir::Dim>> ImportContext::FoundDimInput(size_t i, std::string_view meaning,
                                                          size_t result, std::span<const int> axes,
                                                          const std::optional<ir::Dim>& most) {
  auto known = DimInput(i, meaning);
  const ir::Dim count = static_cast<int64_t>(axes.size());
  if (known.ok() || known.status().code() != StatusCode::kUnimplemented || !IsInt(info(i).dtype) ||
      ir::ElementCount(info(i).shape) != count)
    return known;
  return FoundDims(input(i), result, axes, most);
}

ir::ValueId ImportContext::Constant(Tensor tensor) {
  return graph_.AddConstant(graph_.FreshName(PrefixedName(node_.DisplayName()) + "/const"),
                            std::move(tensor));
}

ir::ValueId ImportContext::Scalar(DType dtype, double value) {
  // The type of an operand that is absent: whatever reads the scalar refuses the operand's.
  if (dtype == DType::kInvalid) dtype = DType::kF32;
  TensorView out;
  auto tensor = Tensor::Allocate(dtype, Shape{}, &out);
  FUSEE_CHECK(tensor.ok(), "no memory for a scalar");
  StoreDouble(out, 0, value);
  return Constant(std::move(tensor).value());
}

Status ImportContext::EmitAs(std::string_view op, Attrs attrs, std::vector<ir::Dim> dims) {
  return EmitAs(op, inputs_, std::move(attrs), std::move(dims));
}

Status ImportContext::EmitAs(std::string_view op, std::vector<ir::ValueId> inputs, Attrs attrs,
                             std::vector<ir::Dim> dims) {
  ir::Node node = MakeNode(op, std::move(inputs), std::move(attrs), std::move(dims));
  std::vector<std::string> names;
  for (std::string_view name : node_.outputs) {
    names.push_back(name.empty() ? std::string() : PrefixedName(name));  // unnamed: unwanted
  }
  FUSEE_TRY(std::vector<ir::ValueId> ids, AddInferredNode(graph_, std::move(node), names));
  for (size_t i = 0; i < ids.size(); ++i) outputs_[i] = ids[i];
  return OkStatus();
}

}  // namespace fusee::ops
