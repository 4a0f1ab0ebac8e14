// LayerNormalization from the arithmetic that exporters without the operator spell it with:
//
//   %m = ReduceMean(%x)                     %v = ReduceMean(Pow(%d, 2)) or ReduceMean(Mul(%d, %d))
//   %d = Sub(%x, %m)                        %s = Sqrt(Add(%v, epsilon))
//   %n = Div(%d, %s)  or  Mul(%d, Reciprocal(%s))  or  Mul(%d, Div(1, %s))
//   %y = Add(Mul(%n, %scale), %bias)  ->  %y = LayerNormalization(%x, %scale, %bias)
//
// and from keras' spelling, with r = Reciprocal(s):
//
//   %g = Mul(%r, %scale)
//   %y = Add(Mul(%x, %g), Sub(%bias, Mul(%m, %g)))
//
// Over the last axes; operands of sums and products in any order; Casts between floating-point
// types anywhere, because the operator computes in f32 at least. Scale and bias may be missing.
#include <algorithm>

#include "passes/match.h"
#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

// What Reciprocal(Sqrt(variance + epsilon)) was made of.
struct Statistics {
  ir::ValueId x;     // before Casts
  ir::ValueId mean;  // before Casts
  double epsilon = 0;
  int64_t axis = 0;
  std::vector<ir::ValueId> readings;  // x as the mean and the deviation read it
};

// The first axis of a mean over all axes from there on, or -1.
int64_t TrailingAxis(const ir::Graph& graph, const ir::Node& mean) {
  const auto axes = mean.attrs.Ints("axes");
  const auto keep = mean.attrs.Int("keepdims", 1);
  if (!axes.ok() || !keep.ok() || *keep != 1 || axes->empty()) return -1;
  const auto rank = static_cast<int64_t>(graph.value(mean.inputs[0]).info.shape.size());
  std::vector<int64_t> sorted = *axes;
  for (int64_t& a : sorted) a += a < 0 ? rank : 0;
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != rank - static_cast<int64_t>(sorted.size() - i)) return -1;
  }
  return sorted[0];
}

// Sub(x, mean of x): fills x, mean and axis.
bool MatchDeviation(const ir::Graph& graph, ir::ValueId value, Statistics* s) {
  const ir::Node* sub = ProducerBeforeCasts(graph, value, "Sub");
  if (sub == nullptr) return false;
  const ir::Node* mean = ProducerBeforeCasts(graph, sub->inputs[1], "ReduceMean");
  if (mean == nullptr) return false;
  s->x = BeforeCasts(graph, sub->inputs[0]);
  s->mean = mean->outputs[0];
  s->axis = TrailingAxis(graph, *mean);
  s->readings = {mean->inputs[0], sub->inputs[0]};
  return s->axis >= 0 && BeforeCasts(graph, mean->inputs[0]) == s->x;
}

// The deviation when value is its square, else an invalid id.
ir::ValueId Squared(const ir::Graph& graph, ir::ValueId value) {
  const ir::Node* node = ProducerBeforeCasts(graph, value, "Pow");
  if (node == nullptr) node = ProducerBeforeCasts(graph, value, "Mul");
  if (node == nullptr) return {};
  if (node->op == "Pow") {
    return ScalarOf(graph, node->inputs[1]) == 2.0 ? node->inputs[0] : ir::ValueId();
  }
  const bool same = BeforeCasts(graph, node->inputs[0]) == BeforeCasts(graph, node->inputs[1]);
  return same ? node->inputs[0] : ir::ValueId();
}

// value is Sqrt(ReduceMean(Squared(deviation)) + epsilon).
bool MatchDeviationRoot(const ir::Graph& graph, ir::ValueId value, Statistics* s) {
  const ir::Node* root = ProducerBeforeCasts(graph, value, "Sqrt");
  if (root == nullptr) return false;
  const ir::Node* add = ProducerBeforeCasts(graph, root->inputs[0], "Add");
  if (add == nullptr) return false;
  const auto sum = WithNumber(graph, *add);
  if (!sum || !(sum->number >= 0)) return false;
  const ir::Node* mean = ProducerBeforeCasts(graph, sum->value, "ReduceMean");
  if (mean == nullptr) return false;
  const ir::ValueId deviation = Squared(graph, mean->inputs[0]);
  s->epsilon = sum->number;
  return deviation.valid() && MatchDeviation(graph, deviation, s) &&
         TrailingAxis(graph, *mean) == s->axis;
}

