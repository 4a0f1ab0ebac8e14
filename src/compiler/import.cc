#include "compiler/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "compiler/functions.h"
#include "compiler/node_order.h"
#include "compiler/profile.h"
#include "onnx/outer_names.h"
#include "ops/import_context.h"
#include "ops/op_def.h"
#include "passes/evaluation_cost.h"
#include "passes/interpret.h"

namespace fusee::compiler {
namespace {

std::string_view NormalDomain(std::string_view domain) {
  return domain == "ai.onnx" ? std::string_view() : domain;
}

// Subgraphs stand in the place of their node, so nesting and repetition become size.
constexpr int kSubgraphDepthMax = 16;
constexpr size_t kInlinedNodesMax = 100'000;
// Functions stand in the place of their calls. A few that call each other twice are any size.
constexpr size_t kCallDepthMax = 32;
constexpr size_t kCalledNodesMax = 200'000;
// Names and numbers of the nodes of both.
constexpr size_t kWrittenBytesMax = size_t{128} << 20;
// What is computed while importing because an operator has to know it: lengths, limits, axes.
constexpr int kEvaluatedNodesMax = 256;
constexpr double kEvaluatedElementsMax = 4096;
constexpr double kEvaluatedWorkMax = 0x1p26;  // steps, of all of them in one model

using OpsetImports = std::vector<std::pair<std::string_view, int64_t>>;

// Names and what they mean: those of the model's graph, or of one call of a function. Names of
// nested graphs come and go in the frame around them.
struct Frame {
  const onnx::Function* function = nullptr;           // null: the model's graph
  std::shared_ptr<const AttributeBindings> bindings;  // of a function, else null
  std::string prefix;                                 // "call/" of a function
  int opset = 0;                                      // of ai.onnx; 0: not imported
  const OpsetImports* imports = nullptr;
  // By ONNX name; an invalid id is an operand of the function that its call leaves out.
  std::map<std::string, ir::ValueId, std::less<>> values;
  std::map<std::string_view, const onnx::TensorRef*> initializers;
  // Of a survey: types the model declares, and values of which nothing is known.
  std::map<std::string_view, const onnx::ValueDecl*> declared;
  std::set<std::string_view> unknown;
};

class Importer final : public ops::ImportScope {
 public:
  Importer(const onnx::Model& model, const BuildOptions& options,
           const std::map<std::string, Tensor>& pins)
      : model_(model), options_(options), pins_(pins), graph_(std::make_unique<ir::Graph>()) {
    frame_.imports = &model.opset_imports;
  }

  Result<ImportedModel> Run() {
    FUSEE_TRY(CheckOpset());
    FUSEE_TRY(functions_.Fill(model_));
    FUSEE_TRY(AddInputs());
    FUSEE_TRY(std::vector<const onnx::Node*> order,
              TopologicalOrder(model_.graph.nodes, KnownNames()));
    for (const onnx::Node* node : order) FUSEE_TRY(AddNode(*node));
    FUSEE_TRY(AddOutputs());
    FUSEE_TRY(CheckBounds());
    TightenCounts();
    result_.node_count = model_.graph.nodes.size();
    result_.graph = std::move(graph_);
    return std::move(result_);
  }

  compiler::Survey Survey() {
    compiler::Survey survey;
    const auto whole = [&](const Status& status) {
      if (!status.ok())
        survey.refusals.push_back({nullptr, frame_.opset, status, "", {}, nullptr, nullptr});
      return status.ok();
    };
    survey_ = &survey;
    if (!whole(CheckOpset()) || !whole(functions_.Fill(model_))) return survey;
    for (const auto* list :
         {&model_.graph.value_infos, &model_.graph.outputs, &model_.graph.inputs}) {
      for (const onnx::ValueDecl& decl : *list) frame_.declared[decl.name] = &decl;
    }
    const bool typed = whole(AddInputs());
    for (const onnx::ValueDecl& decl : model_.graph.inputs) {
      if (!frame_.initializers.contains(decl.name)) StandIn(decl.name);
    }
    std::set<std::string_view> known = KnownNames();
    known.insert(frame_.unknown.begin(), frame_.unknown.end());
    auto order = TopologicalOrder(model_.graph.nodes, known);
    if (!whole(order.status())) return survey;
    for (const onnx::Node* node : *order) SurveyNode(*node);
    // An output that a refused node was to make is no reason of its own.
    const bool made = std::ranges::none_of(model_.graph.outputs, [&](const onnx::ValueDecl& d) {
      return frame_.unknown.contains(d.name);
    });
    if (made && typed) (void)whole(AddOutputs());
    if (survey.refusals.empty()) (void)whole(CheckBounds());
    survey.graph = std::move(graph_);
    return survey;
  }

