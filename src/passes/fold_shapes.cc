// A node result whose elements are all known from tracking becomes a constant: Shape of a static
// dimension, and the arithmetic on it.
//
//   %s : i64[2]{3, 224} = Shape(%x)         ->   const %s : i64[2] = {3, 224}
#include <fmt/format.h>

#include <algorithm>

#include "ops/op_def.h"
#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

// The elements as a tensor; absent when one of them is an expression or does not fit the type (it
// would wrap at run time, which expressions do not).
Result<Tensor> KnownTensor(const ir::ValueInfo& info) {
  if (!info.elements || !ir::IsStatic(info.shape)) return Tensor();
  if (!std::all_of(info.elements->begin(), info.elements->end(),
                   [](const ir::Dim& d) { return d.is_constant(); })) {
    return Tensor();
  }
  TensorView out;
  FUSEE_TRY(Tensor tensor, Tensor::Allocate(info.dtype, ir::ToShape(info.shape), &out));
  for (size_t i = 0; i < info.elements->size(); ++i) {
    const int64_t element = (*info.elements)[i].constant();
    StoreInt(out, static_cast<int64_t>(i), element);
    if (IntAt(out, static_cast<int64_t>(i)) != element ||
        (info.dtype == DType::kU64 && element < 0))
      return Tensor();
  }
  return tensor;
}

}  // namespace

Result<PassOutcome> fold_shapes(ir::Graph& graph, PassContext& context) {
  std::vector<ir::NodeId> dead;
  bool changed = false;
  for (ir::NodeId id : graph.order()) {
    const ops::OpDef* op = ops::FindOp(graph.node(id).op);
    if (op == nullptr || !op->pure) continue;
    bool folded = false;
    bool left = false;
    for (size_t i = 0; i < graph.node(id).outputs.size(); ++i) {
      const ir::ValueId result = graph.node(id).outputs[i];
      if (!result.valid()) continue;
      FUSEE_TRY(Tensor tensor, KnownTensor(graph.value(result).info));
      if (!tensor.present()) {
        left = true;
      } else if (graph.IsOutput(result)) {
        left = true;
        context.Declined(
            fmt::format("{} kept: its result is a graph output and would be a constant",
                        graph.node(id).op),
            graph.node(id).sources);
      } else {
        graph.ReplaceWithConstant(result, std::move(tensor));
        folded = true;
      }
    }
    if (!folded) continue;
    changed = true;
    context.Made(fmt::format("computed {} while building: its elements follow from shapes",
                             graph.node(id).op),
                 graph.node(id).sources);
    if (!left) dead.push_back(id);
  }
  graph.EraseNodes(dead);
  return PassOutcome{changed};
}

}  // namespace fusee::passes::pass