// value is 1 / root.
bool MatchReciprocalRoot(const ir::Graph& graph, ir::ValueId value, Statistics* s) {
  const ir::Node* node = ProducerBeforeCasts(graph, value, "Reciprocal");
  if (node != nullptr) return MatchDeviationRoot(graph, node->inputs[0], s);
  node = ProducerBeforeCasts(graph, value, "Div");
  if (node == nullptr || ScalarOf(graph, node->inputs[0]) != 1.0) return false;
  return MatchDeviationRoot(graph, node->inputs[1], s);
}

// A whole match: the node whose result becomes the operator's, and its operands.
struct Match {
  Statistics stats;
  ir::NodeId last;
  ir::ValueId scale, bias;  // invalid: none
};

// The plain spelling, up to the division.
bool MatchQuotient(const ir::Graph& graph, ir::NodeId id, Match* match) {
  const ir::Node& node = graph.node(id);
  const auto deviates_from = [&](ir::ValueId value) {
    Statistics deviation;
    if (!MatchDeviation(graph, value, &deviation)) return false;
    return deviation.x == match->stats.x && deviation.axis == match->stats.axis;
  };
  match->last = id;
  if (node.op == "Div") {
    return MatchDeviationRoot(graph, node.inputs[1], &match->stats) &&
           deviates_from(node.inputs[0]);
  }
  for (size_t i : {0u, 1u}) {
    match->stats = {};
    if (MatchReciprocalRoot(graph, node.inputs[i], &match->stats))
      return deviates_from(node.inputs[1 - i]);
  }
  return false;
}

// Varies over the normalised axes only.
bool FitsRow(const ir::Graph& graph, ir::ValueId value, const ir::SymShape& x, int64_t axis) {
  const ir::SymShape& shape = graph.value(value).info.shape;
  if (shape.size() > x.size()) return false;
  for (size_t i = 0; i < shape.size(); ++i) {
    const size_t d = x.size() - shape.size() + i;
    if (shape[i] == ir::Dim(1)) continue;
    if (static_cast<int64_t>(d) < axis || !(shape[i] == x[d])) return false;
  }
  return true;
}

// Follows the one reader of the last result while it is a Cast, then takes it in when it is `op`
// with an operand that fits a row.
ir::ValueId TakeAffine(const ir::Graph& graph, std::string_view op, Match* match) {
  ir::NodeId at = match->last;
  for (int i = 0; i < kMaxPatternDepth; ++i) {
    const ir::ValueId result = graph.node(at).outputs[0];
    const ir::NodeId next = OnlyReader(graph, result);
    if (!next.valid()) return {};
    const ir::Node& node = graph.node(next);
    if (node.op == "Cast" && IsFloat(graph.value(node.outputs[0]).info.dtype)) {
      at = next;
      continue;
    }
    if (node.op != op) return {};
    const ir::ValueId other = node.inputs[node.inputs[0] == result ? 1 : 0];
    if (!FitsRow(graph, other, graph.value(match->stats.x).info.shape, match->stats.axis))
      return {};
    match->last = next;
    return other;
  }
  return {};
}

// Keras' spelling, anchored at the final Add: x g + (bias - mean g).
bool MatchFolded(const ir::Graph& graph, ir::NodeId id, Match* match) {
  const ir::Node& add = graph.node(id);
  for (size_t i : {0u, 1u}) {
    const ir::Node* scaled = ProducerOf(graph, add.inputs[i], "Mul");
    const ir::Node* offset = ProducerOf(graph, add.inputs[1 - i], "Sub");
    const ir::Node* shift =
        offset == nullptr ? nullptr : ProducerOf(graph, offset->inputs[1], "Mul");
    if (scaled == nullptr || shift == nullptr) continue;
    for (size_t j : {0u, 1u}) {
      const ir::ValueId gain = scaled->inputs[1 - j];
      const ir::Node* product = ProducerOf(graph, gain, "Mul");
      if (product == nullptr || (shift->inputs[0] != gain && shift->inputs[1] != gain)) continue;
      const ir::ValueId mean = shift->inputs[shift->inputs[0] == gain ? 1 : 0];
      for (size_t k : {0u, 1u}) {
        Match m{.last = id, .scale = product->inputs[1 - k], .bias = offset->inputs[0]};
        if (!MatchReciprocalRoot(graph, product->inputs[k], &m.stats)) continue;
        const ir::SymShape& x = graph.value(m.stats.x).info.shape;
        if (m.stats.x != BeforeCasts(graph, scaled->inputs[j]) ||
            m.stats.mean != BeforeCasts(graph, mean) || !FitsRow(graph, m.scale, x, m.stats.axis) ||
            !FitsRow(graph, m.bias, x, m.stats.axis))
          continue;
        *match = std::move(m);
        return true;
      }
    }
  }
  return false;
}

