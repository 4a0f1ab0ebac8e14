#include "ir/region.h"

#include <map>
#include <set>

namespace fusee::ir {
namespace {

// What the stretches read from outside.
std::vector<ValueId> FindCaptured(const Graph& graph, std::span<const Stretch> stretches) {
  std::vector<ValueId> captured;
  std::set<ValueId> known;
  const auto read = [&](ValueId id) {
    if (!id.valid() || graph.value(id).constant.present() || !known.insert(id).second) return;
    captured.push_back(id);
  };
  for (const Stretch& stretch : stretches) {
    for (size_t i = stretch.first; i < stretch.last; ++i) {
      const Node& node = graph.node(graph.order()[i]);
      for (const ValueId id : node.inputs) read(id);
      known.insert(node.outputs.begin(), node.outputs.end());
    }
    for (const ValueId id : stretch.results) read(id);
  }
  return captured;
}

class Mover {
 public:
  Mover(Graph& graph, const std::vector<ValueId>& captured) : graph_(graph) {
    region_->symbols() = graph.symbols();
    for (const ValueId id : captured)
      values_[id] = region_->AddInput(graph.value(id).name, graph.value(id).info);
  }

  std::unique_ptr<Graph> Move(const Stretch& stretch) {
    region_->name = stretch.name;
    for (size_t i = stretch.first; i < stretch.last; ++i) MoveNode(graph_.node(graph_.order()[i]));
    for (const ValueId id : stretch.results)
      region_->MarkOutput(ValueOf(id), std::to_string(region_->outputs().size()));
    return std::move(region_);
  }

 private:
  ValueId ValueOf(ValueId id) {
    if (!id.valid()) return id;
    const auto [it, fresh] = values_.try_emplace(id);
    if (fresh) it->second = region_->AddConstant(graph_.value(id).name, graph_.value(id).constant);
    return it->second;
  }

  void MoveNode(Node& from) {
    Node node;
    node.op = from.op;
    for (const ValueId id : from.inputs) node.inputs.push_back(ValueOf(id));
    node.attrs = std::move(from.attrs);
    node.dims = std::move(from.dims);
    node.counts = std::move(from.counts);
    node.regions = std::move(from.regions);
    node.sources = std::move(from.sources);
    std::vector<std::string> names;
    std::vector<ValueInfo> infos;
    for (const ValueId id : from.outputs) {
      names.push_back(id.valid() ? graph_.value(id).name : std::string());
      infos.push_back(id.valid() ? graph_.value(id).info : ValueInfo());
    }
    const NodeId moved = region_->AddNode(std::move(node), names, infos);
    for (size_t i = 0; i < from.outputs.size(); ++i) {
      if (from.outputs[i].valid()) values_[from.outputs[i]] = region_->node(moved).outputs[i];
    }
  }

  Graph& graph_;
  std::unique_ptr<Graph> region_ = std::make_unique<Graph>();
  std::map<ValueId, ValueId> values_;
};

}  // namespace

std::vector<std::unique_ptr<Graph>> MoveToRegions(Graph& graph, std::span<const Stretch> stretches,
                                                  std::vector<ValueId>* captured) {
  *captured = FindCaptured(graph, stretches);
  std::vector<std::unique_ptr<Graph>> regions;
  std::vector<NodeId> moved;
  for (const Stretch& stretch : stretches) {
    for (size_t i = stretch.first; i < stretch.last; ++i) moved.push_back(graph.order()[i]);
    regions.push_back(Mover(graph, *captured).Move(stretch));
  }
  graph.EraseNodes(moved);
  return regions;
}

}  // namespace fusee::ir
