// Three projections of one value, or one that was split into three, feed attention as one product.
//
//   %q = MatMul(%x, %wq, %bq)
//   %k = MatMul(%x, %wk, %bk)              ->   %p = MatMul(%x, %wqkv, %bqkv)
//   %v = MatMul(%x, %wv, %bv)                   %y = FusedAttention(%p) {packed_qkv = 1}
//   %y = FusedAttention(%q, %k, %v)
//
//   %q, %k, %v = Split(%p)  ->  the operand of Split
//
// One product reads x once, and has three times the columns to keep a device busy with. Weights
// must be constants of one shape; a projection without a bias gets zeros when another one has one.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "ops/op_def.h"
#include "passes/match.h"
#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

using namespace std::string_literals;  // NOLINT: for the reasons

using Projections = std::array<const ir::Node*, 3>;

// The operand of a Split into exactly q, k and v, in this order; else an invalid id.
ir::ValueId SplitIntoThree(const ir::Graph& graph, const ir::Node& attention) {
  const ir::Node* split = ProducerOf(graph, attention.inputs[0], "Split");
  if (split == nullptr || split->outputs.size() != 3) return {};
  for (size_t i = 0; i < 3; ++i) {
    if (attention.inputs[i] != split->outputs[i] ||
        !(graph.value(split->outputs[i]).info.shape == graph.value(split->outputs[0]).info.shape))
      return {};
  }
  const auto axis = split->attrs.Int("axis", 0);
  return axis.ok() && *axis == 2 ? split->inputs[0] : ir::ValueId();
}

bool HasBias(const ir::Node& product) {
  return product.inputs.size() > 2 && product.inputs[2].valid();
}

// Why the three cannot be one; empty when they can.
std::string WhyNotMerge(const ir::Graph& graph, const ir::Node& attention, Projections* products) {
  for (size_t i = 0; i < 3; ++i) {
    const std::string which(1, "qkv"[i]);
    const ir::Node* product = ProducerOf(graph, attention.inputs[i], "MatMul");
    if (product == nullptr) return which + " is no product";
    (*products)[i] = product;
    if (product->inputs[0] != (*products)[0]->inputs[0])
      return "q, k and v are not products of one value";
    if (product->inputs.size() > 3 || product->attrs.Has("activation"))
      return "the product of " + which + " has an activation or a residual";
    if (!graph.HasSingleUse(attention.inputs[i]))
      return "the product of " + which + " has other readers";
    const Tensor& weight = graph.value(product->inputs[1]).constant;
    if (!weight.present()) return "the weight of " + which + " is no constant";
    const Tensor& first = graph.value((*products)[0]->inputs[1]).constant;
    if (weight.shape().rank() != 2 || !(weight.shape() == first.shape()))
      return "the weights have several shapes";
    if (HasBias(*product) && !graph.value(product->inputs[2]).constant.present())
      return "the bias of " + which + " is no constant";
  }
  return "";
}

// Matrices of one shape side by side; a null one is zeros.
Result<Tensor> SideBySide(DType dtype, int64_t rows, int64_t columns,
                          const std::array<const Tensor*, 3>& parts, const Shape& shape) {
  TensorView out;
  FUSEE_TRY(Tensor joined, Tensor::Allocate(dtype, shape, &out));
  const auto bytes = static_cast<size_t>(columns * BytesPerElement(dtype));
  std::byte* to = out.bytes().data();
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    for (const Tensor* part : parts) {
      if (part != nullptr) std::memcpy(to, part->bytes().data() + row * bytes, bytes);
      to += bytes;
    }
  }
  return joined;
}

Result<ir::ValueId> MergedProduct(ir::Graph& graph, const Projections& products,
                                  ir::NodeId before) {
  std::array<const Tensor*, 3> weights{}, biases{};
  bool has_bias = false;
  for (size_t i = 0; i < 3; ++i) {
    weights[i] = &graph.value(products[i]->inputs[1]).constant;
    if (HasBias(*products[i])) biases[i] = &graph.value(products[i]->inputs[2]).constant;
    has_bias = has_bias || biases[i] != nullptr;
  }
  const int64_t rows = weights[0]->shape()[0], columns = weights[0]->shape()[1];
  const DType dtype = weights[0]->dtype();
  FUSEE_TRY(Tensor weight, SideBySide(dtype, rows, columns, weights, Shape{rows, 3 * columns}));
  ir::Node merged{.op = "MatMul", .inputs = {products[0]->inputs[0]}};
  merged.sources = JoinSources({products[0], products[1], products[2]});
  Tensor bias;
  if (has_bias) {
    FUSEE_TRY(bias, SideBySide(dtype, 1, columns, biases, Shape{3 * columns}));
  }
  const std::string base = graph.value(products[0]->outputs[0]).name + "/qkv";
  merged.inputs.push_back(graph.AddConstant(graph.FreshName(base + "_weight"), std::move(weight)));
  if (has_bias)
    merged.inputs.push_back(graph.AddConstant(graph.FreshName(base + "_bias"), std::move(bias)));
  const std::string names[] = {base};
  FUSEE_TRY(std::vector<ir::ValueId> results,
            ops::AddInferredNode(graph, std::move(merged), names, before));
  return results[0];
}

}  // namespace

Result<PassOutcome> merge_qkv(ir::Graph& graph, PassContext& context) {
  PassOutcome outcome;
  const std::vector<ir::NodeId> order = graph.order();
  for (ir::NodeId id : order) {
    if (graph.node(id).op != "FusedAttention") continue;
    FUSEE_TRY(const int64_t packed, graph.node(id).attrs.Int("packed_qkv", 0));
    if (packed != 0) continue;
    ir::ValueId joined = SplitIntoThree(graph, graph.node(id));
    if (!joined.valid()) {
      Projections products{};
      const std::string reason = WhyNotMerge(graph, graph.node(id), &products);
      if (!reason.empty()) {
        context.Declined("projections of q, k and v not merged: " + reason, graph.node(id).sources);
        continue;
      }
      FUSEE_TRY(joined, MergedProduct(graph, products, id));
      context.Made("merged the projections of q, k and v", graph.node(id).sources);
    } else {
      context.Made("attention takes q, k and v unsplit", graph.node(id).sources);
    }
    ir::Node& node = graph.node(id);
    node.inputs[0] = joined;
    if (node.inputs.size() > 3) {
      node.inputs[1] = node.inputs[2] = ir::ValueId();
    } else {
      node.inputs.resize(1);
    }
    node.attrs.Set("packed_qkv", int64_t{1});
    outcome.changed = true;
  }
  return outcome;
}

}  // namespace fusee::passes::pass
