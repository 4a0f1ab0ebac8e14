#include "passes/sink_transpose.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "passes/permutation.h"

namespace fusee::passes {
namespace {

// Axes [in_begin, in_end) of one shape and [out_begin, out_end) of another hold the same elements
// in the same order. Either may be empty: an axis of size 1 that goes or comes.
struct Group {
  size_t in_begin, in_end, out_begin, out_end;
};

// Extends [begin, end) of `shape` until its product is `want`; false when that does not happen.
bool ExtendTo(const ir::SymShape& shape, const ir::Dim& want, size_t begin, size_t* end) {
  ir::Dim product = shape[begin];
  *end = begin + 1;
  while (!(product == want)) {
    if (*end == shape.size()) return false;
    product = product * shape[(*end)++];
  }
  return true;
}

// Cuts both shapes of one Reshape into the smallest groups; empty when they do not match up.
std::vector<Group> Groups(const ir::SymShape& in, const ir::SymShape& out) {
  std::vector<Group> groups;
  size_t i = 0, j = 0;
  while (i < in.size() || j < out.size()) {
    const bool in_one = i < in.size() && in[i] == ir::Dim(1);
    const bool out_one = j < out.size() && out[j] == ir::Dim(1);
    Group g{i, i, j, j};
    if (in_one != out_one || i == in.size() || j == out.size()) {
      if (!in_one && !out_one) return {};
      g.in_end += in_one ? 1 : 0;
      g.out_end += out_one ? 1 : 0;
    } else {
      g.in_end = i + 1;
      g.out_end = j + 1;
      if (!ExtendTo(in, out[j], i, &g.in_end)) {
        g.in_end = i + 1;
        if (!ExtendTo(out, in[i], j, &g.out_end)) return {};
      }
    }
    groups.push_back(g);
    i = g.in_end;
    j = g.out_end;
  }
  return groups;
}

struct Swapped {
  ir::SymShape dims;  // of the Reshape, which comes first now
  Permutation perm;   // of the Transpose after it
};

// Reshape(Transpose(x, perm), out) == Transpose(Reshape(x, dims), perm'), or nothing. in: the shape
// between the two.
std::optional<Swapped> Swap(const ir::SymShape& in, const Permutation& perm,
                            const ir::SymShape& out) {
  std::vector<Group> groups = Groups(in, out);
  if (groups.empty()) return std::nullopt;
  for (const Group& g : groups) {
    for (size_t i = g.in_begin; i + 1 < g.in_end; ++i) {
      if (perm[i + 1] != perm[i] + 1) return std::nullopt;
    }
  }
  // In the order of x's axes. An axis that comes anew stays where it is, behind its neighbour.
  int64_t last = -1;
  std::vector<std::pair<int64_t, size_t>> order;
  for (size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].in_begin < groups[g].in_end) last = perm[groups[g].in_begin];
    order.emplace_back(last, g);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  Swapped swapped;
  swapped.perm.resize(out.size());
  for (const auto& [axis, g] : order) {
    for (size_t j = groups[g].out_begin; j < groups[g].out_end; ++j) {
      swapped.perm[j] = static_cast<int64_t>(swapped.dims.size());
      swapped.dims.push_back(out[j]);
    }
  }
  return swapped;
}

// The Transpose that the node reads as operand 0, when the node is a Reshape.
const ir::Node* TransposeBefore(const ir::Graph& graph, const ir::Node& node) {
  return node.op == "Reshape" ? ProducerOf(graph, node.inputs[0], "Transpose") : nullptr;
}

bool OnlyTransposesRead(const ir::Graph& graph, ir::ValueId value) {
  const std::vector<ir::NodeId> users = graph.Users(value);
  return !users.empty() && !graph.IsOutput(value) &&
         std::all_of(users.begin(), users.end(),
                     [&](ir::NodeId user) { return graph.node(user).op == "Transpose"; });
}

// A Reshape of x to dims before node `before`.
ir::ValueId AddReshape(ir::Graph& graph, ir::ValueId x, const ir::SymShape& dims,
                       const std::string& name, const std::vector<std::string>& sources,
                       ir::NodeId before) {
  ir::Node node;
  node.op = "Reshape";
  node.inputs = {x};
  node.dims = dims;
  node.sources = sources;
  const ir::ValueInfo info{graph.value(x).info.dtype, dims, {}};
  const std::string names[] = {name};
  return graph.node(graph.InsertNode(before, std::move(node), names, {&info, 1})).outputs[0];
}

void EraseIfUnused(ir::Graph& graph, ir::NodeId id) {
  if (graph.UseCounts()[graph.node(id).outputs[0].index()] == 0) graph.EraseNode(id);
}

// --- products ---

// Is this a product whose operand 0 alone is the value, with a constant matrix?
bool IsProductWithConstant(const ir::Graph& graph, const ir::Node& node, ir::ValueId value) {
  if (node.op != "MatMul" && node.op != "Gemm") return false;
  if (std::count(node.inputs.begin(), node.inputs.end(), value) != 1 || node.inputs[0] != value)
    return false;
  const Tensor& b = graph.value(node.inputs[1]).constant;
  const auto trans_a = node.attrs.Int("transA", 0);
  return b.present() && b.shape().rank() == 2 && trans_a.ok() && *trans_a == 0 &&
         BitsPerElement(b.dtype()) % 8 == 0;
}

// The matrix with its rows (columns when `transposed`), which count the axes [1, rank) of `in`, in
// the order that they have before the Transpose.
Result<Tensor> PermuteRows(const Tensor& b, const Shape& in, const Permutation& perm,
                           bool transposed) {
  const Permutation inverse = Inverse(perm);
  const int64_t other = b.shape()[transposed ? 0 : 1];
  const auto rank = static_cast<int64_t>(perm.size());
  Shape spread;
  Permutation order;
  if (transposed) {
    spread.push_back(other);
    order.push_back(0);
  }
  for (int i = 1; i < in.rank(); ++i) spread.push_back(in[i]);
  for (size_t i = 1; i < inverse.size(); ++i) order.push_back(inverse[i] - (transposed ? 0 : 1));
  if (!transposed) {
    spread.push_back(other);
    order.push_back(rank - 1);
  }
  FUSEE_TRY(const Tensor permuted, PermuteConstant(b.Reshaped(spread), order));
  return permuted.Reshaped(b.shape());
}

}  // namespace

