// Removes Transposes by storing what lies between them permuted.
//
//   %a = Transpose(%x) {perm = P}
//   %b = Relu(%a)                              ->    %c = Relu(%x)
//   %c = Transpose(%b) {perm = inverse of P}
//
// Which nodes work on permuted operands is decided for all nodes at once, for one permutation P at
// a time, so that the bytes which Transposes move become least. Every node that can
// (permute_node.h) gets a label, 0: as it is, 1: permuted. A value costs a Transpose when its maker
// has another label than one of its readers; a Transpose by P is a maker with label 1, one by the
// inverse of P a reader with label 1, everything else has label 0. The cheapest labels are a
// minimum cut (min_cut.h). Nothing changes unless it gets cheaper, so graphs whose Transposes are
// needed (attention) stay as they are.
//
// Then what is left over: a Transpose of a Transpose becomes one, or none; one in front of a
// Reshape or of a product's constant goes where it can (sink_transpose.h); one of a constant
// becomes a constant; one that moves no bytes (an axis of size 1) becomes a Reshape, which costs
// nothing.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "ops/op_def.h"
#include "passes/min_cut.h"
#include "passes/pass.h"
#include "passes/permutation.h"
#include "passes/permute_node.h"
#include "passes/sink_transpose.h"

namespace fusee::passes::pass {
namespace {

// Rounds over all permutations; each makes the graph cheaper, and models in the field need few.
constexpr int kMaxRounds = 16;
// What a Transpose costs beside the bytes it moves: a step of its own.
constexpr int64_t kStepCost = 64 << 10;
// Costs of values are bounded, so that their sum over any graph stays finite.
constexpr int64_t kMaxCost = int64_t{1} << 40;

// Bytes at the largest sizes, and the step; 0 when no bytes move.
int64_t CostOf(const ir::Graph& graph, const ir::ValueInfo& info, const Permutation& perm) {
  if (MovesNoBytes(info.shape, perm)) return 0;
  int64_t bits = BitsPerElement(info.dtype);
  for (const ir::Dim& d : info.shape) {
    const int64_t size = std::max<int64_t>(d.Range(graph.symbols()).max, 1);
    if (__builtin_mul_overflow(bits, size, &bits) || bits / 8 > kMaxCost) return kMaxCost;
  }
  return bits / 8 + kStepCost;
}

// --- deciding ---

// What is known of the graph for one permutation.
class Problem {
 public:
  Problem(const ir::Graph& graph, const Permutation& perm, const Target& target)
      : graph_(graph), perm_(perm), inverse_(Inverse(perm)) {
    const std::vector<uint32_t> uses = graph.UseCounts();
    for (ir::NodeId id : graph.order()) {
      std::optional<Unit> unit = PermuteNode(graph, graph.node(id), id, perm, uses, target);
      if (!unit) continue;
      // The inner nodes of a unit are none of their own.
      for (ir::NodeId node : unit->nodes) {
        if (node != id) inner_.insert(node.index());
      }
      units_.emplace(id.index(), std::move(*unit));
    }
  }

  enum class Role : uint8_t { kOther, kMaker, kReader };  // of a Transpose: by P, by its inverse
  // A permutation that is its own inverse is both; then a Transpose that follows a unit leads out
  // of a permuted region, and any other leads into one.
  Role RoleOf(const ir::Node& node) const {
    if (node.op != "Transpose") return Role::kOther;
    const Permutation perm = PermOf(node);
    if (perm == perm_ && perm_ == inverse_)
      return MadeByUnit(node.inputs[0]) ? Role::kReader : Role::kMaker;
    return perm == perm_ ? Role::kMaker : perm == inverse_ ? Role::kReader : Role::kOther;
  }

  const Unit* UnitOf(ir::NodeId id) const {
    const auto it = units_.find(id.index());
    return it == units_.end() ? nullptr : &it->second;
  }
  bool IsInner(ir::NodeId id) const { return inner_.contains(id.index()); }
  const std::map<size_t, Unit>& units() const { return units_; }
  const Permutation& perm() const { return perm_; }
  const Permutation& inverse() const { return inverse_; }

 private:
  bool MadeByUnit(ir::ValueId value) const {
    const ir::NodeId producer = graph_.value(value).producer;
    return producer.valid() && UnitOf(producer) != nullptr;
  }

