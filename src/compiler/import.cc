#include "compiler/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "compiler/profile.h"
#include "ops/import_context.h"
#include "ops/op_def.h"

namespace fusee::compiler {
namespace {

constexpr int64_t kOldestOpset = 7;
constexpr int64_t kNewestOpset = 26;

std::string_view NormalDomain(std::string_view domain) {
  return domain == "ai.onnx" ? std::string_view() : domain;
}

// Nodes in an order in which every operand is defined before it is used; file order wherever that
// already holds. Errors: kInvalidArgument naming a node on a cycle or reading a value that nothing
// produces.
Result<std::vector<const onnx::Node*>> TopologicalOrder(
    const onnx::Graph& graph, const std::set<std::string_view>& known_values) {
  std::map<std::string_view, size_t> producer;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (std::string_view name : graph.nodes[i].outputs) {
      if (name.empty()) continue;
      if (known_values.contains(name) || !producer.emplace(name, i).second) {
        return InvalidArgument(
            fmt::format("value '{}' is defined twice, the second time by node '{}'", name,
                        graph.nodes[i].DisplayName()));
      }
    }
  }
  std::vector<size_t> waiting(graph.nodes.size(), 0);
  std::vector<std::vector<size_t>> readers(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (std::string_view name : graph.nodes[i].inputs) {
      if (name.empty() || known_values.contains(name)) continue;
      const auto it = producer.find(name);
      if (it == producer.end()) {
        return InvalidArgument(fmt::format("node '{}' ({}) reads '{}', which nothing defines",
                                           graph.nodes[i].DisplayName(), graph.nodes[i].op_type,
                                           name));
      }
      readers[it->second].push_back(i);
      ++waiting[i];
    }
  }
  std::set<size_t> ready;  // smallest index first keeps file order
  for (size_t i = 0; i < waiting.size(); ++i) {
    if (waiting[i] == 0) ready.insert(i);
  }
  std::vector<const onnx::Node*> order;
  while (!ready.empty()) {
    const size_t i = *ready.begin();
    ready.erase(ready.begin());
    order.push_back(&graph.nodes[i]);
    for (size_t reader : readers[i]) {
      if (--waiting[reader] == 0) ready.insert(reader);
    }
  }
  if (order.size() != graph.nodes.size()) {
    const size_t stuck = static_cast<size_t>(
        std::ranges::find_if(waiting, [](size_t n) { return n > 0; }) - waiting.begin());
    return InvalidArgument(fmt::format("node '{}' ({}) is part of a cycle",
                                       graph.nodes[stuck].DisplayName(),
                                       graph.nodes[stuck].op_type));
  }
  return order;
}

class Importer {
 public:
  Importer(const onnx::Model& model, const BuildOptions& options,
           const std::map<std::string, Tensor>& pins)
      : model_(model), options_(options), pins_(pins), graph_(std::make_unique<ir::Graph>()) {}

  Result<ImportedModel> Run() {
    FUSEE_TRY(CheckOpset());
    FUSEE_TRY(AddInputs());
    FUSEE_TRY(std::vector<const onnx::Node*> order, TopologicalOrder(model_.graph, KnownNames()));
    for (const onnx::Node* node : order) FUSEE_TRY(AddNode(*node));
    FUSEE_TRY(AddOutputs());
    result_.node_count = model_.graph.nodes.size();
    result_.graph = std::move(graph_);
    return std::move(result_);
  }

  // Graph inputs that the operand which could not be known depends on, by name.
  std::vector<std::string> inputs_needed() const { return inputs_needed_; }

 private:
  Status CheckOpset() {
    const std::optional<int64_t> opset = model_.OpsetVersion("");
    if (!opset)
      return OkStatus();  // a model of other domains only; a node of ai.onnx says so itself
    if (*opset < kOldestOpset || *opset > kNewestOpset) {
      return Unimplemented(
          fmt::format("opset {} is outside {} to {}; convert the model with onnx.version_converter",
                      *opset, kOldestOpset, kNewestOpset));
    }
    opset_ = static_cast<int>(*opset);
    return OkStatus();
  }

  Status AddInputs() {
    for (const onnx::TensorRef& t : model_.graph.initializers) {
      if (!initializers_.emplace(t.name, &t).second) {
        return InvalidArgument(fmt::format("initialiser '{}' is defined twice", t.name));
      }
    }
    std::vector<const onnx::ValueDecl*> declared;
    std::set<std::string_view> seen;
    for (const onnx::ValueDecl& d : model_.graph.inputs) {
      if (!seen.insert(d.name).second)
        return InvalidArgument(fmt::format("input '{}' is declared twice", d.name));
      // Before IR version 4 every initialiser was also listed as an input.
      if (!initializers_.contains(d.name)) declared.push_back(&d);
    }
    FUSEE_TRY(ResolvedProfile profile, ResolveProfile(declared, options_));
    graph_->name = std::string(model_.graph.name);
    graph_->symbols() = profile.ranges;
    for (ResolvedInput& input : profile.inputs) {
      const ir::ValueId id = graph_->AddInput(input.name, {input.dtype, input.shape, {}});
      values_[graph_->value(id).name] = id;
      FUSEE_TRY(PinIfAsked(id));
    }
    result_.symbols = std::move(profile.symbols);
    result_.buckets = std::move(profile.buckets);
    result_.opt = std::move(profile.opt);
    result_.notes = std::move(profile.notes);
    return OkStatus();
  }

