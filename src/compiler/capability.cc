#include "compiler/capability.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

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

// What imports may still lack a kernel for its types. Nodes of the IR name the ONNX nodes they
// stand for.
void AddKernelRefusals(const onnx::Model& model, const ir::Graph& graph, Capability* capability) {
  std::set<std::string> refused;
  for (const Refusal& r : capability->refusals) {
    if (r.node != nullptr) refused.insert(r.node->DisplayName());
  }
  std::map<std::string, const onnx::Node*> by_name;
  for (const onnx::Node& node : model.graph.nodes) by_name.emplace(node.DisplayName(), &node);
  SelectOptions select;
  select.reference_only = true;
  select.pack = false;
  for (RefusedNode& r : FindRefused(graph, select)) {
    const ir::Node& node = graph.node(r.node);
    const std::string source = node.sources.empty() ? std::string() : node.sources[0];
    if (refused.contains(source)) continue;  // what is left of a node refused already
    Refusal refusal;
    const auto it = by_name.find(source);
    if (it != by_name.end()) refusal.node = it->second;
    refusal.opset = static_cast<int>(model.OpsetVersion("").value_or(0));
    refusal.status = Unimplemented(std::move(r.reason));
    refusal.remedy = "cast the operands to a type that one of these kernels takes";
    if (refusal.node != nullptr) {
      for (const std::string_view name : refusal.node->inputs) {
        RefusedOperand operand{std::string(name), {}, {}, nullptr};
        if (const auto id = graph.FindValue(name); id) {
          operand.info = graph.value(*id).info;
          operand.constant = graph.value(*id).constant;
        }
        refusal.operands.push_back(std::move(operand));
      }
      refused.insert(source);
    }
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
  capability.refusals = std::move(survey.refusals);
  capability.unjudged = std::move(survey.unjudged);
  if (survey.graph != nullptr) {
    capability.symbols = survey.graph->symbols();
    if (Status verified = ir::Verify(*survey.graph);
        capability.refusals.empty() && capability.unjudged.empty() && !verified.ok()) {
      capability.refusals.push_back({nullptr, 0, std::move(verified), "", {}});
    }
    AddKernelRefusals(model, *survey.graph, &capability);
  }

  Rows rows;
  CountNodes(model.graph.nodes, model.opset_imports, &rows);
  for (const onnx::Function& f : model.functions) CountNodes(f.nodes, f.opset_imports, &rows);
  const auto refuse = [&](const onnx::Node& node, std::string reason) {
    OperatorSupport& row = RowOf(node, model.opset_imports, &rows);
    row.refused.push_back(node.DisplayName());
    if (row.reason.empty()) row.reason = std::move(reason);
  };
  for (const Refusal& r : capability.refusals) {
    if (r.node != nullptr) refuse(*r.node, r.status.message());
  }
  for (auto& [key, row] : rows) capability.operators.push_back(std::move(row));
  return capability;
}

}  // namespace fusee::compiler