  const ir::Graph& graph_;
  Permutation perm_, inverse_;
  std::map<size_t, Unit> units_;  // by node
  std::set<size_t> inner_;
};

// The labels that move the fewest bytes: the nodes of the units to permute. Empty when nothing gets
// cheaper than it is.
class Labels {
 public:
  Labels(const ir::Graph& graph, const Problem& problem) : graph_(graph), problem_(problem) {}

  std::set<size_t> Solve() {
    for (const auto& [node, unit] : problem_.units()) variable_[node] = cut_.AddNode();
    CollectReaders();
    for (const auto& [value, readers] : readers_) AddValue(ir::ValueId(value), readers);
    const MinCut::Cut cut = cut_.Solve();
    std::set<size_t> permuted;
    if (cut.cost >= cost_of_zero_) return permuted;
    for (const auto& [node, variable] : variable_) {
      if (cut.source_side[variable]) permuted.insert(node);
    }
    return permuted;
  }

 private:
  // A side of the cut: kSource is label 1, kSink label 0, else a unit's variable.
  using Side = size_t;

  void CollectReaders() {
    for (ir::NodeId id : graph_.order()) {
      if (problem_.IsInner(id)) continue;
      const ir::Node& node = graph_.node(id);
      if (const Unit* unit = problem_.UnitOf(id)) {
        for (const Unit::Operand& operand : unit->operands) {
          if (operand.value.valid())
            Read(operand.value, operand.permuted ? variable_[id.index()] : MinCut::kSink);
        }
        continue;
      }
      const bool leads_out = problem_.RoleOf(node) == Problem::Role::kReader;
      for (ir::ValueId operand : node.inputs) {
        if (operand.valid()) Read(operand, leads_out ? MinCut::kSource : MinCut::kSink);
      }
    }
    for (ir::ValueId output : graph_.outputs()) Read(output, MinCut::kSink);
  }

  void Read(ir::ValueId value, Side side) {
    const ir::Value& v = graph_.value(value);
    if (v.constant.present() || v.info.shape.size() != problem_.perm().size()) return;
    readers_[static_cast<uint32_t>(value.index())].insert(side);
  }

  // The side of a value's maker.
  Side Maker(ir::ValueId value) const {
    const ir::NodeId producer = graph_.value(value).producer;
    if (!producer.valid()) return MinCut::kSink;
    if (const Unit* unit = problem_.UnitOf(producer); unit != nullptr && unit->results_permuted)
      return variable_.at(producer.index());
    return problem_.RoleOf(graph_.node(producer)) == Problem::Role::kMaker ? MinCut::kSource
                                                                           : MinCut::kSink;
  }

  // cost * [maker 0, some reader 1] + cost * [maker 1, some reader 0]; one Transpose serves all
  // readers, hence the two extra nodes.
  void AddValue(ir::ValueId value, const std::set<Side>& readers) {
    const int64_t cost = CostOf(graph_, graph_.value(value).info, problem_.inverse());
    if (cost == 0) return;
    const Side maker = Maker(value);
    const bool maker_is_one = maker == MinCut::kSource;
    const bool any_one = readers.contains(MinCut::kSource);
    const bool any_other = readers.size() > (any_one ? 1 : 0);
    if (maker_is_one ? any_other : any_one) cost_of_zero_ += cost;
    if (maker != MinCut::kSource) {
      const size_t some_one = cut_.AddNode();
      cut_.AddEdge(some_one, maker, cost);
      for (Side reader : readers) {
        if (reader != MinCut::kSink) cut_.AddEdge(reader, some_one, MinCut::kInfinite);
      }
    }
    if (maker != MinCut::kSink) {
      const size_t all_one = cut_.AddNode();
      cut_.AddEdge(maker, all_one, cost);
      for (Side reader : readers) {
        if (reader != MinCut::kSource) cut_.AddEdge(all_one, reader, MinCut::kInfinite);
      }
    }
  }

  const ir::Graph& graph_;
  const Problem& problem_;
  MinCut cut_;
  std::map<size_t, Side> variable_;             // by node
  std::map<uint32_t, std::set<Side>> readers_;  // by value
  int64_t cost_of_zero_ = 0;                    // with every variable 0
};

// --- rewriting ---

class Rewriter {
 public:
  Rewriter(ir::Graph& graph, const Problem& problem, const std::set<size_t>& permuted)
      : graph_(graph), problem_(problem), permuted_(permuted) {}

