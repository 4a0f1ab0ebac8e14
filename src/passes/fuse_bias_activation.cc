// Conv, Gemm and MatMul take in the addition of a bias and the activation that follow them, so that
// kernels apply both while the result is in registers.
//
//   %y = MatMul(%a, %b)
//   %z = Add(%y, %bias)               ->    %r = MatMul(%a, %b, %bias) {activation = "Relu"}
//   %r = Relu(%z)
//
// The bias of MatMul is 1-D over the last dimension; Gemm's is its operand c. Conv's was taken in
// by fuse_conv_batchnorm. Operand and attributes are described in ops/nn/activation.h.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

using namespace std::string_literals;  // NOLINT: for the reasons

bool TakesActivation(std::string_view op) { return op == "Conv" || op == "Gemm" || op == "MatMul"; }

// The one node that makes `value` when it takes biases or activations.
const ir::Node* Target(const ir::Graph& graph, ir::ValueId value) {
  if (!value.valid() || !graph.value(value).producer.valid()) return nullptr;
  const ir::Node& node = graph.node(graph.value(value).producer);
  return TakesActivation(node.op) ? &node : nullptr;
}

// --- activation ---

struct Fused {
  std::string name;
  std::optional<double> alpha, beta;
};

// Operators that may become an activation, whether or not this node can.
bool IsActivation(std::string_view op) {
  constexpr std::string_view kNames[] = {"Relu",        "Clip",      "Sigmoid", "Tanh", "LeakyRelu",
                                         "HardSigmoid", "HardSwish", "Gelu",    "Swish"};
  return std::find(std::begin(kNames), std::end(kNames), op) != std::end(kNames);
}

// Empty when *fused is set, else why not.
Result<std::string> ReadActivation(const ir::Graph& graph, const ir::Node& node, Fused* fused) {
  fused->name = node.op;
  if (node.op == "Clip") {
    std::optional<double>* bounds[] = {&fused->alpha, &fused->beta};
    for (size_t i = 1; i < node.inputs.size() && i < 3; ++i) {
      if (!node.inputs[i].valid()) continue;
      const Tensor& bound = graph.value(node.inputs[i]).constant;
      if (!bound.present()) return "its bounds are no constants"s;
      *bounds[i - 1] = DoubleAt(bound.view(), 0);
    }
  } else if (node.op == "LeakyRelu") {
    FUSEE_TRY(fused->alpha, node.attrs.Float("alpha", static_cast<double>(0.01f)));
  } else if (node.op == "HardSigmoid") {
    FUSEE_TRY(fused->alpha, node.attrs.Float("alpha", static_cast<double>(0.2f)));
    FUSEE_TRY(fused->beta, node.attrs.Float("beta", 0.5));
  } else if (node.op == "Gelu") {
    FUSEE_TRY(const std::string approximate, node.attrs.Str("approximate", "none"));
    if (approximate == "tanh") fused->name = "GeluTanh";
  } else if (node.op == "Swish") {
    FUSEE_TRY(const double alpha, node.attrs.Float("alpha", 1.0));
    if (alpha != 1) return "its alpha is not 1"s;
    fused->name = "Silu";
  }
  return ""s;
}

// Empty when fused, else why not.
Result<std::string> FuseActivation(ir::Graph& graph, ir::NodeId id, std::span<const uint32_t> uses,
                                   std::vector<ir::NodeId>* dead) {
  const ir::Node& node = graph.node(id);
  const ir::ValueId between = node.inputs[0];
  const ir::NodeId target_id = graph.value(between).producer;
  if (std::string reason = WhyNotAbsorb(graph, between, uses); !reason.empty()) return reason;
  if (graph.node(target_id).attrs.Has("activation")) return "it already has an activation"s;
  if (!IsFloat(graph.value(between).info.dtype))
    return "activations are fused for floating-point types only"s;
  Fused fused;
  FUSEE_TRY(const std::string reason, ReadActivation(graph, node, &fused));
  if (!reason.empty()) return reason;
  AbsorbProducer(graph, id, target_id);
  Attrs& attrs = graph.node(id).attrs;
  attrs.Set("activation", fused.name);
  if (fused.alpha) attrs.Set("activation_alpha", *fused.alpha);
  if (fused.beta) attrs.Set("activation_beta", *fused.beta);
  dead->push_back(target_id);
  return ""s;
}

// --- bias ---

