#include "passes/evaluation_cost.h"

#include <algorithm>

#include "base/checked_math.h"
#include "ops/op_def.h"

namespace fusee::passes {
namespace {

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
double StepsPerResult(const ir::Graph& graph, const ir::Node& node,
                      std::span<const Tensor> operands) {
  const auto operand = [&](size_t i) -> const Tensor& { return operands[i]; };
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
  if (node.op == "TreeEnsemble") {  // at most every node for every tree
    const auto size = [&](const char* name) {
      return static_cast<double>(Or<std::vector<int64_t>>(node.attrs.Ints(name), {}).size());
    };
    const auto members = Or<std::vector<double>>(node.attrs.Floats("membership_values"), {});
    return (size("nodes_featureids") + static_cast<double>(members.size())) * size("tree_roots");
  }
  if (node.op == "TfIdfVectorizer") {  // every place of a row, with every gap, of every length
    const auto number = [&](const char* name) {
      return static_cast<double>(Or<int64_t>(node.attrs.Int(name, 1), 1));
    };
    const double length = dim(0, operand(0).shape().rank() - 1);
    return length * std::min(number("max_skip_count") + 1, length) *
           (number("max_gram_length") - number("min_gram_length") + 1);
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

}  // namespace

bool MayEvaluate(const ir::Node& node) {
  const ops::OpDef* op = ops::FindOp(node.op);
  return op != nullptr && op->pure && node.regions.empty() &&
         std::ranges::all_of(node.dims, [](const ir::Dim& d) { return d.is_constant(); });
}

std::optional<EvaluationCost> EstimateEvaluation(const ir::Graph& graph, const ir::Node& node,
                                                 std::span<const Tensor> operands) {
  EvaluationCost cost;
  for (const Tensor& operand : operands) {
    if (!operand.present()) continue;
    cost.operand_bytes += operand.view().size_bytes();
    cost.operand_elements += static_cast<double>(operand.elements());
  }
  for (ir::ValueId result : node.outputs) {
    if (!result.valid()) continue;
    const ir::ValueInfo& info = graph.value(result).info;
    ir::SymShape shape = info.shape;
    if (!node.counts.empty()) {  // the most that it may find
      for (ir::Dim& d : shape) d = d.Range(graph.symbols()).max;
    }
    int64_t elements = 0;
    int64_t bytes = 0;
    if (!ir::IsStatic(shape) || !CheckedProduct(ir::ToShape(shape).dims(), &elements) ||
        !CheckedMul(elements, BytesPerElement(info.dtype), &bytes) ||
        !CheckedAdd(cost.result_bytes, bytes, &cost.result_bytes))
      return std::nullopt;
    cost.result_elements += static_cast<double>(elements);
  }
  cost.work = cost.operand_elements;
  if (cost.result_elements > 0)
    cost.work += cost.result_elements * std::max(1.0, StepsPerResult(graph, node, operands));
  return cost;
}

}  // namespace fusee::passes