  Status Rewrite() {
    const std::vector<ir::NodeId> order = graph_.order();
    std::set<size_t> inside;  // all nodes of permuted units
    for (size_t node : permuted_) {
      for (ir::NodeId id : problem_.units().at(node).nodes) inside.insert(id.index());
    }
    for (ir::NodeId id : order) {
      if (permuted_.contains(id.index())) {
        FUSEE_TRY(PermuteUnit(id));
      } else if (!inside.contains(id.index())) {
        KeepNode(id);
      }
    }
    for (size_t i = 0; i < graph_.outputs().size(); ++i)
      graph_.SetOutput(i, Plain(graph_.outputs()[i], ir::NodeId()));
    Finish(inside);
    return OkStatus();
  }

 private:
  // The value as it was, before node `before`; values of permuted units are transposed back once.
  ir::ValueId Plain(ir::ValueId value, ir::NodeId before) {
    if (!value.valid()) return value;
    if (const auto it = plain_.find(value.index()); it != plain_.end()) return it->second;
    const auto stored = made_.find(value.index());
    if (stored == made_.end()) return value;
    const ir::Node& maker = graph_.node(graph_.value(value).producer);
    const ir::ValueId back = AddTranspose(graph_, stored->second, problem_.perm(),
                                          graph_.value(value).name, maker.sources, before);
    names_.emplace_back(back, graph_.value(value).name);
    return plain_[value.index()] = back;
  }

  // The value as it is stored.
  Result<ir::ValueId> Stored(ir::ValueId value, ir::NodeId before) {
    if (const auto it = made_.find(value.index()); it != made_.end()) return it->second;
    if (const auto it = stored_.find(value.index()); it != stored_.end()) return it->second;
    const std::string name = graph_.value(value).name + "/permuted";
    ir::ValueId made;
    if (graph_.value(value).constant.present()) {
      FUSEE_TRY(Tensor tensor, PermuteConstant(graph_.value(value).constant, problem_.inverse()));
      made = graph_.AddConstant(graph_.FreshName(name), std::move(tensor));
    } else {
      made = AddTranspose(graph_, Plain(value, before), problem_.inverse(), name,
                          graph_.node(before).sources, before);
    }
    stored_[value.index()] = made;
    return made;
  }

  Status PermuteUnit(ir::NodeId id) {
    const Unit& unit = problem_.units().at(id.index());
    std::vector<ir::ValueId> operands;
    for (const Unit::Operand& operand : unit.operands) {
      ir::ValueId value = operand.value;
      if (value.valid() && operand.permuted) {
        FUSEE_TRY(value, Stored(value, id));
      } else {
        value = Plain(value, id);
      }
      operands.push_back(value);
    }
    for (size_t i = 0; i < unit.steps.size(); ++i) {
      ir::Node step;
      step.op = unit.steps[i].op;
      step.attrs = unit.steps[i].attrs;
      step.dims = unit.steps[i].dims;
      step.sources = unit.steps[i].sources;
      step.inputs = operands;
      const bool last = i + 1 == unit.steps.size();
      FUSEE_TRY(operands, AddStep(unit, unit.nodes[i], std::move(step), last, id));
    }
    return OkStatus();
  }

  // The results of a unit's step, placed before node `before`.
  Result<std::vector<ir::ValueId>> AddStep(const Unit& unit, ir::NodeId old, ir::Node step,
                                           bool last, ir::NodeId before) {
    std::vector<std::string> names;
    std::vector<ir::ValueInfo> infos;
    const std::vector<ir::ValueId> results = graph_.node(old).outputs;
    for (ir::ValueId result : results)
      names.push_back(result.valid() ? graph_.value(result).name + "/permuted" : "");
    step.outputs.assign(results.size(), ir::ValueId());
    FUSEE_TRY(ops::Infer(graph_, step, nullptr, &infos));
    // What is known of the results may be more than inference sees.
    for (size_t i = 0; last && i < results.size(); ++i) {
      if (!results[i].valid()) continue;
      const ir::SymShape& shape = graph_.value(results[i]).info.shape;
      infos[i].shape = unit.results_permuted ? Permuted(shape, problem_.inverse()) : shape;
    }
    const ir::NodeId made = graph_.InsertNode(before, std::move(step), names, infos);
    const std::vector<ir::ValueId> values = graph_.node(made).outputs;
    for (size_t i = 0; last && i < results.size(); ++i) {
      if (!results[i].valid()) continue;
      (unit.results_permuted ? made_ : plain_)[results[i].index()] = values[i];
      if (!unit.results_permuted) names_.emplace_back(values[i], graph_.value(results[i]).name);
    }
    return values;
  }

