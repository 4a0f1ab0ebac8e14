#include "compiler/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "compiler/profile.h"
#include "onnx/outer_names.h"
#include "ops/import_context.h"
#include "ops/op_def.h"
#include "passes/evaluation_cost.h"
#include "passes/interpret.h"

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
    for (std::string_view name : onnx::OuterNames(graph.nodes[i])) {
      const auto it = producer.find(name);
      if (it == producer.end() || known_values.contains(name)) continue;  // its reader says so
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

// Subgraphs stand in the place of their node, so nesting and repetition become size.
constexpr int kSubgraphDepthMax = 16;
constexpr size_t kInlinedNodesMax = 100'000;
// What is computed while importing because an operator has to know it: lengths, limits, axes.
constexpr int kEvaluatedNodesMax = 256;
constexpr double kEvaluatedElementsMax = 4096;
constexpr double kEvaluatedWorkMax = 0x1p26;  // steps, of all of them in one model

class Importer final : public ops::ImportScope {
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

  compiler::Survey Survey() {
    compiler::Survey survey;
    const auto whole = [&](const Status& status) {
      if (!status.ok()) survey.refusals.push_back({nullptr, opset_, status, "", {}});
      return status.ok();
    };
    if (!whole(CheckOpset())) return survey;
    for (const auto* list :
         {&model_.graph.value_infos, &model_.graph.outputs, &model_.graph.inputs}) {
      for (const onnx::ValueDecl& decl : *list) declared_[decl.name] = &decl;
    }
    const bool typed = whole(AddInputs());
    for (const onnx::ValueDecl& decl : model_.graph.inputs) {
      if (!initializers_.contains(decl.name)) StandIn(decl.name);
    }
    std::set<std::string_view> known = KnownNames();
    known.insert(unknown_.begin(), unknown_.end());
    auto order = TopologicalOrder(model_.graph, known);
    if (!whole(order.status())) return survey;
    for (const onnx::Node* node : *order) SurveyNode(*node, &survey);
    // An output that a refused node was to make is no reason of its own.
    const bool made = std::ranges::none_of(
        model_.graph.outputs, [&](const onnx::ValueDecl& d) { return unknown_.contains(d.name); });
    if (made && typed) (void)whole(AddOutputs());
    survey.graph = std::move(graph_);
    return survey;
  }

  // ops::ImportScope. Names of the subgraph are added to those around it and taken out again: ONNX
  // has them differ.
  Result<std::vector<ir::ValueId>> Inline(const onnx::Graph& subgraph,
                                          std::span<const ir::ValueId> inputs) override {
    inlined_nodes_ += subgraph.nodes.size();
    if (depth_ >= kSubgraphDepthMax || inlined_nodes_ > kInlinedNodesMax) {
      return Unimplemented(
          fmt::format("subgraph '{}': at most {} levels of nesting and {} nodes of subgraphs are "
                      "written out",
                      subgraph.name, kSubgraphDepthMax, kInlinedNodesMax));
    }
    std::vector<std::string_view> inner;
    ++depth_;
    auto results = InlineNames(subgraph, inputs, &inner);
    --depth_;
    for (const std::string_view name : inner) {
      initializers_.erase(name);
      if (const auto it = values_.find(name); it != values_.end()) values_.erase(it);
    }
    if (!results.ok()) {
      return std::move(results).status().Annotate(fmt::format("in subgraph '{}'", subgraph.name));
    }
    return results;
  }

  // ops::ImportScope.
  std::optional<Tensor> Evaluate(ir::ValueId value) override {
    int nodes = kEvaluatedNodesMax;
    return Evaluate(value, &nodes);
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
    const std::string wanted(name);
    const bool taken = graph_->FindValue(wanted).has_value();  // a subgraph written out again
    const ir::ValueId id = AddConstant(taken ? graph_->FreshName(wanted) : wanted, ref.tensor);
    values_[wanted] = id;
    return id;
  }

  // nodes: how many may still be run.
  std::optional<Tensor> Evaluate(ir::ValueId id, int* nodes) {
    const ir::Value& value = graph_->value(id);
    if (value.constant.present()) return value.constant;
    if (!value.producer.valid() || --*nodes < 0) return std::nullopt;
    const ir::Node& node = graph_->node(value.producer);
    if (!passes::MayEvaluate(node)) return std::nullopt;
    std::vector<Tensor> operands;
    for (const ir::ValueId operand : node.inputs) {
      operands.emplace_back();
      if (!operand.valid()) continue;
      std::optional<Tensor> known = Evaluate(operand, nodes);
      if (!known) return std::nullopt;
      operands.back() = *std::move(known);
    }
    const auto cost = passes::EstimateEvaluation(*graph_, node, operands);
    if (!cost || cost->operand_elements + cost->result_elements > kEvaluatedElementsMax ||
        cost->work > kEvaluatedWorkMax - evaluated_work_)
      return std::nullopt;
    evaluated_work_ += cost->work;
    auto results = passes::EvaluateNode(*graph_, node, operands, {});
    if (!results.ok() || !(*results)[value.output_index].present()) return std::nullopt;
    return (*results)[value.output_index];
  }

  // inner: names that were added, also when it fails.
  Result<std::vector<ir::ValueId>> InlineNames(const onnx::Graph& subgraph,
                                               std::span<const ir::ValueId> inputs,
                                               std::vector<std::string_view>* inner) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      const std::string_view name = subgraph.inputs[i].name;
      if (!inputs[i].valid())
        return InvalidArgument(fmt::format("its input '{}' has no value", name));
      if (initializers_.contains(name) || !values_.emplace(name, inputs[i]).second)
        return InvalidArgument(fmt::format("its input '{}' is defined outside, too", name));
      inner->push_back(name);
    }
    for (const onnx::TensorRef& t : subgraph.initializers) {
      if (values_.contains(t.name) || !initializers_.emplace(t.name, &t).second)
        return InvalidArgument(fmt::format("initialiser '{}' is defined twice", t.name));
      inner->push_back(t.name);
    }
    FUSEE_TRY(const std::vector<const onnx::Node*> order, TopologicalOrder(subgraph, KnownNames()));
    for (const onnx::Node* node : order) {
      FUSEE_TRY(AddNode(*node));
      for (const std::string_view name : node->outputs) {
        if (!name.empty()) inner->push_back(name);
      }
    }
    std::vector<ir::ValueId> results;
    for (const onnx::ValueDecl& decl : subgraph.outputs) {
      FUSEE_TRY(const ir::ValueId id, Lookup(decl.name));
      results.push_back(id);
    }
    return results;
  }

  // A refusal says with what operands the node was refused, and what to do about it.
  Status AddNode(const onnx::Node& node) {
    Status status = TranslateNode(node);
    if (status.code() != StatusCode::kUnimplemented) return status;
    return Unimplemented(fmt::format("{}; operands: {}; {}", status.message(),
                                     DescribeOperands(OperandsOf(node)), RemedyFor(node)));
  }

  void SurveyNode(const onnx::Node& node, compiler::Survey* survey) {
    const std::vector<std::string_view> outer = onnx::OuterNames(node);
    const auto unknown = [&](std::string_view name) { return unknown_.contains(name); };
    const bool judged =
        std::ranges::none_of(node.inputs, unknown) && std::ranges::none_of(outer, unknown);
    // Whether an operator exists at all can be said without its operands.
    Status status = judged ? TranslateNode(node) : FindRule(node).status();
    if (status.ok() && judged) return;
    if (status.ok()) {
      survey->unjudged.push_back(&node);
    } else {
      survey->refusals.push_back(
          {&node, OpsetOf(node), std::move(status), RemedyFor(node), OperandsOf(node)});
    }
    for (const std::string_view name : node.outputs) StandIn(name);
  }

  // A value of the type that the model declares, in the place of one that could not be made.
  void StandIn(std::string_view name) {
    if (name.empty() || values_.contains(name)) return;
    const auto it = declared_.find(name);
    const std::optional<DType> dtype =
        it == declared_.end() ? std::nullopt : DTypeFromOnnx(it->second->onnx_type);
    if (!dtype || !it->second->has_shape || it->second->shape.size() > kMaxRank) {
      unknown_.insert(name);
      return;
    }
    ir::SymShape shape;
    for (const onnx::DimDecl& d : it->second->shape) {
      if (!d.value && !graph_->symbols().contains(d.name)) {
        unknown_.insert(name);
        return;
      }
      shape.push_back(d.value ? ir::Dim(*d.value) : ir::Dim::Symbol(std::string(d.name)));
    }
    values_[std::string(name)] = graph_->AddInput(std::string(name), {*dtype, shape, {}});
  }

  std::vector<RefusedOperand> OperandsOf(const onnx::Node& node) {
    std::vector<std::string_view> names = node.inputs;
    for (const std::string_view name : onnx::OuterNames(node)) names.push_back(name);
    std::vector<RefusedOperand> operands;
    for (const std::string_view name : names) {
      RefusedOperand operand{std::string(name), {}, {}, nullptr};
      const auto initializer = initializers_.find(name);
      if (name.empty()) {
      } else if (auto id = Lookup(name); id.ok()) {
        operand.info = graph_->value(*id).info;
        operand.constant = graph_->value(*id).constant;
      } else if (initializer != initializers_.end()) {
        operand.unreadable = initializer->second;
      }
      operands.push_back(std::move(operand));
    }
    return operands;
  }

  std::string RemedyFor(const onnx::Node& node) const {
    const std::string_view domain = NormalDomain(node.domain);
    if (!ops::HasImportRule(domain, node.op_type)) {
      return "`fusee inspect capability MODEL` lists all that are missing; export the model "
             "without it, or replace it by operators that are supported";
    }
    if (!FindRule(node).ok()) {
      return fmt::format("it is supported at {}: convert the model with onnx.version_converter",
                         SupportedOpsets(domain, node.op_type));
    }
    return "`fusee inspect capability MODEL --repro FILE` writes the node alone, to try a change "
           "or to report it";
  }

  static std::string SupportedOpsets(std::string_view domain, std::string_view op) {
    std::set<std::pair<int, int>> ranges;
    for (const ops::OpDef& def : ops::AllOps()) {
      for (const ops::ImportRule& rule : def.imports) {
        if (rule.onnx_op == op && rule.domain == domain) ranges.insert({rule.since, rule.until});
      }
    }
    std::string text;
    for (const auto& [since, until] : ranges) {
      const int last = domain.empty() ? std::min(until, static_cast<int>(kNewestOpset)) : until;
      text += fmt::format("{}opset {} to {}", text.empty() ? "" : ", ", since, last);
    }
    return text;
  }

  int OpsetOf(const onnx::Node& node) const {
    const std::string_view domain = NormalDomain(node.domain);
    if (domain.empty()) return opset_;
    return static_cast<int>(
        std::clamp<int64_t>(model_.OpsetVersion(domain).value_or(1), 1, 1 << 20));
  }

  Result<const ops::ImportRule*> FindRule(const onnx::Node& node) const {
    const std::string_view domain = NormalDomain(node.domain);
    const int opset = OpsetOf(node);
    if (domain.empty() && opset == 0) {
      return InvalidArgument(
          fmt::format("node '{}' ({}) is of the domain ai.onnx, which the model does not import",
                      node.DisplayName(), node.op_type));
    }
    const ops::ImportRule* rule = ops::FindImportRule(domain, node.op_type, opset);
    if (rule != nullptr) return rule;
    return Unimplemented(fmt::format("node '{}': operator {}{}{} {}", node.DisplayName(), domain,
                                     domain.empty() ? "" : "::", node.op_type,
                                     ops::HasImportRule(domain, node.op_type)
                                         ? fmt::format("is supported, but not at opset {}", opset)
                                         : std::string("is not supported")));
  }

  Status TranslateNode(const onnx::Node& node) {
    ++result_.operators[std::string(node.op_type)];
    if (node.outputs.empty()) {
      return InvalidArgument(
          fmt::format("node '{}' ({}) has no results", node.DisplayName(), node.op_type));
    }
    const int opset = OpsetOf(node);
    FUSEE_TRY(const ops::ImportRule* rule, FindRule(node));
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
    ops::ImportContext context(*graph_, node, opset, std::move(inputs), this);
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
        return Unimplemented(
            fmt::format("model output '{}' is not a dense tensor; cut the model before it with "
                        "onnx.utils.extract_model",
                        decl.name));
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
  int depth_ = 0;  // of subgraphs
  size_t inlined_nodes_ = 0;
  double evaluated_work_ = 0;
  ImportedModel result_;
  // Of a survey: types the model declares, and values of which nothing is known.
  std::map<std::string_view, const onnx::ValueDecl*> declared_;
  std::set<std::string_view> unknown_;
};

}  // namespace

