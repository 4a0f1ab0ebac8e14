// A node whose operands are all constants is run once, now, with the reference kernel.
//
//   const %w : f32[64,32]
//   %t : f32[32,64] = Transpose(%w)         ->   const %t : f32[32,64]
#include <fmt/format.h>

#include <optional>

#include "passes/evaluation_cost.h"
#include "passes/interpret.h"
#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

// Folding runs plain kernels on one thread, at some nanoseconds a step (EstimateEvaluation counts
// them), and the operand sizes alone do not bound it: a pool over 8 MB can visit 10^13 window
// elements. Nodes above the first limit stay for the run, and so does everything once the pass has
// spent the second; either is under a minute or two. A product of 1024-cubed takes 2^30.
constexpr double kNodeWorkMax = 0x1p32;
constexpr double kTotalWorkMax = 0x1p34;

bool MakesWeights(std::string_view op) {
  return op == "Expand" || op == "Cast" || op == "DequantizeLinear";
}

bool IsCandidate(const ir::Graph& graph, const ir::Node& node) {
  for (ir::ValueId operand : node.inputs) {
    if (operand.valid() && !graph.value(operand).constant.present()) return false;
  }
  // What such a node finds may size others, whose sizes are not rewritten here; the importer
  // computes those of constants.
  return node.counts.empty() && MayEvaluate(node);
}

std::string WhyNot(const ir::Graph& graph, const ir::Node& node, const EvaluationCost& cost,
                   const EvaluationCost& spent, const PassLimits& limits) {
  for (ir::ValueId result : node.outputs) {
    if (result.valid() && graph.IsOutput(result))
      return "its result is a graph output and would be a constant";
  }
  if (!MakesWeights(node.op) &&
      cost.result_bytes - cost.operand_bytes > limits.fold_growth_bytes_max) {
    return fmt::format(
        "the result would take {} bytes more than its operands, above the limit of {}",
        cost.result_bytes - cost.operand_bytes, limits.fold_growth_bytes_max);
  }
  if (cost.result_bytes > limits.fold_total_bytes_max - spent.result_bytes) {
    return fmt::format("all folded results together would pass {} bytes",
                       limits.fold_total_bytes_max);
  }
  if (cost.work > kNodeWorkMax) {
    return fmt::format(
        "it would take too long to compute while building: {:.2g} steps, above the limit of {:.2g}",
        cost.work, kNodeWorkMax);
  }
  if (cost.work > kTotalWorkMax - spent.work) {
    return fmt::format("all folded nodes together would take more than {:.2g} steps to compute",
                       kTotalWorkMax);
  }
  return "";
}

}  // namespace

Result<PassOutcome> fold_constants(ir::Graph& graph, PassContext& context) {
  std::vector<ir::NodeId> dead;
  EvaluationCost spent;
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    if (!IsCandidate(graph, node)) continue;
    std::vector<Tensor> operands;
    for (ir::ValueId operand : node.inputs) {
      operands.push_back(operand.valid() ? graph.value(operand).constant : Tensor());
    }
    const std::optional<EvaluationCost> estimate = EstimateEvaluation(graph, node, operands);
    const EvaluationCost cost = estimate.value_or(EvaluationCost());
    const std::string reason = estimate ? WhyNot(graph, node, cost, spent, context.limits())
                                        : "its result's size is not known";
    if (!reason.empty()) {
      context.Declined(fmt::format("{} of constants kept: {}", node.op, reason), node.sources);
      continue;
    }
    spent.work += cost.work;
    // A kernel's refusal (an index out of range, say) is what the run would report; it may never be
    // reached.
    Result<std::vector<Tensor>> results = EvaluateNode(graph, node, operands, {});
    if (!results.ok()) {
      context.Declined(fmt::format("{} of constants kept: {}", node.op, results.status().message()),
                       node.sources);
      continue;
    }
    spent.result_bytes += cost.result_bytes;
    context.Made(fmt::format("computed {} while building: its operands are constants", node.op),
                 node.sources);
    for (size_t i = 0; i < results->size(); ++i) {
      const ir::ValueId result = graph.node(id).outputs[i];
      if (result.valid()) graph.ReplaceWithConstant(result, std::move((*results)[i]));
    }
    dead.push_back(id);
  }
  graph.EraseNodes(dead);
  return PassOutcome{!dead.empty()};
}

}  // namespace fusee::passes::pass
