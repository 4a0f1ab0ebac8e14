// Emission: a graph with chosen kernels becomes a plan: steps, tensors at planned offsets,
// dimension expressions, the weights region.
#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "compiler/import.h"
#include "compiler/select.h"
#include "ir/graph.h"
#include "plan/plan.h"

namespace fusee::compiler {

// Gives every graph output bytes of its own: inserts Copy where an output is (a view of) a graph
// input, a constant, or another output. Run before SelectKernels.
Status SeparateOutputs(ir::Graph& graph);

struct EmitOptions {
  bool in_place = true;                  // let results take over the memory of operands that die
  DeviceKind device = DeviceKind::kCpu;  // the target; steps on the host keep the CPU's number
};

// Everything except provenance, what is needed of a GPU, certificate and latencies, which the
// driver adds. The plan owns its weights (weights_owner). Errors: kResourceExhausted (sizes),
// kUnimplemented (a size that no input determines).
Result<plan::Plan> EmitPlan(const ImportedModel& model, const ir::Graph& graph,
                            const std::vector<SelectedNode>& selection, const EmitOptions& options);

}  // namespace fusee::compiler
