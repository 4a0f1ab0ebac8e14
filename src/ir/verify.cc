// The invariants of a graph. What a pass may not break, in one place; the text after "rule:" names
// each.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "ir/graph.h"

namespace fusee::ir {
namespace {

constexpr int kMaxRegionDepth = 16;

class Verifier {
 public:
  explicit Verifier(const Graph& graph, int depth = 0) : graph_(graph), depth_(depth) {}

  Status Run() {
    FUSEE_TRY(CheckInputsAndOutputs());
    FUSEE_TRY(CheckValues());
    FUSEE_TRY(CheckOrder());
    return CheckSideTables();
  }

 private:
  Status Broken(std::string_view where, std::string_view rule) const {
    return Internal(fmt::format("graph '{}', {}: broken rule: {}", graph_.name, where, rule));
  }
  Status BrokenValue(ValueId id, std::string_view rule) const {
    return Broken(fmt::format("value '{}'", graph_.value(id).name), rule);
  }
  bool InRange(ValueId id) const { return id.valid() && id.index() < graph_.value_count(); }
  bool IsAlive(ValueId id) const { return InRange(id) && graph_.value(id).alive; }

  Status CheckInputsAndOutputs() {
    for (ValueId id : graph_.inputs()) {
      if (!IsAlive(id)) return Broken("inputs", "an input is a live value");
      if (!inputs_.insert(id).second) return BrokenValue(id, "an input is listed once");
      if (graph_.value(id).producer.valid() || graph_.value(id).constant.present()) {
        return BrokenValue(id, "an input has no producer and is no constant");
      }
    }
    if (graph_.outputs().size() != graph_.output_names().size())
      return Broken("outputs", "every output has a name");
    std::set<std::string_view> names;
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const std::string& name = graph_.output_names()[i];
      if (!IsAlive(graph_.outputs()[i]))
        return Broken(fmt::format("output '{}'", name), "an output is a live value");
      if (!names.insert(name).second)
        return Broken(fmt::format("output '{}'", name), "output names are unique");
    }
    return OkStatus();
  }

  Status CheckValues() {
    std::set<std::string_view> names;
    for (uint32_t i = 0; i < graph_.value_count(); ++i) {
      const ValueId id(i);
      const Value& v = graph_.value(id);
      if (!v.alive) continue;
      if (v.name.empty()) return BrokenValue(id, "a value has a name");
      if (!names.insert(v.name).second) return BrokenValue(id, "names are unique");
      if (graph_.FindValue(v.name) != id) return BrokenValue(id, "a value is found by its name");
      if (v.info.dtype == DType::kInvalid) return BrokenValue(id, "a live value has a dtype");
      if (v.info.shape.size() > static_cast<size_t>(kMaxRank))
        return BrokenValue(id, "a rank is at most 8");
      for (const Dim& d : v.info.shape) {
        if (d.is_constant() && d.constant() < 0) return BrokenValue(id, "a dimension is 0 or more");
      }
      FUSEE_TRY(CheckElements(id));
      FUSEE_TRY(v.constant.present() ? CheckConstant(id) : CheckProducer(id));
    }
    return OkStatus();
  }

  Status CheckElements(ValueId id) {
    const ValueInfo& info = graph_.value(id).info;
    if (!info.elements) return OkStatus();
    if (IsFloat(info.dtype))
      return BrokenValue(id, "only integer and bool values have tracked elements");
    if (info.elements->size() > static_cast<size_t>(kMaxTrackedElements)) {
      return BrokenValue(id, "at most 256 elements are tracked");
    }
    const std::optional<int64_t> count = ElementCount(info.shape).AsConstant();
    if (count && *count != static_cast<int64_t>(info.elements->size())) {
      return BrokenValue(id, fmt::format("tracked elements fit the shape ({} for shape {})",
                                         info.elements->size(), ToString(info.shape)));
    }
    return OkStatus();
  }

  Status CheckConstant(ValueId id) {
    const Value& v = graph_.value(id);
    if (v.producer.valid()) return BrokenValue(id, "a constant has no producer");
    if (v.constant.dtype() != v.info.dtype || !IsStatic(v.info.shape) ||
        ToShape(v.info.shape) != v.constant.shape()) {
      return BrokenValue(id, fmt::format("a constant's bytes fit its info ({} for {}{})",
                                         Describe(v.constant.dtype(), v.constant.shape()),
                                         DTypeName(v.info.dtype), ToString(v.info.shape)));
    }
    return OkStatus();
  }

  Status CheckProducer(ValueId id) {
    const Value& v = graph_.value(id);
    if (inputs_.contains(id)) return OkStatus();
    if (!v.producer.valid())
      return BrokenValue(id, "a value is an input, a constant or a node's result");
    produced_.insert(id);
    return OkStatus();
  }

