// Convolution followed by something affine per output channel, with constants: the weights take it
// in.
//
//   %y = Conv(%x, %w, %b?)
//   %z = BatchNormalization(%y, %scale, %bias, %mean, %var)     ->   %z = Conv(%x, %w', %b')
//
//   w'[m,...] = w[m,...] * s[m]     b'[m] = b[m] * s[m] + t[m]
//   BatchNormalization: s = scale / sqrt(var + epsilon), t = bias - mean * s;  Mul, Div: s;  Add,
//   Sub: t.
//
// Computed in double and rounded once. Chains (Conv, Mul, Add) fold step by step, because the last
// node of each becomes the convolution.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

using namespace std::string_literals;  // NOLINT: for the reasons

struct Affine {
  std::vector<double> scale, shift;  // per output channel
};

const Tensor* ConstantOperand(const ir::Graph& graph, const ir::Node& node, size_t i) {
  if (i >= node.inputs.size() || !node.inputs[i].valid()) return nullptr;
  const Tensor& tensor = graph.value(node.inputs[i]).constant;
  return tensor.present() ? &tensor : nullptr;
}

bool IsElementwise(std::string_view op) {
  return op == "Add" || op == "Sub" || op == "Mul" || op == "Div";
}

// Which operand of `node` is a convolution's result; -1: none.
int ConvOperand(const ir::Graph& graph, const ir::Node& node) {
  if (node.op == "BatchNormalization")
    return ProducerOf(graph, node.inputs[0], "Conv") != nullptr ? 0 : -1;
  if (!IsElementwise(node.op)) return -1;
  if (ProducerOf(graph, node.inputs[0], "Conv") != nullptr &&
      ConstantOperand(graph, node, 1) != nullptr)
    return 0;
  // c - y and c / y are not what the weights can take in.
  const bool commutes = node.op == "Add" || node.op == "Mul";
  if (commutes && ProducerOf(graph, node.inputs[1], "Conv") != nullptr &&
      ConstantOperand(graph, node, 0) != nullptr) {
    return 1;
  }
  return -1;
}

// A constant that is one number, or one per channel of a result of rank `rank` ([C,1,1] or
// [1,C,1,1]).
bool PerChannel(const Tensor& tensor, int64_t channels, int rank, std::vector<double>* values) {
  const Shape& shape = tensor.shape();
  if (shape.rank() > rank) return false;
  if (tensor.elements() != 1) {
    const int channel_axis = shape.rank() - (rank - 1);
    if (channel_axis < 0 || shape[channel_axis] != channels || tensor.elements() != channels)
      return false;
  }
  values->resize(static_cast<size_t>(channels));
  for (int64_t m = 0; m < channels; ++m) {
    (*values)[static_cast<size_t>(m)] = DoubleAt(tensor.view(), tensor.elements() == 1 ? 0 : m);
  }
  return true;
}

// Empty when *affine is set, else why not.
Result<std::string> ReadBatchNorm(const ir::Graph& graph, const ir::Node& node, int64_t channels,
                                  Affine* affine) {
  const Tensor* parameters[4];
  for (size_t i = 0; i < 4; ++i) {
    parameters[i] = ConstantOperand(graph, node, i + 1);
    if (parameters[i] == nullptr) return "its parameters are no constants"s;
    if (parameters[i]->elements() != channels) return "its parameters are not one per channel"s;
  }
  FUSEE_TRY(const double epsilon, node.attrs.Float("epsilon", 1e-5));
  for (int64_t m = 0; m < channels; ++m) {
    const double scale = DoubleAt(parameters[0]->view(), m) /
                         std::sqrt(DoubleAt(parameters[3]->view(), m) + epsilon);
    affine->scale.push_back(scale);
    affine->shift.push_back(DoubleAt(parameters[1]->view(), m) -
                            DoubleAt(parameters[2]->view(), m) * scale);
  }
  return ""s;
}

Result<std::string> ReadAffine(const ir::Graph& graph, const ir::Node& node, int conv_operand,
                               int64_t channels, Affine* affine) {
  if (node.op == "BatchNormalization") return ReadBatchNorm(graph, node, channels, affine);
  const int rank = static_cast<int>(graph.value(node.outputs[0]).info.shape.size());
  std::vector<double> values;
  if (!PerChannel(*ConstantOperand(graph, node, conv_operand == 0 ? 1 : 0), channels, rank,
                  &values)) {
    return "its constant is not one number or one per channel"s;
  }
  const size_t n = values.size();
  affine->scale.assign(n, 1);
  affine->shift.assign(n, 0);
  for (size_t m = 0; m < n; ++m) {
    if (node.op == "Mul") affine->scale[m] = values[m];
    if (node.op == "Div") affine->scale[m] = 1 / values[m];
    if (node.op == "Add") affine->shift[m] = values[m];
    if (node.op == "Sub") affine->shift[m] = -values[m];
  }
  return ""s;
}

