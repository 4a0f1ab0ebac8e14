// The normalisation of a sum takes the addition in.
//
//   %s = Add(%x, %skip)
//   %y = LayerNormalization(%s, %w, %b)  ->  %y, %s = SkipLayerNormalization(%x, %skip, %w, %b)
//
// The sum is a second result where others read it. Of the forms with equally few steps the one that
// moves least memory is chosen: where the sum has other readers (a pre-norm transformer's stream)
// and one side is a product, fuse_matmul_residual adds the other side while the product is in
// registers, and the sum is read once, by a plain LayerNormalization. Where only the norm reads it
// (post-norm), the sum need not exist in memory at all, and this pass takes it.
#include <fmt/format.h>

#include "ops/op_def.h"
#include "passes/match.h"
#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

using namespace std::string_literals;  // NOLINT: for the reasons

// Whether fuse_matmul_residual can take the addition of the other operand into this one's product.
bool TakesResidual(const ir::Graph& graph, ir::ValueId value) {
  const ir::Node* product = ProducerOf(graph, value, "MatMul");
  if (product == nullptr) product = ProducerOf(graph, value, "Gemm");
  return product != nullptr && product->inputs.size() <= 3 && !product->attrs.Has("activation") &&
         graph.HasSingleUse(value);
}

Result<std::string> WhyNotFuse(const ir::Graph& graph, const ir::Node& norm, const ir::Node& add) {
  const ir::ValueInfo& sum = graph.value(norm.inputs[0]).info;
  for (size_t i = 1; i < norm.outputs.size(); ++i) {
    if (norm.outputs[i].valid()) return "its statistics are wanted"s;
  }
  for (ir::ValueId operand : add.inputs) {
    if (!SameType(graph.value(operand).info, sum)) return "the sum broadcasts"s;
  }
  FUSEE_TRY(const int64_t axis, norm.attrs.Int("axis", -1));
  if (axis + 1 != static_cast<int64_t>(sum.shape.size()) && axis != -1)
    return "it normalises several axes"s;
  for (size_t i = 1; i < norm.inputs.size(); ++i) {
    if (!norm.inputs[i].valid()) continue;
    const ir::SymShape& shape = graph.value(norm.inputs[i]).info.shape;
    if (shape.size() != 1 || !(shape[0] == sum.shape.back()))
      return "scale or bias is not one number per column"s;
  }
  if (graph.HasSingleUse(norm.inputs[0])) return ""s;
  if (TakesResidual(graph, add.inputs[0]) || TakesResidual(graph, add.inputs[1]))
    return "the sum has other readers, and a product takes the addition"s;
  for (size_t i = 1; i < norm.inputs.size(); ++i) {
    if (norm.inputs[i].valid() && graph.value(norm.inputs[i]).producer.valid())
      return "the sum has other readers, which may come before scale and bias are known"s;
  }
  return ""s;
}

ir::Node Fused(const ir::Node& norm, const ir::Node& add) {
  ir::Node fused{.op = "SkipLayerNormalization", .inputs = add.inputs, .attrs = norm.attrs};
  fused.inputs.insert(fused.inputs.end(), norm.inputs.begin() + 1, norm.inputs.end());
  fused.attrs.Erase("stash_type");
  fused.sources = JoinSources({&add, &norm});
  return fused;
}

// Both results, in the place of the addition, under the names they had.
Status ReplaceBoth(ir::Graph& graph, ir::NodeId norm_id, ir::NodeId add_id) {
  const ir::ValueId y = graph.node(norm_id).outputs[0];
  const ir::ValueId sum = graph.node(add_id).outputs[0];
  const std::string names[] = {graph.value(y).name, graph.value(sum).name};
  FUSEE_TRY(
      const std::vector<ir::ValueId> results,
      ops::AddInferredNode(graph, Fused(graph.node(norm_id), graph.node(add_id)), names, add_id));
  graph.ReplaceAllUses(y, results[0]);
  graph.ReplaceAllUses(sum, results[1]);
  const ir::NodeId dead[] = {norm_id, add_id};
  graph.EraseNodes(dead);
  for (size_t i = 0; i < 2; ++i) graph.Rename(results[i], names[i]);
  return OkStatus();
}

}  // namespace

Result<PassOutcome> fuse_skip_layernorm(ir::Graph& graph, PassContext& context) {
  PassOutcome outcome;
  const std::vector<ir::NodeId> order = graph.order();
  for (ir::NodeId id : order) {
    if (!graph.node(id).alive || graph.node(id).op != "LayerNormalization") continue;
    const ir::ValueId sum = graph.node(id).inputs[0];
    const ir::Node* add = ProducerOf(graph, sum, "Add");
    if (add == nullptr) continue;
    const ir::NodeId add_id = graph.value(sum).producer;
    FUSEE_TRY(const std::string reason, WhyNotFuse(graph, graph.node(id), *add));
    if (!reason.empty()) {
      context.Declined("Add not fused into LayerNormalization: " + reason, graph.node(id).sources);
      continue;
    }
    const std::vector<std::string> sources = JoinSources({add, &graph.node(id)});
    if (graph.HasSingleUse(sum)) {
      ir::Node fused = Fused(graph.node(id), *add);
      fused.outputs = {graph.node(id).outputs[0]};
      graph.node(id) = std::move(fused);
      const ir::NodeId dead[] = {add_id};
      graph.EraseNodes(dead);
      context.Made("fused Add into LayerNormalization", sources);
    } else {
      FUSEE_TRY(ReplaceBoth(graph, id, add_id));
      context.Made("fused Add into LayerNormalization, the sum as second result", sources);
    }
    outcome.changed = true;
  }
  return outcome;
}

}  // namespace fusee::passes::pass
