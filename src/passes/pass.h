// What a pass is: a function that rewrites a graph and writes down what it did and what it left,
// with reasons.
//
// A pass may assume a graph that passes ir::Verify and whose types are what inference gives; it
// must leave one. It keeps graph inputs and outputs (names, dtypes, shapes) and the ONNX names of
// values that still mean the same: a fused node is the *last* node of its pattern rewritten in
// place, so that its result keeps its name. It never makes a graph output of a graph input, of a
// constant or of another output's value, because those would need a copy. Deterministic: decisions
// depend on the graph only.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ir/graph.h"

namespace fusee::passes {

// One decision, for the build's report and the plan.
struct Rewrite {
  std::string pass;
  bool made = false;  // false: declined
  std::string
      what;  // "fused Relu into Conv", or "BatchNormalization kept: its operand has 2 users"
  std::vector<std::string> nodes;  // ONNX names of the nodes concerned, in graph order
};

struct PassLimits {
  // fold_constants leaves a result alone that would be larger than its operands by more than this,
  // unless the operator's purpose is to make a weight (Expand, which ConstantOfShape is imported
  // as, Cast, DequantizeLinear).
  int64_t fold_growth_bytes_max = int64_t{64} << 20;
  // And everything, beyond this much in one run of the pass.
  int64_t fold_total_bytes_max = int64_t{4} << 30;
};

// What the graph is compiled for, as far as a rewrite may depend on it.
struct Target {
  std::string device = "cpu";  // or "cuda"
  // Convolutions shall be [N, spatial..., C]: choose_layout makes them so. The kernels of a GPU's
  // tensor cores need it; those of the CPU take [N, C, spatial...] only.
  bool channels_last = false;
  DType compute = DType::kF32;  // of matrix products and convolutions of floats
};

class PassContext {
 public:
  PassContext(std::string pass, PassLimits limits, Target target, std::vector<Rewrite>* log)
      : pass_(std::move(pass)), limits_(limits), target_(std::move(target)), log_(log) {}

  const std::string& pass() const { return pass_; }
  const PassLimits& limits() const { return limits_; }
  const Target& target() const { return target_; }

  // nodes: the sources of every IR node concerned, joined.
  void Made(std::string what, std::vector<std::string> nodes);
  void Declined(std::string what, std::vector<std::string> nodes);
  // kMaxLoggedPerPass bounds the log; decisions beyond it are counted here only.
  int64_t made() const { return made_; }
  int64_t declined() const { return declined_; }

 private:
  static constexpr size_t kMaxLoggedPerPass = 10000;
  void Add(bool made, std::string what, std::vector<std::string> nodes);

  std::string pass_;
  PassLimits limits_;
  Target target_;
  std::vector<Rewrite>* log_;
  int64_t made_ = 0;
  int64_t declined_ = 0;
};

struct PassOutcome {
  bool changed = false;
};

using PassFunction = Result<PassOutcome> (*)(ir::Graph&, PassContext&);

// One line of the pipeline.
struct PassDef {
  std::string_view name;
  std::string_view reason;  // why it stands where it stands
  PassFunction run = nullptr;
};

// Every pass, as `Result<PassOutcome> name(ir::Graph&, PassContext&)`, defined in name.cc.
namespace pass {
#define FUSEE_PASS(name, reason) Result<PassOutcome> name(ir::Graph& graph, PassContext& context);
#include "passes/pipeline.inc"
#undef FUSEE_PASS
}  // namespace pass

// --- what several passes need ---

// The sources of the given nodes, in that order, without repetition.
std::vector<std::string> JoinSources(std::initializer_list<const ir::Node*> nodes);

// Why uses of `from` cannot be sent to `to` (the rule on graph outputs above); empty when they can.
std::string_view WhyNotForward(const ir::Graph& graph, ir::ValueId from, ir::ValueId to);

// The node that makes the value when it is of the given operator; null otherwise.
const ir::Node* ProducerOf(const ir::Graph& graph, ir::ValueId value, std::string_view op);

// `last` becomes what `producer` is (operator, operands, attributes, dims), keeping its own results
// and their names; its sources become those of both. The producer is to be erased by the caller.
void AbsorbProducer(ir::Graph& graph, ir::NodeId last, ir::NodeId producer);

// Why `last` cannot absorb the node that makes `operand`: more readers than one slot, or a graph
// output. Empty when it can. uses: Graph::UseCounts() of before the pass (absorbing nodes keeps the
// counts of all values that stay).
std::string WhyNotAbsorb(const ir::Graph& graph, ir::ValueId operand,
                         std::span<const uint32_t> uses);

// Equal dtype and shape, dimension by dimension.
bool SameType(const ir::ValueInfo& a, const ir::ValueInfo& b);

}  // namespace fusee::passes