// tensor[m, ...] * scale[m] + shift[m]; absent when an element is no longer finite.
Result<Tensor> Apply(DType dtype, const Shape& shape, const Tensor& tensor,
                     const std::vector<double>& scale, const std::vector<double>* shift) {
  TensorView out;
  FUSEE_TRY(Tensor result, Tensor::Allocate(dtype, shape, &out));
  const int64_t channels = shape[0];
  const int64_t row = channels == 0 ? 0 : shape.elements() / channels;
  for (int64_t m = 0; m < channels; ++m) {
    const auto c = static_cast<size_t>(m);
    for (int64_t i = m * row; i < (m + 1) * row; ++i) {
      const double old = tensor.present() ? DoubleAt(tensor.view(), i) : 0;
      StoreDouble(out, i, old * scale[c] + (shift != nullptr ? (*shift)[c] : 0));
      if (!std::isfinite(DoubleAt(out, i))) return Tensor();
    }
  }
  return result;
}

// Empty when fused, else why not.
Result<std::string> TryFuse(ir::Graph& graph, ir::NodeId id, int conv_operand,
                            std::span<const uint32_t> uses, std::vector<ir::NodeId>* dead) {
  const ir::Node& node = graph.node(id);
  const ir::ValueId between = node.inputs[static_cast<size_t>(conv_operand)];
  const ir::NodeId conv_id = graph.value(between).producer;
  const ir::Node& conv = graph.node(conv_id);
  if (std::string reason = WhyNotAbsorb(graph, between, uses); !reason.empty()) return reason;
  if (conv.attrs.Has("activation")) return "the convolution already has an activation"s;
  if (conv.inputs.size() > 3) return "the convolution already has a residual"s;
  const Tensor* weight = ConstantOperand(graph, conv, 1);
  const bool has_bias = conv.inputs.size() > 2 && conv.inputs[2].valid();
  const Tensor* bias = ConstantOperand(graph, conv, 2);
  if (weight == nullptr || (has_bias && bias == nullptr))
    return "the convolution's weights are no constants"s;
  if (!SameType(graph.value(between).info, graph.value(node.outputs[0]).info))
    return "it changes the shape"s;

  const int64_t channels = weight->shape()[0];
  Affine affine;
  FUSEE_TRY(const std::string reason, ReadAffine(graph, node, conv_operand, channels, &affine));
  if (!reason.empty()) return reason;
  const DType dtype = weight->dtype();
  FUSEE_TRY(Tensor new_weight, Apply(dtype, weight->shape(), *weight, affine.scale, nullptr));
  FUSEE_TRY(Tensor new_bias, Apply(dtype, Shape{channels}, has_bias ? *bias : Tensor(),
                                   affine.scale, &affine.shift));
  if (!new_weight.present() || !new_bias.present()) return "a weight would no longer be finite"s;

  const std::string weight_name = graph.value(conv.inputs[1]).name + "/fused";
  const std::string bias_name =
      (has_bias ? graph.value(conv.inputs[2]).name : graph.value(between).name + "/bias") +
      (has_bias ? "/fused" : "");
  const bool scales =
      std::any_of(affine.scale.begin(), affine.scale.end(), [](double s) { return s != 1; });
  AbsorbProducer(graph, id, conv_id);
  std::vector<ir::ValueId> operands = graph.node(id).inputs;
  operands.resize(3);
  if (scales) operands[1] = graph.AddConstant(graph.FreshName(weight_name), std::move(new_weight));
  operands[2] = graph.AddConstant(graph.FreshName(bias_name), std::move(new_bias));
  graph.node(id).inputs = std::move(operands);
  dead->push_back(conv_id);
  return ""s;
}

}  // namespace

Result<PassOutcome> fuse_conv_batchnorm(ir::Graph& graph, PassContext& context) {
  const std::vector<uint32_t> uses = graph.UseCounts();
  std::vector<ir::NodeId> dead;
  for (ir::NodeId id : graph.order()) {
    const std::string op = graph.node(id).op;
    if (op == "BatchNormalization" &&
        ProducerOf(graph, graph.node(id).inputs[0], "Conv") == nullptr) {
      context.Declined("BatchNormalization kept: its operand is not the result of a Conv",
                       graph.node(id).sources);
      continue;
    }
    const int conv_operand = ConvOperand(graph, graph.node(id));
    if (conv_operand < 0) continue;
    FUSEE_TRY(const std::string reason, TryFuse(graph, id, conv_operand, uses, &dead));
    if (reason.empty()) {
      context.Made(fmt::format("folded {} into the weights of Conv", op), graph.node(id).sources);
    } else {
      context.Declined(fmt::format("{} not folded into Conv: {}", op, reason),
                       graph.node(id).sources);
    }
  }
  graph.EraseNodes(dead);
  return PassOutcome{!dead.empty()};
}

}  // namespace fusee::passes::pass
