// A node whose operands are all constants is run once, now, with the reference kernel.
//
//   const %w : f32[64,32]
//   %t : f32[32,64] = Transpose(%w)         ->   const %t : f32[32,64]
#include <fmt/format.h>

#include <algorithm>

#include "base/checked_math.h"
#include "ops/kernel.h"
#include "ops/op_def.h"
#include "passes/interpret.h"
#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

// Products of matrices are the one thing whose time grows faster than its bytes; above this many
// (result elements x elements of the larger operand) they stay for the run. 1024-cubed is below,
// some seconds above.
constexpr double kHeavyWorkMax = 0x1p42;

bool IsHeavy(std::string_view op) { return op == "Conv" || op == "Gemm" || op == "MatMul"; }
bool MakesWeights(std::string_view op) {
  return op == "Expand" || op == "Cast" || op == "DequantizeLinear";
}

bool IsCandidate(const ir::Graph& graph, const ir::Node& node) {
  const ops::OpDef* op = ops::FindOp(node.op);
  if (op == nullptr || !op->pure || !node.regions.empty()) return false;
  for (ir::ValueId operand : node.inputs) {
    if (operand.valid() && !graph.value(operand).constant.present()) return false;
  }
  return std::all_of(node.dims.begin(), node.dims.end(),
                     [](const ir::Dim& d) { return d.is_constant(); });
}

struct Cost {
  int64_t operand_bytes = 0;
  int64_t result_bytes = 0;
  double work = 0;
};

// False when a result's size is not known or overflows.
bool Estimate(const ir::Graph& graph, const ir::Node& node, Cost* cost) {
  int64_t operand_elements_max = 1;
  for (ir::ValueId operand : node.inputs) {
    if (!operand.valid()) continue;
    cost->operand_bytes += graph.value(operand).constant.view().size_bytes();
    operand_elements_max = std::max(operand_elements_max, graph.value(operand).constant.elements());
  }
  for (ir::ValueId result : node.outputs) {
    if (!result.valid()) continue;
    const ir::ValueInfo& info = graph.value(result).info;
    int64_t elements = 0;
    int64_t bytes = 0;
    if (!ir::IsStatic(info.shape) || !CheckedProduct(ir::ToShape(info.shape).dims(), &elements) ||
        !CheckedMul(elements, BytesPerElement(info.dtype), &bytes) ||
        !CheckedAdd(cost->result_bytes, bytes, &cost->result_bytes)) {
      return false;
    }
    cost->work += static_cast<double>(elements) * static_cast<double>(operand_elements_max);
  }
  return true;
}

std::string WhyNot(const ir::Graph& graph, const ir::Node& node, const Cost& cost, int64_t total,
                   const PassLimits& limits) {
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
  if (cost.result_bytes > limits.fold_total_bytes_max - total) {
    return fmt::format("all folded results together would pass {} bytes",
                       limits.fold_total_bytes_max);
  }
  if (IsHeavy(node.op) && cost.work > kHeavyWorkMax)
    return "it would take too long to compute while building";
  return "";
}

}  // namespace

Result<PassOutcome> fold_constants(ir::Graph& graph, PassContext& context) {
  std::vector<ir::NodeId> dead;
  int64_t total = 0;
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    if (!IsCandidate(graph, node)) continue;
    Cost cost;
    std::string reason = "its result's size is not known";
    if (Estimate(graph, node, &cost)) reason = WhyNot(graph, node, cost, total, context.limits());
    if (!reason.empty()) {
      context.Declined(fmt::format("{} of constants kept: {}", node.op, reason), node.sources);
      continue;
    }
    std::vector<Tensor> operands;
    for (ir::ValueId operand : node.inputs) {
      operands.push_back(operand.valid() ? graph.value(operand).constant : Tensor());
    }
    // A kernel's refusal (an index out of range, say) is what the run would report; it may never be
    // reached.
    Result<std::vector<Tensor>> results = EvaluateNode(graph, node, operands, {});
    if (!results.ok()) {
      context.Declined(fmt::format("{} of constants kept: {}", node.op, results.status().message()),
                       node.sources);
      continue;
    }
    total += cost.result_bytes;
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
