// Computes a small graph with the reference kernels: how tests of import rules that spell an
// operator with others see its values. Shapes must be static.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "ops/kernel_test_util.h"
#include "ops/op_def.h"

namespace fusee::ops {

// The wanted values, given the graph's inputs. Errors: those of the kernels; kInternal for a value
// that nothing computes.
inline Result<std::vector<Tensor>> EvaluateGraph(const ir::Graph& graph,
                                                 std::map<ir::ValueId, Tensor> known,
                                                 const std::vector<ir::ValueId>& wanted) {
  const auto tensor = [&](ir::ValueId id) {
    if (!id.valid()) return Tensor();
    return graph.value(id).constant.present() ? graph.value(id).constant : known[id];
  };
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    KernelCall call;
    call.op = node.op;
    call.attrs = node.attrs;
    for (ir::ValueId input : node.inputs) call.inputs.push_back(tensor(input));
    for (const ir::Dim& d : node.dims) call.dims.push_back(d.constant());
    if (FindOp(node.op)->kind == OpKind::kView) {
      known[node.outputs[0]] =
          call.inputs[0].Reshaped(ir::ToShape(graph.value(node.outputs[0]).info.shape));
      continue;
    }
    for (ir::ValueId output : node.outputs) {
      if (!output.valid()) {
        call.outputs.emplace_back(DType::kInvalid, Shape{});
        continue;
      }
      const ir::ValueInfo& info = graph.value(output).info;
      call.outputs.emplace_back(info.dtype, ir::ToShape(info.shape));
    }
    FUSEE_TRY(std::vector<Tensor> results, RunKernel(KernelsFor(node.op).back()->id, call));
    for (size_t i = 0; i < results.size(); ++i) known[node.outputs[i]] = results[i];
  }
  std::vector<Tensor> values;
  for (ir::ValueId id : wanted) {
    values.push_back(tensor(id));
    if (!values.back().present()) return Internal("a value that nothing computes");
  }
  return values;
}

}  // namespace fusee::ops
