// Scaled-dot-product attention becomes one operator.
//
//   %q4 = Transpose(Reshape(%q)) ...                               b h s d
//   %k4 = Transpose(Reshape(%k)) ...                               b h d s
//   %v4 = Transpose(Reshape(%v)) ...                               b h s d
//   %p = Softmax(MatMul(%q4, %k4) / 8 + %mask)
//   %y = Reshape(Transpose(MatMul(%p, %v4)))     ->    %y = FusedAttention(%q, %k, %v, %mask)
//
// Scores may be scaled before, on q, on k or on both, or after; a mask may be added, or chosen by
// Where with a number so low that no weight is left; Softmax may run in a wider type between Casts,
// and may be guarded by Where(IsNaN(p), 0, p). Each of q, k and v is followed back through
// transposes, through views that join batch and heads, and through scales, to where its elements
// lie as [batch, seq, heads, dim], which is what projections make. What does not come from there
// (rotary embeddings work on [batch, heads, seq, dim]) is transposed: one step, where scores took
// several.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/checked_math.h"
#include "ops/op_def.h"
#include "passes/match.h"
#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

using namespace std::string_literals;  // NOLINT: for the reasons

// Adding a number as low as this to a score, or taking it instead, leaves a weight of 0 either way.
constexpr double kMaskedOut = -1e30;

// An operand of a product, and what its axes are: b(atch), h(eads), s(equence), d(im); g is batch
// and heads joined.
struct Traced {
  ir::ValueId value;
  std::string axes;
  double scale = 1;
};

struct Match {
  ir::Dim batch, seq_q, seq_k;
  int64_t heads = 1, dim = 0, dim_v = 0;
  Traced q, k, v;
  double scale = 1;
  std::vector<ir::ValueId> biases;
  // Where(condition, a, b) that chose between scores and a number.
  struct Mask {
    ir::ValueId condition, number;
    bool number_when_true = false;
  };
  std::vector<Mask> masks;
  bool zero_nan_rows = false;
  ir::NodeId transpose;  // of the result, to b s h d
  ir::NodeId last;       // the view of it as [batch, seq, heads * dim]; invalid: there is none
};

// Number that scales `node`'s other operand.
std::optional<Scaled> ScaleOf(const ir::Graph& graph, const ir::Node& node) {
  if (node.op != "Mul" && node.op != "Div") return std::nullopt;
  auto scaled = WithNumber(graph, node);
  if (!scaled || !SameType(graph.value(scaled->value).info, graph.value(node.outputs[0]).info))
    return std::nullopt;
  if (node.op == "Div") scaled->number = 1 / scaled->number;
  const bool usable = std::isfinite(scaled->number) && scaled->number != 0;
  return usable ? scaled : std::nullopt;
}

// One step back through a view; false when it is none that keeps the axes apart.
bool BackThroughReshape(const ir::Graph& graph, const ir::Node& node, const Match& m, Traced* t) {
  const ir::SymShape& in = graph.value(node.inputs[0]).info.shape;
  const ir::SymShape& out = graph.value(node.outputs[0]).info.shape;
  const ir::Dim joined = m.batch * ir::Dim(m.heads);
  if (t->axes.starts_with("bh") && in.size() == 3 && in[0] == joined && in[1] == out[2] &&
      in[2] == out[3]) {
    t->axes = "g" + t->axes.substr(2);
  } else if (t->axes[0] == 'g' && in.size() == 4 && in[0] == m.batch && in[1] == ir::Dim(m.heads) &&
             in[2] == out[1] && in[3] == out[2]) {
    t->axes = "bh" + t->axes.substr(1);
  } else {
    return false;
  }
  t->value = node.inputs[0];
  return true;
}

