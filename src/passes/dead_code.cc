// Removes nodes whose results nobody reads, and constants nobody reads.
//
//   %a = Relu(%x)          (no reader)      ->   nothing
#include <algorithm>
#include <set>

#include "ops/op_def.h"
#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

// Symbols of ir::Node::counts that size anything but the results of the nodes that find them.
std::set<std::string> FoundAndUsed(const ir::Graph& graph) {
  std::set<std::string> used;
  const auto finders = ir::CountFinders(graph);
  if (finders.empty()) return used;
  for (const ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    std::set<std::string> symbols;
    for (const ir::Dim& d : node.dims) d.CollectSymbols(&symbols);
    for (const ir::ValueId result : node.outputs) {
      if (!result.valid()) continue;
      for (const ir::Dim& d : graph.value(result).info.shape) d.CollectSymbols(&symbols);
    }
    if (!node.regions.empty()) ir::CollectSizes(graph, node, &symbols);
    for (const std::string& symbol : symbols) {
      const auto finder = finders.find(symbol);
      if (finder != finders.end() && finder->second != id) used.insert(symbol);
    }
  }
  for (const ir::Constraint& c : graph.constraints()) {
    c.a.CollectSymbols(&used);
    c.b.CollectSymbols(&used);
  }
  return used;
}

}  // namespace

Result<PassOutcome> dead_code(ir::Graph& graph, PassContext& context) {
  std::vector<uint32_t> uses = graph.UseCounts();
  const std::set<std::string> sizing = FoundAndUsed(graph);
  std::vector<ir::NodeId> dead;
  // Backwards, so that a chain of dead nodes goes in one run.
  for (size_t i = graph.order().size(); i-- > 0;) {
    const ir::NodeId id = graph.order()[i];
    const ir::Node& node = graph.node(id);
    const ops::OpDef* op = ops::FindOp(node.op);
    if (op == nullptr || !op->pure) continue;
    bool used = false;
    for (ir::ValueId result : node.outputs)
      used = used || (result.valid() && uses[result.index()] > 0);
    // What it finds may size others, though they read none of its results.
    if (used || std::ranges::any_of(node.counts, [&](const auto& s) { return sizing.contains(s); }))
      continue;
    for (ir::ValueId operand : node.inputs) {
      if (operand.valid()) --uses[operand.index()];
    }
    dead.push_back(id);
    context.Made("removed " + node.op + ": nothing reads its results", node.sources);
  }
  graph.EraseNodes(dead);

  bool changed = !dead.empty();
  for (uint32_t i = 0; i < graph.value_count(); ++i) {
    const ir::ValueId id(i);
    if (!graph.value(id).alive || !graph.value(id).constant.present() || uses[i] > 0) continue;
    graph.EraseConstant(id);
    changed = true;
  }
  return PassOutcome{changed};
}

}  // namespace fusee::passes::pass