Result<bool> SinkThroughReshape(ir::Graph& graph, PassContext& context) {
  bool changed = false;
  const std::vector<ir::NodeId> order = graph.order();
  for (ir::NodeId id : order) {
    if (!graph.node(id).alive) continue;
    const ir::Node* transpose = TransposeBefore(graph, graph.node(id));
    if (transpose == nullptr) continue;
    const ir::ValueId between = graph.node(id).inputs[0];
    const ir::ValueId result = graph.node(id).outputs[0];
    if (graph.value(result).info.elements) continue;
    const auto swapped =
        Swap(graph.value(between).info.shape, PermOf(*transpose), graph.value(result).info.shape);
    if (!swapped) continue;
    const std::vector<std::string> sources = JoinSources({transpose, &graph.node(id)});
    const ir::NodeId transpose_id = graph.value(between).producer;
    const ir::ValueId x = transpose->inputs[0];
    if (IsIdentity(swapped->perm)) {
      graph.node(id).inputs[0] = x;
    } else if (OnlyTransposesRead(graph, result)) {
      const ir::ValueId first =
          AddReshape(graph, x, swapped->dims, graph.value(result).name + "/permuted",
                     graph.node(id).sources, id);
      ir::Node& node = graph.node(id);
      node.op = "Transpose";
      node.inputs = {first};
      node.attrs = Attrs{{"perm", swapped->perm}};
      node.dims.clear();
    } else {
      continue;
    }
    EraseIfUnused(graph, transpose_id);
    context.Made("moved a Transpose behind a Reshape", sources);
    changed = true;
  }
  return changed;
}

Result<bool> AbsorbIntoProduct(ir::Graph& graph, PassContext& context) {
  bool changed = false;
  const std::vector<ir::NodeId> order = graph.order();
  for (ir::NodeId id : order) {
    if (!graph.node(id).alive) continue;
    const ir::Node* transpose = TransposeBefore(graph, graph.node(id));
    if (transpose == nullptr) continue;
    const ir::ValueId between = graph.node(id).inputs[0];
    const ir::ValueId result = graph.node(id).outputs[0];
    const ir::SymShape in = graph.value(between).info.shape;
    const ir::SymShape out = graph.value(result).info.shape;
    const Permutation perm = PermOf(*transpose);
    const bool flattens =
        out.size() == 2 && perm[0] == 0 && in[0] == out[0] &&
        std::all_of(in.begin() + 1, in.end(), [](const ir::Dim& d) { return d.is_constant(); });
    const std::vector<ir::NodeId> users = graph.Users(result);
    if (!flattens || graph.IsOutput(result) || users.empty() ||
        !std::all_of(users.begin(), users.end(), [&](ir::NodeId user) {
          return IsProductWithConstant(graph, graph.node(user), result);
        }))
      continue;
    Shape sizes{0};  // the first is not read
    for (size_t i = 1; i < in.size(); ++i) sizes.push_back(in[i].constant());
    const std::vector<std::string> sources = JoinSources({transpose, &graph.node(id)});
    for (ir::NodeId user : users) {
      const ir::ValueId b = graph.node(user).inputs[1];
      FUSEE_TRY(const int64_t trans_b, graph.node(user).attrs.Int("transB", 0));
      FUSEE_TRY(Tensor rows, PermuteRows(graph.value(b).constant, sizes, perm, trans_b != 0));
      const ir::ValueId permuted =
          graph.AddConstant(graph.FreshName(graph.value(b).name + "/permuted"), std::move(rows));
      graph.node(user).inputs[1] = permuted;
    }
    const ir::NodeId transpose_id = graph.value(between).producer;
    // What is flattened now has other bytes than the value of this name had.
    const ir::ValueId flat =
        AddReshape(graph, transpose->inputs[0], out, graph.value(result).name + "/permuted",
                   graph.node(id).sources, id);
    graph.ReplaceAllUses(result, flat);
    graph.EraseNode(id);
    EraseIfUnused(graph, transpose_id);
    context.Made("absorbed a Transpose into the constant of a product", sources);
    changed = true;
  }
  return changed;
}

}  // namespace fusee::passes