// Follows a value back to where it lies as b s h d, or as far as that can be told.
void TraceBack(const ir::Graph& graph, const Match& m, bool scaled, Traced* t) {
  for (int i = 0; i < kMaxPatternDepth; ++i) {
    const ir::NodeId producer = graph.value(t->value).producer;
    if (!producer.valid()) return;
    const ir::Node& node = graph.node(producer);
    const auto scale = scaled ? ScaleOf(graph, node) : std::nullopt;
    if (scale) {
      t->scale *= scale->number;
      t->value = scale->value;
    } else if (t->axes == "bshd") {
      return;
    } else if (node.op == "Transpose") {
      const auto perm = node.attrs.Ints("perm");
      if (!perm.ok() || perm->size() != t->axes.size()) return;
      std::string axes(t->axes.size(), '?');
      for (size_t j = 0; j < axes.size(); ++j) axes[static_cast<size_t>((*perm)[j])] = t->axes[j];
      t->axes = axes;
      t->value = node.inputs[0];
    } else if (node.op != "Reshape" || !BackThroughReshape(graph, node, m, t)) {
      return;
    }
  }
}

// --- what surrounds Softmax ---

// Why q k^T is not what Softmax reads; empty when it is.
std::string MatchScores(const ir::Graph& graph, ir::ValueId value, Match* m, const ir::Node** dot) {
  const ir::SymShape shape = graph.value(value).info.shape;
  for (int i = 0; i < kMaxPatternDepth; ++i) {
    const ir::NodeId producer = graph.value(value).producer;
    if (!producer.valid() || !graph.HasSingleUse(value)) return "its scores have other readers";
    const ir::Node& node = graph.node(producer);
    if (node.op == "MatMul") {
      *dot = &node;
      return node.inputs.size() == 2 && node.attrs.values().empty() ? "" : "its scores are fused";
    }
    if (const auto scale = ScaleOf(graph, node)) {
      m->scale *= scale->number;
      value = scale->value;
      continue;
    }
    if (node.op == "Cast" && IsFloat(graph.value(node.inputs[0]).info.dtype)) {
      value = node.inputs[0];
      continue;
    }
    if (node.op != "Add" && node.op != "Where") return "its scores are no product";
    if (m->scale != 1) return "its scores are scaled after the mask";
    // The operand that has the scores' shape and is a product somewhere, and the other one.
    const size_t first = node.op == "Add" ? 0 : 1;
    const auto leads_up = [&](ir::ValueId v) {
      return graph.value(v).info.shape == shape && !graph.value(v).constant.present() &&
             graph.value(v).producer.valid() && graph.HasSingleUse(v);
    };
    const auto from_product = [&](ir::ValueId v) {
      for (int j = 0; j < kMaxPatternDepth && v.valid(); ++j) {
        if (ProducerOf(graph, v, "MatMul") != nullptr) return true;
        if (!graph.value(v).producer.valid()) return false;
        const ir::Node& n = graph.node(graph.value(v).producer);
        const auto scale = ScaleOf(graph, n);
        if (!scale && n.op != "Cast" && n.op != "Add" && n.op != "Where") return false;
        v = scale ? scale->value : n.inputs[n.op == "Where" ? 1 : 0];
      }
      return false;
    };
    size_t scores = first;
    if (!leads_up(node.inputs[first]) || !from_product(node.inputs[first])) scores = first + 1;
    if (!leads_up(node.inputs[scores])) return "its scores are no product";
    const ir::ValueId other = node.inputs[2 * first + 1 - scores];
    if (node.op == "Add") {
      if (graph.value(other).info.shape.size() > 4) return "its mask has more than 4 axes";
      m->biases.push_back(other);
    } else {
      const auto number = ScalarOf(graph, other);
      if (!number || !(*number <= kMaskedOut)) return "its mask does not rule scores out";
      m->masks.push_back({node.inputs[0], other, scores == 2});
    }
    value = node.inputs[scores];
  }
  return "its scores are too far away";
}

// The value after Where(IsNaN(weights), 0, weights), when that is all that reads the weights.
ir::ValueId BehindGuard(const ir::Graph& graph, ir::ValueId weights) {
  const std::vector<ir::NodeId> readers = graph.Users(weights);
  if (readers.size() != 2 || graph.IsOutput(weights)) return {};
  for (size_t i : {0u, 1u}) {
    const ir::Node& test = graph.node(readers[i]);
    const ir::Node& choice = graph.node(readers[1 - i]);
    if (test.op == "IsNaN" && choice.op == "Where" && choice.inputs[0] == test.outputs[0] &&
        graph.HasSingleUse(test.outputs[0]) && choice.inputs[2] == weights &&
        ScalarOf(graph, choice.inputs[1]) == 0.0)
      return choice.outputs[0];
  }
  return {};
}

