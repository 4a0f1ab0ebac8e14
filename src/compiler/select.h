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
  // The target's kernels, and the level of the target where that is a GPU (90).
  const ops::KernelLibrary* kernels = &ops::CpuKernels();
  int compute_capability = 0;
  // Steps that no kernel of the target takes run on the host, by the CPU's kernels.
  bool allow_host_steps = false;
  Isa max_isa = Isa::kAvx2;
  bool reference_only = false;
  bool pack = true;
  // Kernel id by the name of the node's first result, from a lockfile; an entry that no longer fits
  // is an error.
  const std::map<std::string, std::string>* locked = nullptr;
};

// Another tactic at one tuned point's exact shapes.
struct BucketChoice {
  uint32_t bucket = 0;  // index into ImportedModel::buckets
  const ops::KernelDef* kernel = nullptr;
  plan::ConfigBytes config;
};

struct SelectedNode {
  ir::NodeId node;
  const ops::KernelDef* kernel = nullptr;  // null for a view: no step
  plan::ConfigBytes config;
  std::vector<BucketChoice> bucket_tactics;  // ascending by bucket
  bool on_host = false;                      // in a plan for another device
  uint64_t workspace_bytes = 0;              // the largest of all its tactics
  std::vector<ops::PackedConstant> packed;
  std::vector<plan::TriedTactic> tried;
};

// One entry per live node, in order. Errors: kUnimplemented naming every node that nothing takes,
// its operand types, and why each tactic refused; kFailedPrecondition when a locked choice does not
// fit.
Result<std::vector<SelectedNode>> SelectKernels(const ir::Graph& graph,
                                                const SelectOptions& options);

// Nodes that no kernel takes, with the operand types and why each tactic refused. Nothing is kept
// of those that some kernel takes.
struct RefusedNode {
  ir::NodeId node;
  std::string reason;  // without a line break at its end
};
std::vector<RefusedNode> FindRefused(const ir::Graph& graph, const SelectOptions& options);

// The specs of one node's step; owns copies of constants whose bytes lie unaligned in the model
// file, which kernels that read them while binding need not expect.
struct NodeSpecs {
  std::vector<ops::TensorSpec> inputs, outputs;
  std::vector<Tensor> aligned;

  // Borrows this, the node and config.
  ops::StepSpec step(const ir::Node& node, std::span<const std::byte> config = {}) const {
    return {node.op, &node.attrs, inputs, outputs, node.dims.size(), config, node.counts.size()};
  }
  // Operands as the packing left them.
  void Replace(const std::vector<ops::PackedConstant>& packed);
};
// At the profile's maximum; with a point, at exactly its shapes.
Result<NodeSpecs> SpecsOf(const ir::Graph& graph, const ir::Node& node,
                          const ir::SymbolValues* point = nullptr);

// Why the options rule a kernel out; empty when they do not.
std::string Veto(const ops::KernelDef& kernel, const SelectOptions& options);

// The name that stands for a node in a lockfile: its first wanted result's.
std::string LockName(const ir::Graph& graph, const ir::Node& node);

// dtype and largest shape of a value. Errors: kResourceExhausted when it exceeds what a plan may
// hold.
Result<ops::TensorSpec> SpecOf(const ir::Graph& graph, ir::ValueId value);

// Largest tensor a plan may hold at its profile's maximum.
inline constexpr int64_t kMaxTensorBytes = int64_t{1} << 38;

}  // namespace fusee::compiler
