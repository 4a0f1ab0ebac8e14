#include "quant/allow_tf32.h"

#include <string>

#include "ops/math_mode.h"

namespace fusee::quant {

int64_t AllowTf32(ir::Graph& graph) {
  int64_t allowed = 0;
  for (ir::NodeId id : graph.order()) {
    ir::Node& node = graph.node(id);
    const bool multiplies = node.op == "MatMul" || node.op == "Gemm" || node.op == "Conv";
    if (!multiplies || graph.value(node.inputs[0]).info.dtype != DType::kF32) continue;
    node.attrs.Set(std::string(ops::kMathAttr), std::string(ops::kMathTf32));
    ++allowed;
  }
  return allowed;
}

}  // namespace fusee::quant