// The product of weights and v; null when there is none.
const ir::Node* MatchWeighing(const ir::Graph& graph, ir::ValueId weights, Match* m) {
  if (const ir::ValueId guarded = BehindGuard(graph, weights); guarded.valid()) {
    m->zero_nan_rows = true;
    weights = guarded;
  }
  for (int i = 0; i < kMaxPatternDepth; ++i) {
    const ir::NodeId reader = OnlyReader(graph, weights);
    if (!reader.valid()) return nullptr;
    const ir::Node& node = graph.node(reader);
    if (node.op == "MatMul") {
      const bool plain = node.inputs.size() == 2 && node.inputs[0] == weights &&
                         node.inputs[1] != weights && node.attrs.values().empty();
      return plain ? &node : nullptr;
    }
    if (node.op != "Cast" || !IsFloat(graph.value(node.outputs[0]).info.dtype)) return nullptr;
    weights = node.outputs[0];
  }
  return nullptr;
}

// Why the result does not go back to b s h d; empty when it does.
std::string MatchResult(const ir::Graph& graph, ir::ValueId context, Match* m) {
  m->transpose = OnlyReader(graph, context);
  const std::string reason = "its result is not transposed back to [batch, seq, heads, dim]";
  if (!m->transpose.valid() || graph.node(m->transpose).op != "Transpose") return reason;
  const auto perm = graph.node(m->transpose).attrs.Ints("perm");
  if (!perm.ok() || *perm != std::vector<int64_t>{0, 2, 1, 3}) return reason;
  const ir::NodeId view = OnlyReader(graph, graph.node(m->transpose).outputs[0]);
  if (!view.valid() || graph.node(view).op != "Reshape") return "";
  const ir::SymShape joined{m->batch, m->seq_q, m->heads * m->dim_v};
  if (graph.value(graph.node(view).outputs[0]).info.shape == joined) m->last = view;
  return "";
}

// Sizes of the two products; empty when they fit together.
std::string MatchSizes(const ir::Graph& graph, const ir::Node& dot, const ir::Node& weighing,
                       Match* m) {
  const auto info = [&](ir::ValueId id) -> const ir::ValueInfo& { return graph.value(id).info; };
  const ir::ValueInfo& q = info(dot.inputs[0]);
  const ir::ValueInfo& k = info(dot.inputs[1]);
  const ir::ValueInfo& v = info(weighing.inputs[1]);
  if (q.shape.size() != 4 || k.shape.size() != 4 || v.shape.size() != 4)
    return "its products are not of rank 4";
  if (q.dtype != k.dtype || q.dtype != v.dtype || q.dtype != info(weighing.outputs[0]).dtype ||
      !IsFloat(q.dtype))
    return "q, k, v and the result are of several types";
  const bool fits = q.shape[0] == k.shape[0] && q.shape[0] == v.shape[0] &&
                    q.shape[1] == k.shape[1] && q.shape[1] == v.shape[1] &&
                    q.shape[3] == k.shape[2] && k.shape[3] == v.shape[2];
  if (!fits) return "batches or heads of q, k and v differ";
  if (!q.shape[1].is_constant() || !q.shape[3].is_constant() || !v.shape[3].is_constant() ||
      q.shape[1].constant() < 1 || q.shape[3].constant() < 1 || v.shape[3].constant() < 1)
    return "its heads or their width are not known while building";
  m->batch = q.shape[0];
  m->seq_q = q.shape[2];
  m->seq_k = k.shape[3];
  m->heads = q.shape[1].constant();
  m->dim = q.shape[3].constant();
  m->dim_v = v.shape[3].constant();
  int64_t columns = 0;  // of all heads, as the fused operands have them
  if (!CheckedMul(m->heads, m->dim, &columns) || !CheckedMul(m->heads, m->dim_v, &columns))
    return "its heads together are too wide";
  m->q = {dot.inputs[0], "bhsd"};
  m->k = {dot.inputs[1], "bhds"};
  m->v = {weighing.inputs[1], "bhsd"};
  return "";
}

