#include "compiler/lower_if.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "ops/op_def.h"
#include "tensor/tensor.h"

namespace fusee::compiler {
namespace {

using Guards = std::vector<ir::Guard>;

class Lowering {
 public:
  explicit Lowering(ir::Graph& graph) : graph_(graph) {}

  Status Run() {
    const std::vector<ir::NodeId> before = graph_.order();
    for (const ir::NodeId id : before) {
      const ir::Node& node = graph_.node(id);
      if (node.op != "If") {
        order_.push_back(id);
        continue;
      }
      FUSEE_TRY(const std::vector<ir::ValueId> results, WriteIf(node, node.inputs, {}));
      for (size_t i = 0; i < results.size(); ++i) {
        if (node.outputs[i].valid()) replaced_.emplace_back(node.outputs[i], results[i]);
      }
      lowered_.push_back(id);
    }
    if (lowered_.empty()) return OkStatus();
    Finish();
    return ir::Verify(graph_);
  }

 private:
  // The results of an If of this graph or of a region, whose operands here are `operands`.
  Result<std::vector<ir::ValueId>> WriteIf(const ir::Node& node,
                                           const std::vector<ir::ValueId>& operands,
                                           const Guards& around) {
    const ir::ValueId condition = operands[0];
    const std::vector<ir::ValueId> captured(operands.begin() + 1, operands.end());
    if (const std::optional<bool> known = Known(condition))
      return WriteRegion(*node.regions[*known ? 0 : 1], captured, around);
    std::vector<std::vector<ir::ValueId>> results;
    for (const bool holds : {true, false}) {
      Guards guards = around;
      guards.push_back({condition, holds});
      FUSEE_TRY(results.emplace_back(),
                WriteRegion(*node.regions[holds ? 0 : 1], captured, guards));
    }
    std::vector<ir::ValueId> chosen;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      chosen.emplace_back();
      if (!node.outputs[i].valid()) continue;
      ir::Node where;
      where.op = "Where";
      where.inputs = {condition, results[0][i], results[1][i]};
      where.guards = around;
      where.sources = node.sources;
      const std::string name = graph_.FreshName(graph_.value(results[0][i]).name + "/" + node.op);
      FUSEE_TRY(const std::vector<ir::ValueId> ids,
                ops::AddInferredNode(graph_, std::move(where), std::span(&name, 1)));
      order_.push_back(graph_.order().back());
      chosen.back() = ids[0];
      chosen_.insert(ids[0]);
    }
    return chosen;
  }

  std::optional<bool> Known(ir::ValueId condition) const {
    const Tensor& constant = graph_.value(condition).constant;
    if (!constant.present()) return std::nullopt;
    return IntAt(constant.view(), 0) != 0;
  }

  // The region's nodes at the end of the graph; one value for each of its results.
  Result<std::vector<ir::ValueId>> WriteRegion(const ir::Graph& region,
                                               const std::vector<ir::ValueId>& captured,
                                               const Guards& guards) {
    std::map<ir::ValueId, ir::ValueId> values;
    for (size_t i = 0; i < captured.size(); ++i) values[region.inputs()[i]] = captured[i];
    const auto value_of = [&](ir::ValueId id) {
      if (!id.valid()) return id;
      const auto [it, fresh] = values.try_emplace(id);
      if (fresh) it->second = graph_.AddConstant(region.value(id).name, region.value(id).constant);
      return it->second;
    };
    for (const ir::NodeId id : region.order()) {
      const ir::Node& from = region.node(id);
      std::vector<ir::ValueId> operands;
      for (const ir::ValueId operand : from.inputs) operands.push_back(value_of(operand));
      std::vector<ir::ValueId> results;
      if (from.op == "If") {
        FUSEE_TRY(results, WriteIf(from, operands, guards));
      } else {
        results = WriteNode(region, from, std::move(operands), guards);
      }
      for (size_t i = 0; i < from.outputs.size(); ++i) {
        if (from.outputs[i].valid()) values[from.outputs[i]] = results[i];
      }
    }
    std::vector<ir::ValueId> results;
    for (const ir::ValueId id : region.outputs()) results.push_back(value_of(id));
    return results;
  }

  std::vector<ir::ValueId> WriteNode(const ir::Graph& region, const ir::Node& from,
                                     std::vector<ir::ValueId> operands, const Guards& guards) {
    ir::Node node;
    node.op = from.op;
    node.inputs = std::move(operands);
    node.attrs = from.attrs;
    node.dims = from.dims;
    node.guards = guards;
    node.sources = from.sources;
    std::vector<std::string> names;
    std::vector<ir::ValueInfo> infos;
    for (const ir::ValueId id : from.outputs) {
      names.push_back(id.valid() ? region.value(id).name : std::string());
      infos.push_back(id.valid() ? region.value(id).info : ir::ValueInfo());
    }
    const ir::NodeId id = graph_.AddNode(std::move(node), names, infos);
    order_.push_back(id);
    return graph_.node(id).outputs;
  }

  // The new nodes go to their places, and the old ones.
  void Finish() {
    std::vector<ir::ValueId> replacement(graph_.value_count());
    for (const auto& [from, to] : replaced_) replacement[from.index()] = to;
    graph_.ReplaceUses(replacement);
    std::vector<std::string> names;
    for (const auto& [from, to] : replaced_) names.push_back(graph_.value(from).name);
    graph_.EraseNodes(lowered_);
    graph_.SetOrder(std::move(order_));
    // Where one course is taken always, a result is a value of its own name.
    for (size_t i = 0; i < names.size(); ++i) {
      if (chosen_.contains(replaced_[i].second))
        graph_.Rename(replaced_[i].second, std::move(names[i]));
    }
  }

  ir::Graph& graph_;
  std::vector<ir::NodeId> order_, lowered_;
  std::vector<std::pair<ir::ValueId, ir::ValueId>> replaced_;  // results of If, what they became
  std::set<ir::ValueId> chosen_;                               // results of our Where
};

}  // namespace

Status LowerIf(ir::Graph& graph) { return Lowering(graph).Run(); }

}  // namespace fusee::compiler
