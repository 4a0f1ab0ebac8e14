// Products of matrices that were flattened for their sake become MatMul over the shape around them,
// so that later passes see one spelling of a linear layer, and sums around it keep their shape.
//
//   %f = Reshape(%x) dims(b*s, k)
//   %p = Gemm(%f, %w, %c)                    ->    %y = MatMul(%x, %w, %c)
//   %y = Reshape(%p) dims(b, s, n)
//
// The operand need not have been flattened: it is given the leading dimensions of the result, which
// costs nothing (a view). MatMul in place of Gemm alike; a constant weight is transposed now.
#include <fmt/format.h>

#include <algorithm>

#include "ops/op_def.h"
#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

using namespace std::string_literals;  // NOLINT: for the reasons

Result<Tensor> TransposedMatrix(const Tensor& matrix) {
  const int64_t rows = matrix.shape()[0], columns = matrix.shape()[1];
  const int64_t size = BytesPerElement(matrix.dtype());
  TensorView out;
  FUSEE_TRY(Tensor transposed, Tensor::Allocate(matrix.dtype(), Shape{columns, rows}, &out));
  const std::byte* from = matrix.bytes().data();
  std::byte* to = out.bytes().data();
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j)
      std::copy_n(from + (i * columns + j) * size, size, to + (j * rows + i) * size);
  }
  return transposed;
}

// The bias of a product as MatMul wants it, one number per column; invalid when there is none.
// Empty reason when fine.
std::string MatMulBias(ir::Graph& graph, ir::ValueId c, const ir::Dim& columns, ir::ValueId* bias) {
  if (!c.valid()) return "";
  const ir::SymShape shape = graph.value(c).info.shape;
  const Tensor constant = graph.value(c).constant;
  if (shape.size() == 1 && shape[0] == columns) {
    *bias = c;
  } else if (shape.size() == 2 && shape[0] == ir::Dim(1) && shape[1] == columns &&
             constant.present()) {
    *bias = graph.AddConstant(graph.FreshName(graph.value(c).name + "/vector"),
                              constant.Reshaped(Shape{constant.elements()}));
  } else {
    return "its c is not one number per column";
  }
  return "";
}

// What keeps a Gemm from being a MatMul with a bias; empty when nothing does.
Result<std::string> WhyNotMatMul(const ir::Graph& graph, const ir::Node& product) {
  if (product.inputs.size() > 3) return "it has a residual"s;
  if (product.op == "MatMul") return ""s;
  FUSEE_TRY(const double alpha, product.attrs.Float("alpha", 1));
  FUSEE_TRY(const double beta, product.attrs.Float("beta", 1));
  FUSEE_TRY(const int64_t trans_a, product.attrs.Int("transA", 0));
  FUSEE_TRY(const int64_t trans_b, product.attrs.Int("transB", 0));
  const bool has_c = product.inputs.size() > 2 && product.inputs[2].valid();
  if (has_c && !IsFloat(graph.value(product.inputs[0]).info.dtype))
    return "biases are for floating-point types only"s;
  if (alpha != 1 || (has_c && beta != 1)) return "it scales its sums"s;
  if (trans_a != 0) return "its operand is transposed"s;
  if (trans_b != 0 && !graph.value(product.inputs[1]).constant.present())
    return "its weight is transposed and no constant"s;
  return ""s;
}

// The value under the leading dimensions of `shape`, its own columns last.
Result<ir::ValueId> Unflattened(ir::Graph& graph, ir::ValueId operand, ir::SymShape shape,
                                ir::NodeId before) {
  shape.back() = graph.value(operand).info.shape.back();
  // A view of a view is a view of the first.
  if (const ir::Node* view = ProducerOf(graph, operand, "Reshape")) operand = view->inputs[0];
  if (graph.value(operand).info.shape == shape) return operand;
  ir::Node view{.op = "Reshape",
                .inputs = {operand},
                .dims = std::move(shape),
                .sources = graph.node(before).sources};
  const std::string names[] = {graph.value(operand).name + "/unflattened"};
  FUSEE_TRY(std::vector<ir::ValueId> results,
            ops::AddInferredNode(graph, std::move(view), names, before));
  return results[0];
}

// Empty when rewritten, else why not.
Result<std::string> Rewrite(ir::Graph& graph, ir::NodeId id, std::span<const uint32_t> uses) {
  const ir::ValueId between = graph.node(id).inputs[0];
  const ir::NodeId product_id = graph.value(between).producer;
  const std::vector<ir::ValueId> operands = graph.node(product_id).inputs;
  if (std::string reason = WhyNotAbsorb(graph, between, uses); !reason.empty()) return reason;
  FUSEE_TRY(std::string reason, WhyNotMatMul(graph, graph.node(product_id)));
  if (!reason.empty()) return reason;
  ir::ValueId bias;
  const ir::SymShape shape = graph.value(graph.node(id).outputs[0]).info.shape;
  reason =
      MatMulBias(graph, operands.size() > 2 ? operands[2] : ir::ValueId(), shape.back(), &bias);
  if (!reason.empty()) return reason;
  ir::ValueId weight = operands[1];
  FUSEE_TRY(const int64_t trans_b, graph.node(product_id).attrs.Int("transB", 0));
  if (trans_b != 0) {
    FUSEE_TRY(Tensor transposed, TransposedMatrix(graph.value(weight).constant));
    weight = graph.AddConstant(graph.FreshName(graph.value(weight).name + "/transposed"),
                               std::move(transposed));
  }
  FUSEE_TRY(const ir::ValueId operand, Unflattened(graph, operands[0], shape, id));
  AbsorbProducer(graph, id, product_id);
  ir::Node& node = graph.node(id);
  node.op = "MatMul";
  node.inputs = {operand, weight};
  if (bias.valid()) node.inputs.push_back(bias);
  for (const char* name : {"alpha", "beta", "transA", "transB"}) node.attrs.Erase(name);
  return ""s;
}

}  // namespace

Result<PassOutcome> unflatten_matmul(ir::Graph& graph, PassContext& context) {
  const std::vector<uint32_t> uses = graph.UseCounts();
  PassOutcome outcome;
  const std::vector<ir::NodeId> order = graph.order();
  for (ir::NodeId id : order) {
    if (graph.node(id).op != "Reshape") continue;
    const ir::ValueId between = graph.node(id).inputs[0];
    const ir::Node* product = ProducerOf(graph, between, "Gemm");
    if (product == nullptr) product = ProducerOf(graph, between, "MatMul");
    if (product == nullptr || between.index() >= uses.size()) continue;
    const ir::SymShape& flat = graph.value(between).info.shape;
    const ir::SymShape& shape = graph.value(graph.node(id).outputs[0]).info.shape;
    // Only leading dimensions are given back: heads that are split off are another matter.
    if (flat.size() != 2 || shape.size() < 3 || !(shape.back() == flat.back()) ||
        graph.value(product->inputs[0]).info.shape.size() != 2)
      continue;
    const std::string op = product->op;
    FUSEE_TRY(const std::string reason, Rewrite(graph, id, uses));
    if (reason.empty()) {
      outcome.changed = true;
      context.Made(fmt::format("{} takes its operand unflattened", op), graph.node(id).sources);
    } else {
      context.Declined(fmt::format("{} left flat: {}", op, reason), graph.node(id).sources);
    }
  }
  return outcome;
}

}  // namespace fusee::passes::pass