std::string DescribeOperands(const std::vector<RefusedOperand>& operands) {
  std::string text;
  for (const RefusedOperand& o : operands) {
    if (!text.empty()) text += ", ";
    if (o.name.empty()) {
      text += "absent";
    } else if (o.unreadable != nullptr) {
      text += OnnxTypeName(o.unreadable->onnx_type);
      text += fmt::format("[{}]", fmt::join(o.unreadable->dims, ","));
    } else if (o.info.dtype == DType::kInvalid) {
      text += "?";
    } else {
      text += fmt::format("{}{}{}", DTypeName(o.info.dtype), ir::ToString(o.info.shape),
                          o.constant.present() ? " constant" : "");
    }
  }
  return text.empty() ? "none" : text;
}

Result<ImportedModel> Import(const onnx::Model& model, const BuildOptions& options) {
  // Each round pins at least one more input, so there are at most as many rounds as candidates.
  std::map<std::string, Tensor> pins = options.pins;
  for (const auto& pin : options.pins) {
    const bool known = std::ranges::any_of(
        model.graph.inputs, [&](const onnx::ValueDecl& d) { return d.name == pin.first; });
    if (!known)
      return NotFound(fmt::format("--pin names '{}', which is no input of the model", pin.first));
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

Survey SurveyModel(const onnx::Model& model, const BuildOptions& options) {
  return Importer(model, options, options.pins).Survey();
}

}  // namespace fusee::compiler