  // What a node may be sized by: symbols of inputs, and those found by it or before it.
  Status CheckCounts(const Node& n, const std::string& where) {
    for (const std::string& symbol : n.counts) {
      const auto range = graph_.symbols().find(symbol);
      if (range == graph_.symbols().end() || range->second.min != 0)
        return Broken(where, fmt::format("'{}', which it finds, has a range from 0 on", symbol));
      if (!found_.insert(symbol).second)
        return Broken(where, fmt::format("'{}' is found by one node", symbol));
    }
    if (finders_.empty()) return OkStatus();
    std::set<std::string> symbols;
    CollectSizes(graph_, n, &symbols);
    for (const std::string& symbol : symbols) {
      if (finders_.contains(symbol) && !found_.contains(symbol))
        return Broken(where, fmt::format("'{}' is found before it sizes anything", symbol));
    }
    return OkStatus();
  }

  Status CheckGuards(const Node& n, const std::string& where, const std::set<ValueId>& defined) {
    for (const Guard& guard : n.guards) {
      if (!IsAlive(guard.condition) ||
          (produced_.contains(guard.condition) && !defined.contains(guard.condition)))
        return Broken(where, "a guard's condition is a live value that is defined before it");
      const ValueInfo& info = graph_.value(guard.condition).info;
      if (info.dtype != DType::kBool || ElementCount(info.shape) != Dim(1))
        return Broken(where, "a guard's condition is a bool of one element");
    }
    if (!n.guards.empty() && !n.counts.empty())
      return Broken(where, "a node that finds sizes always runs");
    return OkStatus();
  }

  Status CheckOrder() {
    std::set<NodeId> seen;
    std::set<ValueId> defined;
    finders_ = CountFinders(graph_);
    for (NodeId id : graph_.order()) {
      const Node& n = graph_.node(id);
      const std::string where = DescribeNode(n);
      if (!n.alive) return Broken(where, "an erased node is not in the order");
      if (!seen.insert(id).second) return Broken(where, "a node is in the order once");
      if (n.op.empty()) return Broken(where, "a node has an operator");
      for (size_t i = 0; i < n.inputs.size(); ++i) {
        if (!n.inputs[i].valid()) continue;
        if (!IsAlive(n.inputs[i]))
          return Broken(where, fmt::format("operand {} is a live value", i));
        if (produced_.contains(n.inputs[i]) && !defined.contains(n.inputs[i])) {
          return Broken(where, fmt::format("operand {} ('{}') is defined before its use", i,
                                           graph_.value(n.inputs[i]).name));
        }
      }
      FUSEE_TRY(CheckGuards(n, where, defined));
      for (size_t i = 0; i < n.outputs.size(); ++i) {
        if (!n.outputs[i].valid()) continue;
        if (!IsAlive(n.outputs[i]))
          return Broken(where, fmt::format("result {} is a live value", i));
        const Value& v = graph_.value(n.outputs[i]);
        if (v.producer != id || v.output_index != i || !defined.insert(n.outputs[i]).second) {
          return Broken(
              where, fmt::format("result {} ('{}') is assigned once, by its producer", i, v.name));
        }
      }
      for (const auto& region : n.regions) {
        if (region == nullptr) return Broken(where, "a region is a graph");
      }
      FUSEE_TRY(CheckCounts(n, where));
      for (const auto& region : n.regions) {
        if (depth_ >= kMaxRegionDepth) return Broken(where, "regions nest at most 16 deep");
        FUSEE_TRY(Verifier(*region, depth_ + 1).Run().Annotate(where));
      }
    }
    for (ValueId id : produced_) {
      if (!defined.contains(id)) return BrokenValue(id, "a live value's producer is in the order");
    }
    return OkStatus();
  }

  Status CheckSideTables() {
    for (const auto& [name, range] : graph_.symbols()) {
      if (name.empty() || range.min > range.max) {
        return Broken(fmt::format("symbol '{}'", name),
                      "a symbol has a name and a range with min <= max");
      }
    }
    for (const PinnedInput& pin : graph_.pinned_inputs()) {
      if (!inputs_.contains(pin.value))
        return Broken("pinned inputs", "a pinned input is an input");
      if (pin.expected.dtype() != graph_.value(pin.value).info.dtype) {
        return BrokenValue(pin.value, "a pinned input's bytes have its dtype");
      }
    }
    return OkStatus();
  }

  const Graph& graph_;
  int depth_;
  std::set<ValueId> inputs_;
  std::set<ValueId> produced_;
  std::map<std::string, NodeId, std::less<>> finders_;
  std::set<std::string> found_;
};

}  // namespace

Status Verify(const Graph& graph) { return Verifier(graph).Run(); }

}  // namespace fusee::ir
