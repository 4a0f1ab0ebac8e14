// MatMul and Gemm add the residual that follows them while the result is in registers.
//
//   %p = MatMul(%a, %w, %bias)
//   %y = Add(%p, %x)                  ->    %y = MatMul(%a, %w, %bias, %x)
//
// The residual has exactly the result's shape. It is added before an activation, so a product that
// has one already does not take it. Sums that only a LayerNormalization reads were taken by
// fuse_skip_layernorm, which says why; what is left are streams with several readers.
#include <fmt/format.h>

#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

const ir::Node* Product(const ir::Graph& graph, ir::ValueId value) {
  const ir::Node* product = ProducerOf(graph, value, "MatMul");
  return product != nullptr ? product : ProducerOf(graph, value, "Gemm");
}

// Why the product that makes operand i of the sum does not take the other one; empty when it does.
std::string WhyNotFuse(const ir::Graph& graph, const ir::Node& add, size_t i,
                       std::span<const uint32_t> uses) {
  const ir::Node& product = *Product(graph, add.inputs[i]);
  const ir::ValueInfo& sum = graph.value(add.outputs[0]).info;
  if (!IsFloat(sum.dtype)) return "residuals are fused for floating-point types only";
  if (std::string reason = WhyNotAbsorb(graph, add.inputs[i], uses); !reason.empty()) return reason;
  if (product.attrs.Has("activation")) return "it has an activation, which comes last";
  if (product.inputs.size() > 3) return "it already has a residual";
  if (!SameType(graph.value(add.inputs[i]).info, sum) ||
      !SameType(graph.value(add.inputs[1 - i]).info, sum))
    return "the sum broadcasts";
  return "";
}

}  // namespace

Result<PassOutcome> fuse_matmul_residual(ir::Graph& graph, PassContext& context) {
  const std::vector<uint32_t> uses = graph.UseCounts();
  std::vector<ir::NodeId> dead;
  for (ir::NodeId id : graph.order()) {
    const ir::Node& add = graph.node(id);
    if (add.op != "Add") continue;
    std::string reason;
    bool made = false;
    for (size_t i = 0; i < 2 && !made; ++i) {
      const ir::Node* product = Product(graph, add.inputs[i]);
      if (product == nullptr) continue;
      const std::string op = product->op;
      const std::string why = WhyNotFuse(graph, add, i, uses);
      if (!why.empty()) {
        reason = fmt::format("Add not fused into {}: {}", op, why);
        continue;
      }
      const ir::ValueId residual = add.inputs[1 - i];
      const ir::NodeId product_id = graph.value(add.inputs[i]).producer;
      AbsorbProducer(graph, id, product_id);
      ir::Node& node = graph.node(id);
      node.inputs.resize(4);
      node.inputs[3] = residual;
      dead.push_back(product_id);
      context.Made(fmt::format("fused a residual into {}", op), node.sources);
      made = true;
    }
    if (!made && !reason.empty()) context.Declined(reason, graph.node(id).sources);
  }
  graph.EraseNodes(dead);
  return PassOutcome{!dead.empty()};
}

}  // namespace fusee::passes::pass
