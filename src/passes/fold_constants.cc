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

// Folding runs plain kernels on one thread, at some nanoseconds a step (Estimate counts them), and
// the operand sizes alone do not bound it: a pool over 8 MB can visit 10^13 window elements. Nodes
// above the first limit stay for the run, and so does everything once the pass has spent the
// second; either is under a minute or two. A product of 1024-cubed takes 2^30.
constexpr double kNodeWorkMax = 0x1p32;
constexpr double kTotalWorkMax = 0x1p34;

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
  double operand_elements = 0;
  double result_elements = 0;
  double work = 0;  // elements visited by the reference kernel, at most
};

// The attribute, or the fallback also when it has another type: the kernel's bind will say so.
template <typename T>
T Or(Result<T> attribute, T fallback) {
  return attribute.ok() ? std::move(attribute).value() : fallback;
}

// Operand elements that Resize weighs for one result element: up to 4 along an axis, more where an
// antialiasing filter is stretched by 1/scale.
double ResizeTaps(const ir::Node& node, const Shape& from, const ir::SymShape& to) {
  if (Or<std::string>(node.attrs.Str("mode", "nearest"), "") == "nearest") return 1;
  const std::vector<double> scales = Or<std::vector<double>>(node.attrs.Floats("scales"), {});
  double taps = 1;
  for (int i = 0; i < from.rank(); ++i) {
    const auto a = static_cast<size_t>(i);
    double scale = static_cast<double>(to[a].constant()) / static_cast<double>(from[i]);
    if (a < scales.size()) scale = std::min(scale, scales[a]);
    if (scale != 1) taps *= 4 * std::max(1.0, 1 / scale);
  }
  return taps;
}

// Steps per result element of the operators whose work is not linear in their bytes; else 0.
// Operands have the ranks that inference demands.
double StepsPerResult(const ir::Graph& graph, const ir::Node& node) {
  const auto operand = [&](size_t i) -> const Tensor& {
    return graph.value(node.inputs[i]).constant;
  };
  const auto dim = [&](size_t i, int axis) {
    return static_cast<double>(std::max<int64_t>(operand(i).shape()[axis], 1));
  };
  if (node.op == "MatMul") return dim(0, operand(0).shape().rank() - 1);
  if (node.op == "Gemm") return dim(0, Or<int64_t>(node.attrs.Int("transA", 0), 0) != 0 ? 0 : 1);
  if (node.op == "Conv") return static_cast<double>(operand(1).elements()) / dim(1, 0);
  if (node.op == "ConvTranspose") return static_cast<double>(operand(1).elements()) / dim(1, 1);
  if (node.op == "RNN" || node.op == "GRU" || node.op == "LSTM") {
    // Each step reads all weights. Result 0 has an element for every step, the others do not.
    const auto hidden = static_cast<double>(Or<int64_t>(node.attrs.Int("hidden_size", 1), 1));
    const bool batch_first = Or<int64_t>(node.attrs.Int("layout", 0), 0) == 1;
    return static_cast<double>(operand(1).elements() + operand(2).elements()) / hidden *
           (node.outputs[0].valid() ? 1 : dim(0, batch_first ? 1 : 0));
  }
  if (node.op == "LRN") {
    return std::min(static_cast<double>(Or<int64_t>(node.attrs.Int("size", 1), 1)), dim(0, 1));
  }
  if (node.op == "TopK") {  // insertion: sorted data at worst
    const auto axis = static_cast<int>(Or<int64_t>(node.attrs.Int("axis", -1), -1));
    return dim(0, axis < 0 ? axis + operand(0).shape().rank() : axis);
  }
  if (node.op == "Resize" && node.outputs[0].valid())
    return ResizeTaps(node, operand(0).shape(), graph.value(node.outputs[0]).info.shape);
  double window = node.attrs.Has("kernel_shape") ? 1 : 0;
  for (int64_t k : Or<std::vector<int64_t>>(node.attrs.Ints("kernel_shape"), {}))
    window *= static_cast<double>(k);
  return window;
}

// False when a result's size is not known or overflows.
bool Estimate(const ir::Graph& graph, const ir::Node& node, Cost* cost) {
  for (ir::ValueId operand : node.inputs) {
    if (!operand.valid()) continue;
    const Tensor& constant = graph.value(operand).constant;
    cost->operand_bytes += constant.view().size_bytes();
    cost->operand_elements += static_cast<double>(constant.elements());
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
    cost->result_elements += static_cast<double>(elements);
  }
  cost->work = cost->operand_elements;
  if (cost->result_elements > 0)
    cost->work += cost->result_elements * std::max(1.0, StepsPerResult(graph, node));
  return true;
}

std::string WhyNot(const ir::Graph& graph, const ir::Node& node, const Cost& cost,
                   const Cost& spent, const PassLimits& limits) {
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
  Cost spent;
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    if (!IsCandidate(graph, node)) continue;
    Cost cost;
    std::string reason = "its result's size is not known";
    if (Estimate(graph, node, &cost)) reason = WhyNot(graph, node, cost, spent, context.limits());
    if (!reason.empty()) {
      context.Declined(fmt::format("{} of constants kept: {}", node.op, reason), node.sources);
      continue;
    }
    spent.work += cost.work;
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
