// Removes nodes whose results nobody reads, and constants nobody reads.
//
//   %a = Relu(%x)          (no reader)      ->   nothing
#include "ops/op_def.h"
#include "passes/pass.h"

namespace fusee::passes::pass {

Result<PassOutcome> dead_code(ir::Graph& graph, PassContext& context) {
  std::vector<uint32_t> uses = graph.UseCounts();
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
    if (used) continue;
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