// Which operand of an Add is a product that could take the other one as its bias; -1: none.
int ProductOperand(const ir::Graph& graph, const ir::Node& add) {
  for (int i : {0, 1}) {
    const ir::Node* target = Target(graph, add.inputs[static_cast<size_t>(i)]);
    if (target == nullptr || target->op == "Conv") continue;
    // A sum of two large tensors is a residual connection, not a bias: nothing to say about it.
    const ir::SymShape& other = graph.value(add.inputs[static_cast<size_t>(1 - i)]).info.shape;
    const bool vector = std::all_of(other.begin(), other.empty() ? other.end() : other.end() - 1,
                                    [](const ir::Dim& d) { return d == ir::Dim(1); });
    if (vector) return i;
  }
  return -1;
}

// The bias as a 1-D value over `columns`, or an invalid id: a constant [1,...,1,N] is given a new
// shape.
ir::ValueId VectorBias(ir::Graph& graph, ir::ValueId bias, const ir::Dim& columns) {
  const ir::SymShape shape = graph.value(bias).info.shape;
  if (shape.empty() || !(shape.back() == columns)) return ir::ValueId();
  if (shape.size() == 1) return bias;
  const Tensor constant = graph.value(bias).constant;
  if (!constant.present()) return ir::ValueId();
  return graph.AddConstant(graph.FreshName(graph.value(bias).name + "/vector"),
                           constant.Reshaped(Shape{constant.elements()}));
}

// Empty when fused, else why not.
Result<std::string> FuseBias(ir::Graph& graph, ir::NodeId id, int product,
                             std::span<const uint32_t> uses, std::vector<ir::NodeId>* dead) {
  const ir::ValueId between = graph.node(id).inputs[static_cast<size_t>(product)];
  const ir::ValueId added = graph.node(id).inputs[static_cast<size_t>(1 - product)];
  const ir::NodeId target_id = graph.value(between).producer;
  const ir::Node& target = graph.node(target_id);
  if (std::string reason = WhyNotAbsorb(graph, between, uses); !reason.empty()) return reason;
  if (target.attrs.Has("activation")) return "it already has an activation"s;
  if (target.inputs.size() > 2 && target.inputs[2].valid()) return "it already has a bias"s;
  if (!IsFloat(graph.value(between).info.dtype))
    return "biases are fused for floating-point types only"s;
  if (!SameType(graph.value(between).info, graph.value(graph.node(id).outputs[0]).info))
    return "the sum changes the shape"s;
  if (target.op == "MatMul" && graph.value(target.inputs[1]).info.shape.size() < 2)
    return "it multiplies by a vector"s;
  const ir::ValueId bias = VectorBias(graph, added, graph.value(between).info.shape.back());
  if (!bias.valid()) return "what is added is not one number per column"s;
  AbsorbProducer(graph, id, target_id);
  ir::Node& node = graph.node(id);
  node.inputs.resize(std::max<size_t>(node.inputs.size(), 3));  // a residual stays where it is
  node.inputs[2] = bias;
  node.attrs.Erase("beta");  // Gemm scales c by beta; without c it had no effect
  dead->push_back(target_id);
  return ""s;
}

}  // namespace

Result<PassOutcome> fuse_bias_activation(ir::Graph& graph, PassContext& context) {
  const std::vector<uint32_t> uses = graph.UseCounts();
  std::vector<ir::NodeId> dead;
  for (ir::NodeId id : graph.order()) {
    const std::string op = graph.node(id).op;
    std::string reason;
    std::string target_op;
    if (IsActivation(op)) {
      const ir::Node* target = Target(graph, graph.node(id).inputs[0]);
      if (target == nullptr) continue;
      target_op = target->op;
      FUSEE_TRY(reason, FuseActivation(graph, id, uses, &dead));
    } else if (op == "Add") {
      const int product = ProductOperand(graph, graph.node(id));
      if (product < 0) continue;
      target_op = Target(graph, graph.node(id).inputs[static_cast<size_t>(product)])->op;
      FUSEE_TRY(reason, FuseBias(graph, id, product, uses, &dead));
    } else {
      continue;
    }
    if (reason.empty()) {
      context.Made(fmt::format("fused {} into {}", op, target_op), graph.node(id).sources);
    } else {
      context.Declined(fmt::format("{} not fused into {}: {}", op, target_op, reason),
                       graph.node(id).sources);
    }
  }
  graph.EraseNodes(dead);
  return PassOutcome{!dead.empty()};
}

}  // namespace fusee::passes::pass