  void KeepNode(ir::NodeId id) {
    const Problem::Role role = problem_.RoleOf(graph_.node(id));
    const ir::ValueId operand =
        graph_.node(id).inputs.empty() ? ir::ValueId() : graph_.node(id).inputs[0];
    const ir::ValueId result =
        graph_.node(id).outputs.empty() ? ir::ValueId() : graph_.node(id).outputs[0];
    if (role == Problem::Role::kReader) {
      // Its result is its operand as stored.
      const auto made = made_.find(operand.index());
      if (made != made_.end() && WhyNotForward(graph_, result, made->second).empty()) {
        plain_[result.index()] = made->second;
        for (size_t i = 0; i < graph_.outputs().size(); ++i) {
          if (graph_.outputs()[i] == result) graph_.SetOutput(i, made->second);
        }
        return;
      }
    }
    const std::vector<ir::ValueId> inputs = graph_.node(id).inputs;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const ir::ValueId plain = Plain(inputs[i], id);  // may move the nodes
      graph_.node(id).inputs[i] = plain;
    }
    if (role == Problem::Role::kReader) stored_.emplace(operand.index(), result);
    if (role == Problem::Role::kMaker) stored_.emplace(result.index(), graph_.node(id).inputs[0]);
  }

  // Erases what nothing reads any more, of the old nodes and of the Transposes; then the values
  // that are back as they were get their names.
  void Finish(const std::set<size_t>& inside) {
    std::vector<uint32_t> uses = graph_.UseCounts();
    std::vector<ir::NodeId> dead;
    for (size_t i = graph_.order().size(); i-- > 0;) {
      const ir::NodeId id = graph_.order()[i];
      const ir::Node& node = graph_.node(id);
      if (node.op != "Transpose" && !inside.contains(id.index())) continue;
      const bool used = std::any_of(node.outputs.begin(), node.outputs.end(), [&](ir::ValueId v) {
        return v.valid() && uses[v.index()] > 0;
      });
      if (used) continue;
      for (ir::ValueId operand : node.inputs) {
        if (operand.valid()) --uses[operand.index()];
      }
      dead.push_back(id);
    }
    graph_.EraseNodes(dead);
    for (const auto& [value, name] : names_) {
      if (graph_.value(value).alive && !graph_.FindValue(name)) graph_.Rename(value, name);
    }
  }