  // ops::ImportScope. Names of the subgraph are added to those around it and taken out again: ONNX
  // has them differ.
  Result<std::vector<ir::ValueId>> Inline(const onnx::Graph& subgraph,
                                          std::span<const ir::ValueId> inputs) override {
    inlined_nodes_ += subgraph.nodes.size();
    written_bytes_ += WrittenBytes(subgraph) + (1 + subgraph.nodes.size()) * frame_.prefix.size();
    if (depth_ >= kSubgraphDepthMax || inlined_nodes_ > kInlinedNodesMax ||
        written_bytes_ > kWrittenBytesMax) {
      return Unimplemented(fmt::format(
          "subgraph '{}': at most {} levels of nesting and {} nodes of subgraphs, with {} MiB of "
          "names, are written out",
          subgraph.name, kSubgraphDepthMax, kInlinedNodesMax, kWrittenBytesMax >> 20));
    }
    std::vector<std::string_view> inner;
    ++depth_;
    auto results = InlineNames(subgraph, inputs, &inner);
    --depth_;
    for (const std::string_view name : inner) {
      frame_.initializers.erase(name);
      if (const auto it = frame_.values.find(name); it != frame_.values.end())
        frame_.values.erase(it);
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

  // ops::ImportScope. References that are wrong were refused before the rule began.
  const onnx::Attribute* Resolve(const onnx::Attribute& attribute) const override {
    const auto resolved = ResolveAttribute(attribute, frame_.bindings.get());
    return resolved.ok() ? *resolved : nullptr;
  }

  // ops::ImportScope.
  std::string_view NamePrefix() const override { return frame_.prefix; }

  // ops::ImportScope.
  std::optional<int64_t> BoundOf(const std::string& name) override {
    bounds_asked_.insert(name);
    const auto it = options_.bounds.find(name);
    return it == options_.bounds.end() ? std::nullopt : std::optional(it->second);
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
    frame_.opset = static_cast<int>(*opset);
    return OkStatus();
  }

  Status AddInputs() {
    for (const onnx::TensorRef& t : model_.graph.initializers) {
      if (!frame_.initializers.emplace(t.name, &t).second) {
        return InvalidArgument(fmt::format("initialiser '{}' is defined twice", t.name));
      }
    }
    std::vector<const onnx::ValueDecl*> declared;
    std::set<std::string_view> seen;
    for (const onnx::ValueDecl& d : model_.graph.inputs) {
      if (!seen.insert(d.name).second)
        return InvalidArgument(fmt::format("input '{}' is declared twice", d.name));
      // Before IR version 4 every initialiser was also listed as an input.
      if (!frame_.initializers.contains(d.name)) declared.push_back(&d);
    }
    FUSEE_TRY(ResolvedProfile profile, ResolveProfile(declared, options_));
    graph_->name = std::string(model_.graph.name);
    graph_->symbols() = profile.ranges;
    for (ResolvedInput& input : profile.inputs) {
      const ir::ValueId id = graph_->AddInput(input.name, {input.dtype, input.shape, {}});
      frame_.values[graph_->value(id).name] = id;
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
    frame_.values[name] = AddConstant(graph_->FreshName(name + ".pinned"), it->second);
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
    for (const auto& [name, id] : frame_.values) names.insert(name);
    for (const auto& [name, ref] : frame_.initializers) names.insert(name);
    return names;
  }

  // The value of an ONNX name; initialisers enter the graph when first used, so that unused ones
  // cost nothing.
  Result<ir::ValueId> Lookup(std::string_view name) {
    if (const auto it = frame_.values.find(name); it != frame_.values.end()) {
      if (it->second.valid()) return it->second;
      return InvalidArgument(
          fmt::format("value '{}' is an operand of the function that its call leaves out", name));
    }
    const auto it = frame_.initializers.find(name);
    if (it == frame_.initializers.end())
      return InvalidArgument(fmt::format("value '{}' is not defined", name));
    const onnx::TensorRef& ref = *it->second;
    if (!ref.tensor.present()) {
      return Status(ref.problem.code(), ref.problem.message())
          .Annotate(fmt::format("initialiser '{}'", name));
    }
    // The name is taken where a subgraph is written out again.
    const ir::ValueId id =
        AddConstant(graph_->FreshName(fmt::format("{}{}", frame_.prefix, name)), ref.tensor);
    frame_.values[std::string(name)] = id;
    return id;
  }

  // Of a function: an operand that its call leaves out.
  bool IsAbsent(std::string_view name) const {
    const auto it = frame_.values.find(name);
    return name.empty() || (it != frame_.values.end() && !it->second.valid());
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
      if (frame_.initializers.contains(name) || !frame_.values.emplace(name, inputs[i]).second)
        return InvalidArgument(fmt::format("its input '{}' is defined outside, too", name));
      inner->push_back(name);
    }
    for (const onnx::TensorRef& t : subgraph.initializers) {
      if (frame_.values.contains(t.name) || !frame_.initializers.emplace(t.name, &t).second)
        return InvalidArgument(fmt::format("initialiser '{}' is defined twice", t.name));
      inner->push_back(t.name);
    }
    FUSEE_TRY(const std::vector<const onnx::Node*> order,
              TopologicalOrder(subgraph.nodes, KnownNames()));
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

  // Writes a function out in the place of a node that calls it. In a survey, results that could
  // not be made are stood in for.
  Status Call(const FunctionTable::Entry& entry, const onnx::Node& node) {
    const onnx::Function& f = *entry.function;
    auto inner = FrameOf(entry, node);
    if (!inner.ok()) {
      return std::move(inner).status().Annotate(
          fmt::format("node '{}' ({})", node.DisplayName(), CalleeName(node)));
    }
    std::swap(frame_, *inner);
    calls_.push_back(&f);
    auto results = TranslateFunction(f);
    calls_.pop_back();
    std::swap(frame_, *inner);
    if (!results.ok()) {
      return Status(results.status().code(),
                    fmt::format("node '{}' calls function '{}', {}", node.DisplayName(),
                                FunctionName(f), results.status().message()));
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i].empty()) continue;
      const ir::ValueId id = (*results)[i];
      if (!id.valid()) {
        StandIn(node.outputs[i]);
        continue;
      }
      AdoptName(id, node, std::string(node.outputs[i]));
      frame_.values[std::string(node.outputs[i])] = id;
    }
    return OkStatus();
  }

  // What a function's names mean at the start of a call. Bounds depth and size before anything is
  // written.
  Result<Frame> FrameOf(const FunctionTable::Entry& entry, const onnx::Node& call) {
    const onnx::Function& f = *entry.function;
    if (!entry.checked.ok()) {
      return Status(entry.checked.code(), entry.checked.message())
          .Annotate(fmt::format("function '{}'", FunctionName(f)));
    }
    if (std::ranges::find(calls_, &f) != calls_.end()) {
      return InvalidArgument(fmt::format(
          "function '{}' calls itself{}, which ONNX does not allow; a Loop says how often",
          FunctionName(f),
          calls_.back() == &f ? std::string()
                              : fmt::format(" through '{}'", FunctionName(*calls_.back()))));
    }
    if (call.inputs.size() > f.inputs.size() || call.outputs.size() > f.outputs.size()) {
      return InvalidArgument(
          fmt::format("{} operands and {} results, expected at most the {} and {} of function '{}'",
                      call.inputs.size(), call.outputs.size(), f.inputs.size(), f.outputs.size(),
                      FunctionName(f)));
    }
    Frame inner;
    inner.prefix = fmt::format("{}{}/", frame_.prefix, call.DisplayName());
    called_nodes_ += 1 + f.nodes.size();
    written_bytes_ += entry.size_bytes + (1 + f.nodes.size()) * inner.prefix.size();
    if (calls_.size() >= kCallDepthMax || called_nodes_ > kCalledNodesMax ||
        written_bytes_ > kWrittenBytesMax) {
      return Unimplemented(fmt::format(
          "function '{}' would make it {} nodes of functions with {} MiB of names, {} calls deep; "
          "at most {} nodes, {} MiB and {} calls are written out; let functions call fewer others, "
          "or export the model without them",
          FunctionName(f), called_nodes_, written_bytes_ >> 20, calls_.size() + 1, kCalledNodesMax,
          kWrittenBytesMax >> 20, kCallDepthMax));
    }
    FUSEE_TRY(AttributeBindings bindings, BindAttributes(f, call, frame_.bindings.get()));
    inner.function = &f;
    inner.bindings = std::make_shared<const AttributeBindings>(std::move(bindings));
    inner.imports = &f.opset_imports;
    inner.opset = static_cast<int>(OpsetIn(f.opset_imports, "").value_or(0));
    for (size_t i = 0; i < f.inputs.size(); ++i) {
      ir::ValueId id;
      if (i < call.inputs.size() && !IsAbsent(call.inputs[i])) {
        if (frame_.unknown.contains(call.inputs[i])) {
          inner.unknown.insert(f.inputs[i]);
          continue;
        }
        FUSEE_TRY(id, Lookup(call.inputs[i]));
      }
      inner.values.emplace(f.inputs[i], id);
    }
    return inner;
  }

  // In the frame of a call: one value for each result; invalid where a survey could not make it.
  Result<std::vector<ir::ValueId>> TranslateFunction(const onnx::Function& f) {
    std::set<std::string_view> known = KnownNames();
    known.insert(frame_.unknown.begin(), frame_.unknown.end());
    FUSEE_TRY(const std::vector<const onnx::Node*> order, TopologicalOrder(f.nodes, known));
    // Inside a nested graph, a survey stops at the first refusal like an import.
    const bool surveyed = survey_ != nullptr && depth_ == 0;
    if (surveyed) {
      for (const onnx::ValueDecl& decl : f.value_infos) frame_.declared[decl.name] = &decl;
    }
    for (const onnx::Node* node : order) {
      if (surveyed) {
        SurveyNode(*node);
      } else {
        FUSEE_TRY(AddNode(*node));
      }
    }
    std::vector<ir::ValueId> results;
    for (const std::string_view name : f.outputs) {
      ir::ValueId id;
      if (!surveyed || !frame_.unknown.contains(name)) {
        auto found = Lookup(name);
        if (!found.ok()) return std::move(found).status().Annotate("a result");
        id = *found;
      }
      results.push_back(id);
    }
    return results;
  }

  // A refusal says with what operands the node was refused, and what to do about it.
  Status AddNode(const onnx::Node& node) {
    if (const auto* entry = functions_.Find(node)) return Call(*entry, node);
    Status status = TranslateNode(node);
    if (status.code() != StatusCode::kUnimplemented) return status;
    return Unimplemented(fmt::format("{}; operands: {}; {}", status.message(),
                                     DescribeOperands(OperandsOf(node)), RemedyFor(node)));
  }

  void SurveyNode(const onnx::Node& node) {
    const FunctionTable::Entry* entry = functions_.Find(node);
    const std::vector<std::string_view> outer = onnx::OuterNames(node);
    const auto unknown = [&](std::string_view name) { return frame_.unknown.contains(name); };
    const bool judged = entry != nullptr || (std::ranges::none_of(node.inputs, unknown) &&
                                             std::ranges::none_of(outer, unknown));
    // Whether an operator exists at all can be said without its operands. What is in a function is
    // judged node by node.
    Status status;
    if (entry != nullptr) {
      status = Call(*entry, node);
    } else {
      status = judged ? TranslateNode(node) : FindRule(node).status();
    }
    if (judged && frame_.function != nullptr) judged_.insert(&node);
    if (status.ok() && judged) return;
    std::vector<RefusedOperand> operands;
    if (!status.ok()) operands = OperandsOf(node);
    // A function is called often; its nodes are told of once for each kind of operands, and only
    // with operands that are known if they ever are.
    const bool told = frame_.function != nullptr &&
                      ((!judged && judged_.contains(&node)) ||
                       !told_.emplace(&node, status.ok() ? "" : DescribeOperands(operands)).second);
    if (!told && status.ok()) {
      survey_->unjudged.push_back(&node);
    } else if (!told) {
      survey_->refusals.push_back({&node, OpsetOf(node), std::move(status), RemedyFor(node),
                                   std::move(operands), frame_.function, frame_.bindings});
    }
    for (const std::string_view name : node.outputs) StandIn(name);
  }

  // A value of the type that the model declares, in the place of one that could not be made.
  void StandIn(std::string_view name) {
    if (name.empty() || frame_.values.contains(name)) return;
    const auto it = frame_.declared.find(name);
    const std::optional<DType> dtype =
        it == frame_.declared.end() ? std::nullopt : DTypeFromOnnx(it->second->onnx_type);
    if (!dtype || !it->second->has_shape || it->second->shape.size() > kMaxRank) {
      frame_.unknown.insert(name);
      return;
    }
    ir::SymShape shape;
    for (const onnx::DimDecl& d : it->second->shape) {
      if (!d.value && !graph_->symbols().contains(d.name)) {
        frame_.unknown.insert(name);
        return;
      }
      shape.push_back(d.value ? ir::Dim(*d.value) : ir::Dim::Symbol(std::string(d.name)));
    }
    frame_.values[std::string(name)] =
        graph_->AddInput(fmt::format("{}{}", frame_.prefix, name), {*dtype, shape, {}});
  }

  std::vector<RefusedOperand> OperandsOf(const onnx::Node& node) {
    std::vector<std::string_view> names = node.inputs;
    for (const std::string_view name : onnx::OuterNames(node)) names.push_back(name);
    std::vector<RefusedOperand> operands;
    for (const std::string_view name : names) {
      RefusedOperand operand{std::string(name), {}, {}, nullptr};
      const auto initializer = frame_.initializers.find(name);
      if (IsAbsent(name)) {
        operand.name.clear();
      } else if (auto id = Lookup(name); id.ok()) {
        operand.info = graph_->value(*id).info;
        operand.constant = graph_->value(*id).constant;
      } else if (initializer != frame_.initializers.end()) {
        operand.unreadable = initializer->second;
      }
      operands.push_back(std::move(operand));
    }
    return operands;
  }

  std::string RemedyFor(const onnx::Node& node) const {
    const std::string_view domain = NormalDomain(node.domain);
    if (functions_.Find(node) != nullptr) {
      return "write functions out with onnx.inliner.inline_local_functions, which says what is "
             "wrong with the function or its call";
    }
    if (!ops::HasImportRule(domain, node.op_type)) {
      return std::string(survey_ != nullptr
                             ? ""
                             : "`fusee inspect capability MODEL` lists all that are missing; ") +
             "export the model without it, or replace it by operators that are supported";
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
    if (domain.empty()) return frame_.opset;
    return static_cast<int>(
        std::clamp<int64_t>(OpsetIn(*frame_.imports, domain).value_or(1), 1, 1 << 20));
  }

  static std::optional<int64_t> OpsetIn(const OpsetImports& imports, std::string_view domain) {
    for (const auto& [imported, version] : imports) {
      if (imported == domain) return version;
    }
    return std::nullopt;
  }

  Result<const ops::ImportRule*> FindRule(const onnx::Node& node) const {
    const std::string_view domain = NormalDomain(node.domain);
    const int opset = OpsetOf(node);
    if (domain.empty() && opset == 0) {
      return InvalidArgument(fmt::format(
          "node '{}' ({}) is of the domain ai.onnx, which the {} does not import",
          node.DisplayName(), node.op_type, frame_.function == nullptr ? "model" : "function"));
    }
    const ops::ImportRule* rule = ops::FindImportRule(domain, node.op_type, opset);
    if (rule != nullptr) return rule;
    std::string what = "is not supported";
    if (ops::HasImportRule(domain, node.op_type)) {
      what = fmt::format("is supported, but not at opset {}", opset);
    } else if (functions_.HasDomain(domain)) {
      what += ", and no function of the model has that name";
    }
    return Unimplemented(
        fmt::format("node '{}': operator {} {}", node.DisplayName(), CalleeName(node), what));
  }

  Status TranslateNode(const onnx::Node& node) {
    ++result_.operators[std::string(node.op_type)];
    if (node.outputs.empty()) {
      return InvalidArgument(
          fmt::format("node '{}' ({}) has no results", node.DisplayName(), node.op_type));
    }
    const int opset = OpsetOf(node);
    FUSEE_TRY(const ops::ImportRule* rule, FindRule(node));
    for (const onnx::Attribute& a : node.attributes) {
      if (auto resolved = ResolveAttribute(a, frame_.bindings.get()); !resolved.ok())
        return std::move(resolved).status().Annotate(
            fmt::format("node '{}' ({})", node.DisplayName(), node.op_type));
    }
    std::vector<ir::ValueId> inputs;
    for (std::string_view name : node.inputs) {
      if (IsAbsent(name)) {
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
    if (survey_ != nullptr) {
      survey_->nodes[frame_.prefix + node.DisplayName()] = {&node, opset, inputs, frame_.function,
                                                            frame_.bindings};
    }
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
      frame_.values[std::string(node.outputs[i])] = id;
    }
    return OkStatus();
  }

  // A result built from several IR nodes takes ONNX's name, so that reports and comparisons speak
  // the model's language.
  void AdoptName(ir::ValueId id, const onnx::Node& node, std::string name) {
    const ir::Value& value = graph_->value(id);
    const bool internal =
        value.producer.valid() && value.name.starts_with(frame_.prefix + node.DisplayName() + "/");
    name.insert(0, frame_.prefix);
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

  // A size that a run finds and that must equal a number is at most that: what the plan is prepared
  // for then fits together.
  void TightenCounts() {
    const auto finders = ir::CountFinders(*graph_);
    if (finders.empty()) return;
    for (const ir::Constraint& c : graph_->constraints()) {
      for (const auto& [size, other] : {std::pair(&c.a, &c.b), std::pair(&c.b, &c.a)}) {
        const std::optional<std::string> symbol = size->AsSymbol();
        if (!symbol || !finders.contains(*symbol) || !other->is_constant()) continue;
        int64_t& most = graph_->symbols()[*symbol].max;
        most = std::min(most, other->constant());
      }
    }
  }

  // Every bound that was given was asked for.
  Status CheckBounds() const {
    for (const auto& [name, most] : options_.bounds) {
      if (bounds_asked_.contains(name)) continue;
      return NotFound(
          fmt::format("--bound names '{}', which is no size that depends on the data; {}", name,
                      bounds_asked_.empty()
                          ? std::string("this model has none")
                          : fmt::format("this model has: {}", fmt::join(bounds_asked_, ", "))));
    }
    return OkStatus();
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
  Frame frame_;
  FunctionTable functions_;
  std::vector<const onnx::Function*> calls_;  // those being written out, outermost first
  size_t called_nodes_ = 0;
  std::vector<std::string> inputs_needed_;
  int depth_ = 0;  // of subgraphs
  size_t inlined_nodes_ = 0;
  size_t written_bytes_ = 0;  // of subgraphs and functions
  double evaluated_work_ = 0;
  std::set<std::string> bounds_asked_;
  ImportedModel result_;
  // Of a survey: what was told of nodes of functions, each of which may be called often.
  std::set<std::pair<const onnx::Node*, std::string>> told_;
  std::set<const onnx::Node*> judged_;  // those that were judged in some call
  compiler::Survey* survey_ = nullptr;
};

}  // namespace

std::string DescribeFunction(const Refusal& refusal) {
  return refusal.function == nullptr
             ? ""
             : fmt::format("function '{}', ", FunctionName(*refusal.function));
}

std::string DescribePlace(const Refusal& refusal) {
  return refusal.node == nullptr
             ? ""
             : fmt::format("{}node '{}'", DescribeFunction(refusal), refusal.node->DisplayName());
}

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