  // A pinned input stays an input (the runtime compares its bytes); its readers see a constant.
  Status PinIfAsked(ir::ValueId input) {
    const std::string name = graph_->value(input).name;
    const auto it = pins_.find(name);
    if (it == pins_.end()) return OkStatus();
    const ir::ValueInfo info = graph_->value(input).info;
    if (!ir::IsStatic(info.shape) || it->second.dtype() != info.dtype ||
        !(it->second.shape() == ir::ToShape(info.shape))) {
      return InvalidArgument(
          fmt::format("the value pinned to input '{}' is {}, the model says {}{}", name,
                      Describe(it->second.dtype(), it->second.shape()), DTypeName(info.dtype),
                      ir::ToString(info.shape)));
    }
    graph_->pinned_inputs().push_back({input, it->second});
    values_[name] = AddConstant(graph_->FreshName(name + ".pinned"), it->second);
    return OkStatus();
  }

  ir::ValueId AddConstant(std::string name, Tensor tensor) {
    const ir::ValueId id = graph_->AddConstant(std::move(name), tensor);
    ir::Value& value = graph_->value(id);
    const int64_t n = tensor.elements();
    if (n <= ir::kMaxTrackedElements && (IsInt(tensor.dtype()) || tensor.dtype() == DType::kBool)) {
      std::vector<ir::Dim> elements;
      for (int64_t i = 0; i < n; ++i) elements.emplace_back(IntAt(tensor.view(), i));
      value.info.elements = std::move(elements);
    }
    return id;
  }

  std::set<std::string_view> KnownNames() const {
    std::set<std::string_view> names;
    for (const auto& [name, id] : values_) names.insert(name);
    for (const auto& [name, ref] : initializers_) names.insert(name);
    return names;
  }

  // The value of an ONNX name; initialisers enter the graph when first used, so that unused ones
  // cost nothing.
  Result<ir::ValueId> Lookup(std::string_view name) {
    if (const auto it = values_.find(name); it != values_.end()) return it->second;
    const auto it = initializers_.find(name);
    if (it == initializers_.end())
      return InvalidArgument(fmt::format("value '{}' is not defined", name));
    const onnx::TensorRef& ref = *it->second;
    if (!ref.tensor.present()) {
      return Status(ref.problem.code(), ref.problem.message())
          .Annotate(fmt::format("initialiser '{}'", name));
    }
    const ir::ValueId id = AddConstant(std::string(name), ref.tensor);
    values_[std::string(name)] = id;
    return id;
  }

  Status AddNode(const onnx::Node& node) {
    ++result_.operators[std::string(node.op_type)];
    const std::string_view domain = NormalDomain(node.domain);
    int opset = opset_;
    if (domain.empty() && opset == 0) {
      return InvalidArgument(
          fmt::format("node '{}' ({}) is of the domain ai.onnx, which the model does not import",
                      node.DisplayName(), node.op_type));
    }
    if (!domain.empty()) {
      const std::optional<int64_t> version = model_.OpsetVersion(domain);
      opset = static_cast<int>(std::clamp<int64_t>(version.value_or(1), 1, 1 << 20));
    }
    const ops::ImportRule* rule = ops::FindImportRule(domain, node.op_type, opset);
    if (rule == nullptr) {
      const bool other = ops::HasImportRule(domain, node.op_type);
      return Unimplemented(
          fmt::format("node '{}': operator {}{}{} {}; `fusee inspect capability MODEL` lists all "
                      "that are missing",
                      node.DisplayName(), domain, domain.empty() ? "" : "::", node.op_type,
                      other ? fmt::format("is supported, but not at opset {}", opset)
                            : std::string("is not supported")));
    }
    std::vector<ir::ValueId> inputs;
    for (std::string_view name : node.inputs) {
      if (name.empty()) {
        inputs.emplace_back();
        continue;
      }
      auto id = Lookup(name);
      if (!id.ok())
        return std::move(id).status().Annotate(
            fmt::format("node '{}' ({})", node.DisplayName(), node.op_type));
      inputs.push_back(*id);
    }
    while (!inputs.empty() && !inputs.back().valid())
      inputs.pop_back();  // trailing absent operands say nothing
    ops::ImportContext context(*graph_, node, opset, std::move(inputs));
    if (Status status = rule->import(context); !status.ok()) {
      if (context.unknown_operand().valid()) CollectInputs(context.unknown_operand());
      return status;
    }
    if (const auto unread = context.UnreadAttrs(); !unread.empty()) {
      return context.Refuse(fmt::format("attribute '{}' is not supported", unread[0]));
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (!context.wants_output(i)) continue;
      const ir::ValueId id = context.outputs()[i];
      if (!id.valid())
        return context.Refuse(fmt::format("result {} ('{}') is not supported", i, node.outputs[i]));
      AdoptName(id, node, std::string(node.outputs[i]));
      values_[std::string(node.outputs[i])] = id;
    }
    return OkStatus();
  }