  ir::Graph& graph_;
  const Problem& problem_;
  const std::set<size_t>& permuted_;
  std::map<size_t, ir::ValueId> made_;    // by value of a permuted unit: as stored
  std::map<size_t, ir::ValueId> stored_;  // by other value: as stored, where that exists
  std::map<size_t, ir::ValueId> plain_;   // by value: what replaces it
  std::vector<std::pair<ir::ValueId, std::string>> names_;
};

// --- what is left over ---

// Sends the readers of a node's result to `to`. False when the result must stay.
bool Forward(ir::Graph& graph, ir::NodeId id, ir::ValueId to) {
  const ir::ValueId from = graph.node(id).outputs[0];
  if (!WhyNotForward(graph, from, to).empty()) return false;
  graph.ReplaceAllUses(from, to);
  graph.EraseNode(id);
  return true;
}

// Transposes of Transposes and of constants. The inner one may have other readers: it then stays.
Result<bool> Merge(ir::Graph& graph, PassContext& context) {
  bool changed = false;
  const std::vector<ir::NodeId> order = graph.order();
  for (ir::NodeId id : order) {
    if (!graph.node(id).alive || graph.node(id).op != "Transpose") continue;
    const std::vector<std::string> sources = graph.node(id).sources;
    if (const ir::Node* inner = ProducerOf(graph, graph.node(id).inputs[0], "Transpose")) {
      const ir::NodeId inner_id = graph.value(graph.node(id).inputs[0]).producer;
      const ir::ValueId x = inner->inputs[0];
      const Permutation perm = Compose(PermOf(*inner), PermOf(graph.node(id)));
      const std::vector<std::string> both = JoinSources({inner, &graph.node(id)});
      if (!IsIdentity(perm) || !Forward(graph, id, x)) {
        graph.node(id).inputs[0] = x;
        graph.node(id).attrs.Set("perm", perm);
        graph.node(id).sources = both;
      }
      const ir::ValueId between = graph.node(inner_id).outputs[0];
      if (graph.UseCounts()[between.index()] == 0) graph.EraseNode(inner_id);
      context.Made(IsIdentity(perm) ? "cancelled two Transposes" : "joined two Transposes", both);
      changed = true;
      continue;
    }
    const Tensor constant = graph.value(graph.node(id).inputs[0]).constant;
    if (!constant.present() || graph.IsOutput(graph.node(id).outputs[0])) continue;
    FUSEE_TRY(Tensor tensor, PermuteConstant(constant, PermOf(graph.node(id))));
    graph.ReplaceWithConstant(graph.node(id).outputs[0], std::move(tensor));
    graph.EraseNode(id);
    context.Made("transposed a constant", sources);
    changed = true;
  }
  return changed;
}

// Transposes that move no bytes.
bool Relabel(ir::Graph& graph, PassContext& context) {
  bool changed = false;
  for (ir::NodeId id : graph.order()) {
    ir::Node& node = graph.node(id);
    if (node.op != "Transpose") continue;
    const ir::SymShape& shape = graph.value(node.inputs[0]).info.shape;
    const Permutation perm = PermOf(node);
    if (IsIdentity(perm) || !MovesNoBytes(shape, perm)) continue;
    node.op = "Reshape";
    node.attrs = Attrs();
    node.dims = graph.value(node.outputs[0]).info.shape;
    context.Made("made a Transpose that moves no bytes a Reshape", node.sources);
    changed = true;
  }
  return changed;
}

// The permutations of the graph's Transposes, each with its inverse.
std::set<Permutation> Candidates(const ir::Graph& graph) {
  std::set<Permutation> perms;
  for (ir::NodeId id : graph.order()) {
    if (graph.node(id).op != "Transpose") continue;
    const Permutation perm = PermOf(graph.node(id));
    if (IsIdentity(perm)) continue;
    perms.insert(perm);
    perms.insert(Inverse(perm));
  }
  return perms;
}

Result<bool> Push(ir::Graph& graph, const Permutation& perm, PassContext& context) {
  const Problem problem(graph, perm, context.target());
  const std::set<size_t> permuted = Labels(graph, problem).Solve();
  if (permuted.empty()) return false;
  for (ir::NodeId id : graph.order()) {
    if (permuted.contains(id.index()))
      context.Made(fmt::format("permuted {} by [{}]", graph.node(id).op, fmt::join(perm, ", ")),
                   graph.node(id).sources);
  }
  FUSEE_TRY(Rewriter(graph, problem, permuted).Rewrite());
  return true;
}

}  // namespace

Result<PassOutcome> push_transposes(ir::Graph& graph, PassContext& context) {
  FUSEE_TRY(bool changed, Merge(graph, context));
  for (int round = 0; round < kMaxRounds; ++round) {
    bool again = false;
    for (const Permutation& perm : Candidates(graph)) {
      FUSEE_TRY(const bool pushed, Push(graph, perm, context));
      if (!pushed) continue;
      FUSEE_TRY(const bool merged, Merge(graph, context));
      again = again || pushed || merged;
    }
    // Only then, because it takes shuffles of channels apart.
    if (!again) {
      FUSEE_TRY(again, SinkThroughReshape(graph, context));
      FUSEE_TRY(const bool merged, Merge(graph, context));
      again = again || merged;
    }
    changed = changed || again;
    if (!again) break;
  }
  FUSEE_TRY(const bool absorbed, AbsorbIntoProduct(graph, context));
  changed = Relabel(graph, context) || absorbed || changed;
  return PassOutcome{changed};
}

}  // namespace fusee::passes::pass