// Fills the match, or says why there is none. *weighing stays null when this Softmax has nothing to
// do with attention.
Result<std::string> FindMatch(const ir::Graph& graph, const ir::Node& softmax, Match* m,
                              const ir::Node** weighing) {
  FUSEE_TRY(const int64_t axis, softmax.attrs.Int("axis", 0));
  FUSEE_TRY(const int64_t axes, softmax.attrs.Int("axes_count", 1));
  const auto rank = static_cast<int64_t>(graph.value(softmax.inputs[0]).info.shape.size());
  *weighing = MatchWeighing(graph, softmax.outputs[0], m);
  if (*weighing == nullptr) return "nothing is weighed with it"s;
  if (axis != rank - 1 || axes != 1) return "it is not over the last axis"s;
  const ir::Node* dot = nullptr;
  std::string reason = MatchScores(graph, softmax.inputs[0], m, &dot);
  if (reason.empty()) reason = MatchSizes(graph, *dot, **weighing, m);
  if (reason.empty()) reason = MatchResult(graph, (*weighing)->outputs[0], m);
  if (!reason.empty()) return reason;
  const DType softmax_type = graph.value(softmax.outputs[0]).info.dtype;
  if (softmax_type == DType::kF64 && graph.value(m->q.value).info.dtype != DType::kF64)
    return "its softmax is in double precision"s;
  TraceBack(graph, *m, true, &m->q);
  TraceBack(graph, *m, true, &m->k);
  TraceBack(graph, *m, false, &m->v);
  m->scale *= m->q.scale * m->k.scale;
  return ""s;
}

// --- building ---

class Builder {
 public:
  // Nodes are placed before the given one, and stand for the given sources.
  Builder(ir::Graph& graph, ir::NodeId before, std::vector<std::string> sources)
      : graph_(graph), before_(before), sources_(std::move(sources)) {}

  Result<ir::ValueId> Add(ir::Node node, std::string_view suffix) {
    if (node.sources.empty()) node.sources = sources_;
    const std::string names[] = {graph_.value(node.inputs[0]).name + std::string(suffix)};
    FUSEE_TRY(std::vector<ir::ValueId> results,
              ops::AddInferredNode(graph_, std::move(node), names, before_));
    return results[0];
  }

  Result<ir::ValueId> View(ir::ValueId value, ir::SymShape shape) {
    if (const ir::Node* view = ProducerOf(graph_, value, "Reshape")) value = view->inputs[0];
    if (graph_.value(value).info.shape == shape) return value;
    return Add({.op = "Reshape", .inputs = {value}, .dims = std::move(shape)}, "/view");
  }

  // The traced value as [batch, seq, heads * dim].
  Result<ir::ValueId> Place(const Match& m, Traced* t, const ir::Dim& seq, int64_t dim,
                            bool scaled) {
    if (t->axes[0] == 'g') {
      ir::SymShape split{m.batch, m.heads};
      const ir::SymShape& joined = graph_.value(t->value).info.shape;
      split.insert(split.end(), joined.begin() + 1, joined.end());
      FUSEE_TRY(t->value, View(t->value, std::move(split)));
      t->axes = "bh" + t->axes.substr(1);
    }
    if (t->axes != "bshd") {
      std::vector<int64_t> perm;
      for (char axis : std::string("bshd"))
        perm.push_back(static_cast<int64_t>(t->axes.find(axis)));
      FUSEE_TRY(t->value,
                Add({.op = "Transpose", .inputs = {t->value}, .attrs = {{"perm", std::move(perm)}}},
                    "/by_sequence"));
    }
    FUSEE_TRY(ir::ValueId placed, View(t->value, {m.batch, seq, m.heads * dim}));
    for (int i = 0; scaled && i < kMaxPatternDepth; ++i) {
      const ir::NodeId producer = graph_.value(placed).producer;
      const auto scale = producer.valid() ? ScaleOf(graph_, graph_.node(producer)) : std::nullopt;
      if (!scale) break;
      t->scale *= scale->number;
      placed = scale->value;
    }
    return placed;
  }