  // A result built from several IR nodes takes ONNX's name, so that reports and comparisons speak
  // the model's language.
  void AdoptName(ir::ValueId id, const onnx::Node& node, std::string name) {
    const ir::Value& value = graph_->value(id);
    const bool internal =
        value.producer.valid() && value.name.starts_with(node.DisplayName() + "/");
    if (internal && !graph_->FindValue(name)) graph_->Rename(id, std::move(name));
  }

  // Walks back from a value to the graph inputs that are not pinned yet.
  void CollectInputs(ir::ValueId start) {
    std::vector<ir::ValueId> pending = {start};
    std::set<ir::ValueId> seen;
    while (!pending.empty()) {
      const ir::ValueId id = pending.back();
      pending.pop_back();
      if (!id.valid() || !seen.insert(id).second) continue;
      const ir::Value& value = graph_->value(id);
      if (value.producer.valid()) {
        for (ir::ValueId operand : graph_->node(value.producer).inputs) pending.push_back(operand);
      } else if (!value.constant.present()) {
        inputs_needed_.push_back(value.name);
      }
    }
  }

  Status AddOutputs() {
    if (model_.graph.outputs.empty()) return InvalidArgument("the model has no outputs");
    std::set<std::string_view> seen;
    for (const onnx::ValueDecl& decl : model_.graph.outputs) {
      if (!seen.insert(decl.name).second)
        return InvalidArgument(fmt::format("output '{}' is declared twice", decl.name));
      if (decl.kind != onnx::ValueDecl::Kind::kTensor &&
          decl.kind != onnx::ValueDecl::Kind::kUntyped) {
        return Unimplemented(fmt::format("model output '{}' is not a dense tensor", decl.name));
      }
      auto id = Lookup(decl.name);
      if (!id.ok()) return std::move(id).status().Annotate("model output");
      const DType dtype = graph_->value(*id).info.dtype;
      if (decl.kind == onnx::ValueDecl::Kind::kTensor && decl.onnx_type != 0 &&
          DTypeFromOnnx(decl.onnx_type) != dtype) {
        return InvalidArgument(
            fmt::format("model output '{}' is declared {}, but the graph computes {}", decl.name,
                        OnnxTypeName(decl.onnx_type), DTypeName(dtype)));
      }
      graph_->MarkOutput(*id, std::string(decl.name));
    }
    return OkStatus();
  }

  const onnx::Model& model_;
  const BuildOptions& options_;
  const std::map<std::string, Tensor>& pins_;
  std::unique_ptr<ir::Graph> graph_;
  int opset_ = 0;
  std::map<std::string, ir::ValueId, std::less<>> values_;
  std::map<std::string_view, const onnx::TensorRef*> initializers_;
  std::vector<std::string> inputs_needed_;
  ImportedModel result_;
};

}  // namespace

Result<ImportedModel> Import(const onnx::Model& model, const BuildOptions& options) {
  // Each round pins at least one more input, so there are at most as many rounds as candidates.
  std::map<std::string, Tensor> pins = options.pins;
  for (const auto& [name, tensor] : options.pins) {
    const bool known = std::ranges::any_of(
        model.graph.inputs, [&](const onnx::ValueDecl& d) { return d.name == name; });
    if (!known)
      return NotFound(fmt::format("--pin names '{}', which is no input of the model", name));
  }
  for (size_t round = 0;; ++round) {
    Importer importer(model, options, pins);
    auto imported = importer.Run();
    if (imported.ok()) {
      FUSEE_TRY(ApplyIoFormats(options.input_formats, options.output_formats, &*imported));
      return imported;
    }
    if (round > options.pin_if_needed.size()) return imported;
    bool pinned = false;
    for (const std::string& name : importer.inputs_needed()) {
      const auto it = options.pin_if_needed.find(name);
      if (it != options.pin_if_needed.end()) pinned |= pins.emplace(name, it->second).second;
    }
    if (!pinned) return imported;
  }
}

std::vector<MissingOperator> FindMissingOperators(const onnx::Model& model) {
  std::map<std::pair<std::string, std::string>, MissingOperator> missing;
  for (const onnx::Node& node : model.graph.nodes) {
    const std::string_view domain = NormalDomain(node.domain);
    const int64_t opset = model.OpsetVersion(domain).value_or(1);
    if (ops::FindImportRule(domain, node.op_type,
                            static_cast<int>(std::clamp<int64_t>(opset, 1, 1 << 20))))
      continue;
    MissingOperator& row = missing[{std::string(domain), std::string(node.op_type)}];
    row.domain = std::string(domain);
    row.op = std::string(node.op_type);
    row.opset = opset;
    row.reason = ops::HasImportRule(domain, node.op_type) ? "not at this opset" : "not supported";
    row.nodes.push_back(node.DisplayName());
  }
  std::vector<MissingOperator> rows;
  for (auto& [key, row] : missing) rows.push_back(std::move(row));
  return rows;
}

}  // namespace fusee::compiler
