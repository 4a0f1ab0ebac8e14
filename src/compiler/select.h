// Selection: which kernel runs each node. Walks the operator's tactics in preference order; each
// accepts or says why not; the first that accepts wins. Constant operands are rewritten for the
// chosen kernel (packing).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "device/cpu_features.h"
#include "ir/graph.h"
#include "ops/kernel.h"
#include "plan/plan.h"

namespace fusee::compiler {

struct SelectOptions {
  Isa max_isa = Isa::kAvx2;
  bool reference_only = false;
  bool pack = true;
  // Kernel id by the name of the node's first result, from a lockfile; an entry that no longer fits
  // is an error.
  const std::map<std::string, std::string>* locked = nullptr;
};

struct SelectedNode {
  ir::NodeId node;
  const ops::KernelDef* kernel = nullptr;  // null for a view: no step
  uint64_t workspace_bytes = 0;
  std::vector<ops::PackedConstant> packed;
  std::vector<plan::TriedTactic> tried;
};

// One entry per live node, in order. Errors: kUnimplemented naming the node, its operand types, and
// why each tactic refused; kFailedPrecondition when a locked choice does not fit.
Result<std::vector<SelectedNode>> SelectKernels(const ir::Graph& graph,
                                                const SelectOptions& options);

// The name that stands for a node in a lockfile: its first wanted result's.
std::string LockName(const ir::Graph& graph, const ir::Node& node);

// dtype and largest shape of a value. Errors: kResourceExhausted when it exceeds what a plan may
// hold.
Result<ops::TensorSpec> SpecOf(const ir::Graph& graph, ir::ValueId value);

// Largest tensor a plan may hold at its profile's maximum.
inline constexpr int64_t kMaxTensorBytes = int64_t{1} << 38;

}  // namespace fusee::compiler