  // Everything added to the scores as one value; an invalid id when there is nothing.
  Result<ir::ValueId> Bias(const Match& m) {
    std::vector<ir::ValueId> terms = m.biases;
    for (const Match::Mask& mask : m.masks) {
      const DType dtype = graph_.value(mask.number).info.dtype;
      TensorView zero_view;
      FUSEE_TRY(Tensor zero, Tensor::Allocate(dtype, Shape{}, &zero_view));
      const ir::ValueId keep =
          graph_.AddConstant(graph_.FreshName("attention/zero"), std::move(zero));
      FUSEE_TRY(
          ir::ValueId term,
          Add({.op = "Where",
               .inputs = mask.number_when_true ? std::vector{mask.condition, mask.number, keep}
                                               : std::vector{mask.condition, keep, mask.number}},
              "/bias"));
      terms.push_back(term);
    }
    ir::ValueId sum;
    for (ir::ValueId term : terms) {
      if (!sum.valid()) {
        sum = term;
        continue;
      }
      FUSEE_TRY(sum, Add({.op = "Add", .inputs = {sum, term}}, "/biases"));
    }
    return sum;
  }

 private:
  ir::Graph& graph_;
  ir::NodeId before_;
  std::vector<std::string> sources_;
};

Status Rewrite(ir::Graph& graph, Match m, const std::vector<std::string>& softmax_sources) {
  const ir::NodeId at = m.last.valid() ? m.last : m.transpose;
  Builder builder(graph, at, softmax_sources);
  const double traced = m.q.scale * m.k.scale;
  std::vector<ir::ValueId> leaves;  // what the model computed, and attention reads
  const auto place = [&](Traced* t, const ir::Dim& seq, int64_t dim,
                         bool scaled) -> Result<ir::ValueId> {
    const size_t values = graph.value_count();
    const ir::ValueId traced_to = t->value;
    FUSEE_TRY(const ir::ValueId placed, builder.Place(m, t, seq, dim, scaled));
    leaves.push_back(placed.index() < values ? placed : traced_to);
    return placed;
  };
  FUSEE_TRY(const ir::ValueId q, place(&m.q, m.seq_q, m.dim, true));
  FUSEE_TRY(const ir::ValueId k, place(&m.k, m.seq_k, m.dim, true));
  FUSEE_TRY(const ir::ValueId v, place(&m.v, m.seq_k, m.dim_v, false));
  std::vector<std::string> sources = SourcesBetween(graph, at, leaves);
  FUSEE_TRY(const ir::ValueId bias, builder.Bias(m));
  ir::Node fused{.op = "FusedAttention", .inputs = {q, k, v}};
  if (bias.valid()) fused.inputs.push_back(bias);
  fused.attrs = {{"num_heads", m.heads},
                 {"packed_qkv", int64_t{0}},
                 {"scale", m.scale / traced * (m.q.scale * m.k.scale)}};
  if (m.zero_nan_rows) fused.attrs.Set("zero_nan_rows", int64_t{1});
  fused.sources = std::move(sources);
  if (m.last.valid()) {
    fused.outputs = graph.node(at).outputs;
    graph.node(at) = std::move(fused);
    return OkStatus();
  }
  // The transposed result stays, as a view of the operator's.
  FUSEE_TRY(const ir::ValueId y, builder.Add(std::move(fused), "/attention"));
  ir::Node& view = graph.node(at);
  const ir::SymShape& shape = graph.value(view.outputs[0]).info.shape;
  view.op = "Reshape";
  view.inputs = {y};
  view.attrs = {};
  view.dims = shape;
  return OkStatus();
}

}  // namespace

Result<PassOutcome> fuse_attention(ir::Graph& graph, PassContext& context) {
  PassOutcome outcome;
  const std::vector<ir::NodeId> order = graph.order();
  for (ir::NodeId id : order) {
    if (graph.node(id).op != "Softmax") continue;
    Match match;
    const ir::Node* weighing = nullptr;
    FUSEE_TRY(const std::string reason, FindMatch(graph, graph.node(id), &match, &weighing));
    if (reason.empty()) {
      const std::vector<std::string> softmax_sources = graph.node(id).sources;
      FUSEE_TRY(Rewrite(graph, std::move(match), softmax_sources));
      context.Made("fused attention around Softmax", graph.node(id).sources);
      outcome.changed = true;
    } else if (weighing != nullptr) {
      context.Declined("attention not fused: " + reason, graph.node(id).sources);
    }
  }
  return outcome;
}

}  // namespace fusee::passes::pass
