// If. Where the condition is known while building, the branch that is taken stands in the node's
// place, the other is not looked at: exporters write such conditions about shapes and sample rates.
//
// Where only a run tells it, both branches are regions of the node:
//
//   operands  the condition (bool scalar), then what the branches read from around them
//   regions   then, else; each takes the operands behind the condition and gives the results
//
// Both give results of one type. What only one branch would need of a run (sizes that it finds or
// that must agree) is refused: the other branch would have to meet it, too.
#include "ir/region.h"
#include "ops/control/known.h"
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

std::string TypeText(const ir::ValueInfo& info) {
  return fmt::format("{}{}", DTypeName(info.dtype), ir::ToString(info.shape));
}

Status InferIf(InferContext& context) {
  const auto& regions = context.node().regions;
  if (regions.size() != 2) return context.Error("expected two regions, then and else");
  if (context.dtype(0) != DType::kBool || context.rank(0) != 0) {
    return context.Error(
        fmt::format("the condition should be one bool, got {}", TypeText(context.input(0))));
  }
  for (const auto& region : regions) {
    if (region->inputs().size() + 1 != context.input_count() ||
        region->outputs().size() != context.outputs().size())
      return context.Error("a region should take and give what the node does");
    for (size_t i = 1; i < context.input_count(); ++i) {
      const ir::ValueInfo& inner = region->value(region->inputs()[i - 1]).info;
      if (inner.dtype != context.dtype(i) || inner.shape.size() != context.shape(i).size()) {
        return context.Error(fmt::format("operand {} is {}, the region '{}' takes {}", i,
                                         TypeText(context.input(i)), region->name,
                                         TypeText(inner)));
      }
    }
  }
  for (size_t i = 0; i < context.outputs().size(); ++i) {
    const ir::ValueInfo& a = regions[0]->value(regions[0]->outputs()[i]).info;
    const ir::ValueInfo& b = regions[1]->value(regions[1]->outputs()[i]).info;
    if (a.dtype != b.dtype || a.shape != b.shape) {
      return context.Refuse(
          fmt::format("result {} is {} or {}, as the condition says", i, TypeText(a), TypeText(b)));
    }
    context.outputs()[i] = a;
    if (a.elements != b.elements) context.outputs()[i].elements.reset();
  }
  return OkStatus();
}

// Why the branch cannot wait for a run; empty when it can. first: its first node.
std::string WhyNotAtRun(const ImportContext& context, size_t first, size_t constraints) {
  const ir::Graph& graph = context.graph();
  if (graph.constraints().size() > constraints)
    return fmt::format("needs that sizes agree which may differ ({})",
                       graph.constraints().back().reason);
  for (size_t i = first; i < graph.order().size(); ++i) {
    const ir::Node& node = graph.node(graph.order()[i]);
    if (!node.counts.empty())
      return fmt::format("has sizes that depend on the data ({})", ir::DescribeNode(node));
  }
  return "";
}

// The branch's nodes at the end of the graph. unknown: why the condition is not known, which says
// what would make it so.
Result<ir::Stretch> WriteBranch(ImportContext& context, const onnx::Graph& branch,
                                std::string_view name, const Status& unknown) {
  ir::Graph& graph = context.graph();
  const size_t constraints = graph.constraints().size();
  ir::Stretch stretch{.first = graph.order().size(), .name = std::string(name)};
  FUSEE_TRY(stretch.results, context.Inline(branch, {}));
  stretch.last = graph.order().size();
  if (stretch.results.size() < context.output_count()) {
    return context.Error(fmt::format("the {} branch gives {} results, expected {}", name,
                                     stretch.results.size(), context.output_count()));
  }
  stretch.results.resize(context.output_count());
  if (const std::string why = WhyNotAtRun(context, stretch.first, constraints); !why.empty())
    return context.Refuse(fmt::format("the {} branch {}, so that the condition must be known; {}",
                                      name, why, unknown.message()));
  return stretch;
}

Status ImportAtRun(ImportContext& context, const onnx::Graph& then_branch,
                   const onnx::Graph& else_branch, const Status& unknown) {
  ir::Graph& graph = context.graph();
  ir::ValueId condition = context.input(0);
  const ir::ValueInfo info = graph.value(condition).info;
  if (info.dtype != DType::kBool || ir::ElementCount(info.shape) != ir::Dim(1)) {
    return context.Error(fmt::format("the condition should be one bool, got {}", TypeText(info)));
  }
  if (!info.shape.empty()) {
    FUSEE_TRY(condition, context.Emit("Reshape", {condition}));
  }
  std::vector<ir::Stretch> branches(2);
  FUSEE_TRY(branches[0], WriteBranch(context, then_branch, "then", unknown));
  FUSEE_TRY(branches[1], WriteBranch(context, else_branch, "else", unknown));
  for (size_t i = 0; i < context.output_count(); ++i) {
    const ir::ValueInfo& a = graph.value(branches[0].results[i]).info;
    const ir::ValueInfo& b = graph.value(branches[1].results[i]).info;
    if (a.dtype == b.dtype && a.shape == b.shape) continue;
    return context.Refuse(
        fmt::format("the branches give result {} as {} and {}, so that the condition must be "
                    "known; {}",
                    i, TypeText(a), TypeText(b), unknown.message()));
  }
  std::vector<ir::ValueId> operands;
  auto regions = ir::MoveToRegions(graph, branches, &operands);
  operands.insert(operands.begin(), condition);
  FUSEE_TRY(const std::vector<ir::ValueId> results,
            context.EmitWithRegions("If", std::move(operands), std::move(regions),
                                    context.output_count()));
  for (size_t i = 0; i < results.size(); ++i) context.SetOutput(i, results[i]);
  return OkStatus();
}

Status ImportIf(ImportContext& context) {
  const onnx::Graph* then_branch = context.GraphAttr("then_branch");
  const onnx::Graph* else_branch = context.GraphAttr("else_branch");
  if (then_branch == nullptr || else_branch == nullptr)
    return context.Error("expected the attributes then_branch and else_branch to be graphs");
  const Result<bool> taken = KnownCondition(context, context.input(0), "condition");
  if (taken.status().code() == StatusCode::kUnimplemented)
    return ImportAtRun(context, *then_branch, *else_branch, taken.status());
  FUSEE_TRY(taken.status());
  FUSEE_TRY(const std::vector<ir::ValueId> results,
            context.Inline(*taken ? *then_branch : *else_branch, {}));
  if (results.size() < context.output_count()) {
    return context.Error(fmt::format("the branch that is taken gives {} results, expected {}",
                                     results.size(), context.output_count()));
  }
  for (size_t i = 0; i < context.output_count(); ++i) context.SetOutput(i, results[i]);
  return OkStatus();
}

}  // namespace

OpDef DefineIf() {
  return {.name = "If", .infer = InferIf, .imports = {{"If", 1, 1 << 20, ImportIf}}};
}

}  // namespace fusee::ops