// x in the result's type, or an invalid id: the model may cast it before it is used.
ir::ValueId OperandOfType(const ir::Graph& graph, const Statistics& s, DType dtype) {
  if (graph.value(s.x).info.dtype == dtype) return s.x;
  for (ir::ValueId operand : s.readings) {
    if (graph.value(operand).info.dtype == dtype) return operand;
  }
  return {};
}

// A scale that changes nothing: one number per column where that is known, which is what kernels
// prefer.
Result<Tensor> Ones(const ir::ValueInfo& x, int64_t axis) {
  const bool row = axis + 1 == static_cast<int64_t>(x.shape.size()) && x.shape.back().is_constant();
  TensorView ones;
  FUSEE_TRY(Tensor tensor,
            Tensor::Allocate(x.dtype, Shape{row ? x.shape.back().constant() : 1}, &ones));
  for (int64_t i = 0; i < ones.elements(); ++i) StoreDouble(ones, i, 1);
  return tensor;
}

// Empty when rewritten, else why not.
Result<std::string> Rewrite(ir::Graph& graph, const Match& match) {
  const ir::ValueInfo result = graph.value(graph.node(match.last).outputs[0]).info;
  const ir::ValueId x = OperandOfType(graph, match.stats, result.dtype);
  if (!x.valid() || !SameType(graph.value(x).info, result))
    return std::string("its operand has another type or shape than its result");
  for (ir::ValueId operand : {match.scale, match.bias}) {
    if (operand.valid() && graph.value(operand).info.dtype != result.dtype)
      return std::string("scale or bias has another type than its result");
  }
  ir::ValueId scale = match.scale;
  if (!scale.valid()) {
    FUSEE_TRY(Tensor ones, Ones(result, match.stats.axis));
    scale = graph.AddConstant(
        graph.FreshName(graph.value(graph.node(match.last).outputs[0]).name + "/scale"),
        std::move(ones));
  }
  const ir::ValueId leaves[] = {x, match.scale, match.bias};
  std::vector<std::string> sources = SourcesBetween(graph, match.last, leaves);
  ir::Node& last = graph.node(match.last);
  last.op = "LayerNormalization";
  last.inputs = {x, scale};
  if (match.bias.valid()) last.inputs.push_back(match.bias);
  last.attrs = {{"axis", match.stats.axis}, {"epsilon", match.stats.epsilon}};
  last.dims.clear();
  last.sources = std::move(sources);
  return std::string();
}

}  // namespace

Result<PassOutcome> recognise_layernorm(ir::Graph& graph, PassContext& context) {
  PassOutcome outcome;
  for (ir::NodeId id : graph.order()) {
    const std::string& op = graph.node(id).op;
    Match match;
    if ((op == "Div" || op == "Mul") && MatchQuotient(graph, id, &match)) {
      match.scale = TakeAffine(graph, "Mul", &match);
      if (match.scale.valid()) match.bias = TakeAffine(graph, "Add", &match);
    } else if (op != "Add" || !MatchFolded(graph, id, &match)) {
      continue;
    }
    const std::vector<std::string> nodes = graph.node(match.last).sources;
    FUSEE_TRY(const std::string reason, Rewrite(graph, match));
    if (reason.empty()) {
      outcome.changed = true;
      context.Made("recognised LayerNormalization", graph.node(match.last).sources);
    } else {
      context.Declined("LayerNormalization not recognised: " + reason, nodes);
    }
  }
  return outcome;
}

}  // namespace fusee::passes::pass
