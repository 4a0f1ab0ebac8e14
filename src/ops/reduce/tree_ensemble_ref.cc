// TreeEnsemble, plainly: each row goes through each tree, in order. A row's results stand in the
// workspace, in double.
#include <algorithm>
#include <cmath>

#include "ops/movement/kernel_support.h"
#include "ops/reduce/tree_ensemble.h"

namespace fusee::ops {
namespace {

Status Check(const TreeEnsemble& trees, const RunArgs& args) {
  const Shape& in = args.inputs[0].shape;
  if (in.rank() != 2 || in[1] < trees.features) {
    return InvalidArgument(
        fmt::format("TreeEnsemble: needs an operand [N, features] with {} features or more, got {}",
                    trees.features, in.ToString()));
  }
  return ExpectShape("TreeEnsemble", "result", {in[0], trees.targets}, args.outputs[0].shape);
}

bool Holds(const TreeEnsemble& trees, const TreeNode& node, double x) {
  if (node.missing_holds && std::isnan(x)) return true;
  switch (node.mode) {
    case TreeMode::kLessOrEqual: return x <= node.split;
    case TreeMode::kLess: return x < node.split;
    case TreeMode::kGreaterOrEqual: return x >= node.split;
    case TreeMode::kGreater: return x > node.split;
    case TreeMode::kEqual: return x == node.split;
    case TreeMode::kNotEqual: return x != node.split;
    case TreeMode::kMember: break;
  }
  const double* members = trees.members.data();
  return std::find(members + node.members_begin, members + node.members_end, x) !=
         members + node.members_end;
}

// The parameters were checked to end at a leaf.
const TreeLeaf& LeafOf(const TreeEnsemble& trees, int64_t root, const ConstTensorView& in,
                       int64_t row) {
  TreeBranch at = {root, false};
  while (!at.is_leaf) {
    const TreeNode& node = trees.nodes[static_cast<size_t>(at.to)];
    at = node.branch[Holds(trees, node, DoubleAt(in, row + node.feature)) ? 1 : 0];
  }
  return trees.leaves[static_cast<size_t>(at.to)];
}

void RunRow(const TreeEnsemble& trees, const ConstTensorView& in, int64_t row, double* results) {
  std::fill(results, results + trees.targets, 0.0);
  for (size_t i = 0; i < trees.roots.size(); ++i) {
    const TreeLeaf& leaf = LeafOf(trees, trees.roots[i], in, row);
    double& result = results[leaf.target];
    // MIN and MAX have one target, which the first tree begins.
    switch (trees.aggregate) {
      case TreeAggregate::kAverage:
      case TreeAggregate::kSum: result += leaf.weight; break;
      case TreeAggregate::kMin:
        result = i == 0 ? leaf.weight : std::min(result, leaf.weight);
        break;
      case TreeAggregate::kMax:
        result = i == 0 ? leaf.weight : std::max(result, leaf.weight);
        break;
    }
  }
  if (trees.aggregate != TreeAggregate::kAverage) return;
  for (int64_t k = 0; k < trees.targets; ++k) results[k] /= static_cast<double>(trees.roots.size());
}

Status Run(const TreeEnsemble& trees, const RunArgs& args) {
  const ConstTensorView& in = args.inputs[0];
  auto* results = reinterpret_cast<double*>(args.workspace.data());
  for (int64_t n = 0; n < in.shape[0]; ++n) {
    RunRow(trees, in, n * in.shape[1], results);
    for (int64_t k = 0; k < trees.targets; ++k)
      StoreDouble(args.outputs[0], n * trees.targets + k, results[k]);
  }
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(CheckSignature(spec, {}));
  FUSEE_TRY(CheckSameDType(spec, spec.inputs[0], spec.outputs[0], "operand and result"));
  if (!IsFloat(spec.inputs[0].dtype)) return BadStep(spec, "takes floating-point types only");
  auto trees = ParseTreeEnsemble(*spec.attrs);
  if (!trees.ok()) return BadStep(spec, trees.status().message());
  const size_t workspace = static_cast<size_t>(trees->targets) * sizeof(double);
  return MakeKernel(std::move(trees).value(), Check, Run, workspace);
}

}  // namespace

extern const KernelDef tree_ensemble_ref = {
    .id = "tree_ensemble_ref.1", .op = "TreeEnsemble", .reference = true, .bind = Bind};

}  // namespace fusee::ops
