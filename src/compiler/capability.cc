#include "compiler/capability.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "compiler/lower_if.h"
#include "compiler/select.h"
#include "ir/graph.h"

namespace fusee::compiler {
namespace {

using Opsets = std::vector<std::pair<std::string_view, int64_t>>;
using Rows = std::map<std::tuple<std::string, std::string, int64_t>, OperatorSupport>;

std::string_view FullDomain(std::string_view domain) { return domain.empty() ? "ai.onnx" : domain; }

int64_t OpsetIn(const Opsets& opsets, std::string_view domain) {
  for (const auto& [known, version] : opsets) {
    if (known == domain || (domain == "ai.onnx" && known.empty())) return version;
  }
  return 0;
}

OperatorSupport& RowOf(const onnx::Node& node, const Opsets& opsets, Rows* rows) {
  const std::string domain(FullDomain(node.domain));
  const int64_t opset = OpsetIn(opsets, node.domain);
  OperatorSupport& row = (*rows)[{domain, std::string(node.op_type), opset}];
  row.domain = domain;
  row.op = std::string(node.op_type);
  row.opset = opset;
  return row;
}

// The reader bounds how deep graphs nest.
void CountNodes(std::span<const onnx::Node> nodes, const Opsets& opsets, Rows* rows) {
  for (const onnx::Node& node : nodes) {
    ++RowOf(node, opsets, rows).count;
    for (const onnx::Attribute& a : node.attributes) {
      for (const auto& graph : a.graphs) CountNodes(graph->nodes, opsets, rows);
    }
  }
}

// The refusal of a node that imports but has no kernel. Nodes of the IR name the ONNX nodes they
// stand for.
Refusal KernelRefusal(const Survey& survey, const ir::Graph& graph, const std::string& source) {
  Refusal refusal;
  refusal.remedy = "cast the operands to a type that one of these kernels takes";
  const auto it = survey.nodes.find(source);
  if (it == survey.nodes.end()) return refusal;
  const SurveyedNode& from = it->second;
  refusal.node = from.node;
  refusal.opset = from.opset;
  refusal.function = from.function;
  refusal.bindings = from.bindings;
  for (size_t i = 0; i < from.inputs.size(); ++i) {
    RefusedOperand& operand = refusal.operands.emplace_back();
    if (!from.inputs[i].valid()) continue;
    operand.name = std::string(from.node->inputs[i]);
    operand.info = graph.value(from.inputs[i]).info;
    operand.constant = graph.value(from.inputs[i]).constant;
  }
  return refusal;
}

// What imports may still lack a kernel for its types.
void AddKernelRefusals(const Survey& survey, const ir::Graph& graph, Capability* capability) {
  std::set<std::string> refused;
  std::set<std::pair<const onnx::Node*, std::string>> told;  // of functions, which are called often
  for (const Refusal& r : capability->refusals) {
    if (r.node == nullptr) continue;
    if (r.function == nullptr) refused.insert(r.node->DisplayName());
    told.emplace(r.node, DescribeOperands(r.operands));
  }
  SelectOptions select;
  select.reference_only = true;
  select.pack = false;
  for (RefusedNode& r : FindRefused(graph, select)) {
    const ir::Node& node = graph.node(r.node);
    const std::string source = node.sources.empty() ? std::string() : node.sources[0];
    if (refused.contains(source)) continue;  // what is left of a node refused already
    Refusal refusal = KernelRefusal(survey, graph, source);
    if (refusal.node != nullptr) {
      refused.insert(source);
      const bool fresh = told.emplace(refusal.node, DescribeOperands(refusal.operands)).second;
      if (refusal.function != nullptr && !fresh) continue;
    }
    refusal.status = Unimplemented(std::move(r.reason));
    capability->refusals.push_back(std::move(refusal));
  }
}

}  // namespace

bool Capability::unsupported() const {
  return std::ranges::any_of(
      refusals, [](const Refusal& r) { return r.status.code() == StatusCode::kUnimplemented; });
}

std::string OperatorName(std::string_view domain, std::string_view op) {
  return domain.empty() || domain == "ai.onnx" ? std::string(op) : fmt::format("{}.{}", domain, op);
}

Capability FindCapability(const onnx::Model& model, const BuildOptions& options) {
  Capability capability;
  Survey survey = SurveyModel(model, options);
  capability.refusals = survey.refusals;
  capability.unjudged = survey.unjudged;
  if (survey.graph != nullptr) {
    capability.symbols = survey.graph->symbols();
    if (Status verified = ir::Verify(*survey.graph);
        capability.refusals.empty() && capability.unjudged.empty() && !verified.ok()) {
      capability.refusals.push_back({nullptr, 0, std::move(verified), "", {}, nullptr, nullptr});
    }
    // What a refused node left may be in the way.
    Status lowered = LowerIf(*survey.graph);
    if (lowered.ok()) {
      AddKernelRefusals(survey, *survey.graph, &capability);
    } else if (capability.refusals.empty() && capability.unjudged.empty()) {
      capability.refusals.push_back({nullptr, 0, std::move(lowered), "", {}, nullptr, nullptr});
    }
  }

  Rows rows;
  CountNodes(model.graph.nodes, model.opset_imports, &rows);
  for (const onnx::Function& f : model.functions) CountNodes(f.nodes, f.opset_imports, &rows);
  std::set<std::pair<const OperatorSupport*, const onnx::Node*>> named;
  for (const Refusal& r : capability.refusals) {
    if (r.node == nullptr) continue;
    OperatorSupport& row = RowOf(
        *r.node, r.function == nullptr ? model.opset_imports : r.function->opset_imports, &rows);
    if (row.reason.empty()) row.reason = DescribeFunction(r) + std::string(r.status.message());
    if (!named.emplace(&row, r.node).second) continue;  // for operands of other types, too
    row.refused.push_back(r.function == nullptr ? r.node->DisplayName() : DescribePlace(r));
  }
  for (auto& [key, row] : rows) capability.operators.push_back(std::move(row));
  return capability;
}

}  // namespace fusee::compiler
