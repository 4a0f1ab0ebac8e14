// TreeEnsemble's trees, as attributes of the IR and of a plan's steps. Lists named nodes_ have one
// entry an inner node, those named leaf_ one a leaf:
//
//   tree_roots                          the inner node with which each tree begins
//   nodes_featureids, nodes_modes       which feature is compared, and how (TreeMode)
//   nodes_splits                        what it is compared with; nothing of mode kMember
//   nodes_truenodeids, nodes_trueleafs  where it goes on when that holds: a leaf's number, or an
//   nodes_falsenodeids, nodes_falseleafs  inner node's; and when it does not
//   nodes_missing_value_tracks_true     absent: none; 1: it holds of a feature that is no number
//   leaf_targetids, leaf_weights        which element of the result a leaf counts in, and how much
//   membership_sizes, membership_values a set for each node of mode kMember, in order
//   n_targets, aggregate                aggregate is "AVERAGE", "SUM", "MIN" or "MAX"
//
// Header only, because definitions (compiler) and kernels (runtime) are two libraries that both
// need it.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "tensor/attrs.h"

namespace fusee::ops {

enum class TreeMode : uint8_t {
  kLessOrEqual,
  kLess,
  kGreaterOrEqual,
  kGreater,
  kEqual,
  kNotEqual,
  kMember
};
enum class TreeAggregate : uint8_t { kAverage, kSum, kMin, kMax };

struct TreeBranch {
  int64_t to = 0;  // in TreeEnsemble::nodes or leaves
  bool is_leaf = false;
};

struct TreeNode {
  TreeMode mode = TreeMode::kLessOrEqual;
  bool missing_holds = false;
  int64_t feature = 0;
  double split = 0;
  size_t members_begin = 0, members_end = 0;  // in TreeEnsemble::members
  TreeBranch branch[2];                       // [0]: the comparison does not hold
};

struct TreeLeaf {
  int64_t target = 0;
  double weight = 0;
};

// Every number in it is in range, and no way from a root comes to a node twice.
struct TreeEnsemble {
  TreeAggregate aggregate = TreeAggregate::kSum;
  int64_t targets = 0;
  int64_t features = 0;  // that an operand must have, at least
  std::vector<int64_t> roots;
  std::vector<TreeNode> nodes;
  std::vector<TreeLeaf> leaves;
  std::vector<double> members;
};

inline constexpr int64_t kTreeNumberMax = int64_t{1} << 31;
inline constexpr size_t kTreeStepsMax = size_t{1} << 24;  // of one row through all trees

namespace tree_internal {

// A list with one entry a node.
inline Result<std::vector<int64_t>> NodeInts(const Attrs& attrs, const char* name, size_t count) {
  FUSEE_TRY(std::vector<int64_t> list, attrs.Ints(name));
  if (list.size() == count) return list;
  return InvalidArgument(fmt::format("{} has {} entries for {} nodes", name, list.size(), count));
}

inline Status InRange(const char* name, int64_t value, int64_t end) {
  if (value >= 0 && value < end) return OkStatus();
  return InvalidArgument(
      fmt::format("{} has the entry {}, expected 0 to {}", name, value, end - 1));
}

inline Status ReadBranches(const Attrs& attrs, const char* ids_name, const char* leafs_name,
                           size_t side, TreeEnsemble* t) {
  FUSEE_TRY(const std::vector<int64_t> ids, NodeInts(attrs, ids_name, t->nodes.size()));
  FUSEE_TRY(const std::vector<int64_t> leafs, NodeInts(attrs, leafs_name, t->nodes.size()));
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool is_leaf = leafs[i] != 0;
    FUSEE_TRY(InRange(ids_name, ids[i],
                      static_cast<int64_t>(is_leaf ? t->leaves.size() : t->nodes.size())));
    t->nodes[i].branch[side] = {ids[i], is_leaf};
  }
  return OkStatus();
}

inline Status ReadLeaves(const Attrs& attrs, TreeEnsemble* t) {
  FUSEE_TRY(t->targets, attrs.Int("n_targets", 0));
  if (t->targets < 1 || t->targets >= kTreeNumberMax)
    return InvalidArgument(fmt::format("n_targets is {}", t->targets));
  FUSEE_TRY(const std::vector<int64_t> targets, attrs.Ints("leaf_targetids"));
  FUSEE_TRY(const std::vector<double> weights, attrs.Floats("leaf_weights"));
  if (targets.size() != weights.size()) {
    return InvalidArgument(fmt::format("there are {} leaf_targetids and {} leaf_weights",
                                       targets.size(), weights.size()));
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    FUSEE_TRY(InRange("leaf_targetids", targets[i], t->targets));
    t->leaves.push_back({targets[i], weights[i]});
  }
  return OkStatus();
}

inline Status ReadNodes(const Attrs& attrs, TreeEnsemble* t) {
  FUSEE_TRY(const std::vector<int64_t> features, attrs.Ints("nodes_featureids"));
  const size_t count = features.size();
  FUSEE_TRY(const std::vector<int64_t> modes, NodeInts(attrs, "nodes_modes", count));
  FUSEE_TRY(const std::vector<double> splits, attrs.Floats("nodes_splits"));
  if (splits.size() != count)
    return InvalidArgument(
        fmt::format("there are {} nodes_splits for {} nodes", splits.size(), count));
  std::vector<int64_t> missing(count, 0);
  if (attrs.Has("nodes_missing_value_tracks_true")) {
    FUSEE_TRY(missing, NodeInts(attrs, "nodes_missing_value_tracks_true", count));
  }
  for (size_t i = 0; i < count; ++i) {
    FUSEE_TRY(InRange("nodes_featureids", features[i], kTreeNumberMax));
    FUSEE_TRY(InRange("nodes_modes", modes[i], static_cast<int64_t>(TreeMode::kMember) + 1));
    t->features = std::max(t->features, features[i] + 1);
    TreeNode& node = t->nodes.emplace_back();
    node.mode = static_cast<TreeMode>(modes[i]);
    node.missing_holds = missing[i] != 0;
    node.feature = features[i];
    node.split = splits[i];
  }
  FUSEE_TRY(ReadBranches(attrs, "nodes_falsenodeids", "nodes_falseleafs", 0, t));
  FUSEE_TRY(ReadBranches(attrs, "nodes_truenodeids", "nodes_trueleafs", 1, t));
  FUSEE_TRY(t->roots, attrs.Ints("tree_roots"));
  if (t->roots.empty()) return InvalidArgument("tree_roots is empty");
  for (const int64_t root : t->roots)
    FUSEE_TRY(InRange("tree_roots", root, static_cast<int64_t>(count)));
  return OkStatus();
}

inline Status ReadMembers(const Attrs& attrs, TreeEnsemble* t) {
  FUSEE_TRY(t->members, attrs.Floats("membership_values"));
  FUSEE_TRY(const std::vector<int64_t> sizes, attrs.Ints("membership_sizes"));
  const auto needed =
      static_cast<size_t>(std::ranges::count(t->nodes, TreeMode::kMember, &TreeNode::mode));
  if (sizes.size() != needed) {
    return InvalidArgument(
        fmt::format("there are {} sets of members for {} nodes", sizes.size(), needed));
  }
  size_t next = 0, set = 0;
  for (TreeNode& node : t->nodes) {
    if (node.mode != TreeMode::kMember) continue;
    const int64_t size = sizes[set++];
    FUSEE_TRY(
        InRange("membership_sizes", size, static_cast<int64_t>(t->members.size() - next) + 1));
    node.members_begin = next;
    node.members_end = next += static_cast<size_t>(size);
  }
  if (next == t->members.size()) return OkStatus();
  return InvalidArgument("membership_values has more numbers than the sets");
}

// Takes away, one after another, nodes to which no other leads; what stays leads in a circle.
inline Status CheckEndsOfWays(const TreeEnsemble& t) {
  std::vector<size_t> ways(t.nodes.size(), 0);
  for (const TreeNode& node : t.nodes) {
    for (const TreeBranch& branch : node.branch)
      if (!branch.is_leaf) ++ways[static_cast<size_t>(branch.to)];
  }
  std::vector<size_t> free, before(t.nodes.size(), 0);  // before: nodes on the longest way to one
  for (size_t i = 0; i < ways.size(); ++i)
    if (ways[i] == 0) free.push_back(i);
  for (size_t done = 0; done < free.size(); ++done) {
    for (const TreeBranch& branch : t.nodes[free[done]].branch) {
      if (branch.is_leaf) continue;
      const auto to = static_cast<size_t>(branch.to);
      before[to] = std::max(before[to], before[free[done]] + 1);
      if (--ways[to] == 0) free.push_back(to);
    }
  }
  if (free.size() != t.nodes.size()) return InvalidArgument("the nodes of a tree lead in a circle");
  // Trees may share nodes, so their number alone does not bound the time.
  const size_t longest = 1 + *std::ranges::max_element(before);
  if (t.roots.size() > kTreeStepsMax / longest) {
    return Unimplemented(fmt::format("{} trees with ways of up to {} nodes take too long for a row",
                                     t.roots.size(), longest));
  }
  return OkStatus();
}

}  // namespace tree_internal

// Errors: kInvalidArgument for attributes that are no trees; kUnimplemented for MIN and MAX of
// several targets.
inline Result<TreeEnsemble> ParseTreeEnsemble(const Attrs& attrs) {
  TreeEnsemble t;
  FUSEE_TRY(const std::string aggregate, attrs.Str("aggregate", ""));
  if (aggregate == "AVERAGE") {
    t.aggregate = TreeAggregate::kAverage;
  } else if (aggregate == "SUM") {
    t.aggregate = TreeAggregate::kSum;
  } else if (aggregate == "MIN") {
    t.aggregate = TreeAggregate::kMin;
  } else if (aggregate == "MAX") {
    t.aggregate = TreeAggregate::kMax;
  } else {
    return InvalidArgument(fmt::format("aggregate '{}' is unknown", aggregate));
  }
  FUSEE_TRY(tree_internal::ReadLeaves(attrs, &t));
  FUSEE_TRY(tree_internal::ReadNodes(attrs, &t));
  FUSEE_TRY(tree_internal::ReadMembers(attrs, &t));
  FUSEE_TRY(tree_internal::CheckEndsOfWays(t));
  if (t.targets > 1 && (t.aggregate == TreeAggregate::kMin || t.aggregate == TreeAggregate::kMax)) {
    return Unimplemented(
        fmt::format("{} over {} targets is not supported, as implementations differ in what a "
                    "target is that no tree counts in; use a TreeEnsemble for each target",
                    aggregate, t.targets));
  }
  return t;
}

}  // namespace fusee::ops
