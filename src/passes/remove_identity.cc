// Nodes that change nothing go; views and transposes of views and transposes become one.
//
//   %a = Identity(%x)                       %b = Relu(%x)
//   %b = Relu(%a)                     ->
//
//   Identity; Cast to the operand's type; Reshape, Expand, Slice, Tile to the operand's shape;
//   Transpose that leaves every axis; Concat of one operand; Split into one part.
#include <fmt/format.h>

#include <algorithm>

#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

using namespace std::string_view_literals;  // NOLINT: for the reasons

bool AllOne(const std::vector<int64_t>& values) {
  return std::all_of(values.begin(), values.end(), [](int64_t v) { return v == 1; });
}

bool IsAscending(const std::vector<int64_t>& perm) {
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

// The reason why result 0 equals operand 0, or "".
Result<std::string_view> WhyIdentity(const ir::Graph& graph, const ir::Node& node) {
  if (node.inputs.empty() || !node.inputs[0].valid() || node.outputs.size() != 1 ||
      !node.outputs[0].valid())
    return ""sv;
  const bool same = SameType(graph.value(node.inputs[0]).info, graph.value(node.outputs[0]).info);
  if (!same) return ""sv;
  if (node.op == "Identity") return "it changes nothing"sv;
  if (node.op == "Cast") return "it casts to the type it has"sv;
  if (node.op == "Reshape" || node.op == "Expand" || node.op == "Tile")
    return "it keeps the shape"sv;
  if (node.op == "Concat" && node.inputs.size() == 1) return "it has one operand"sv;
  if (node.op == "Split") return "it has one part"sv;
  if (node.op == "Slice") {
    // A slice as long as its axis with step 1 starts at 0; with step -1 it reverses.
    FUSEE_TRY(const std::vector<int64_t> steps, node.attrs.Ints("steps"));
    return AllOne(steps) ? "it takes everything"sv : ""sv;
  }
  if (node.op == "Transpose") {
    FUSEE_TRY(const std::vector<int64_t> perm, node.attrs.Ints("perm"));
    return IsAscending(perm) ? "it keeps every axis"sv : ""sv;
  }
  return ""sv;
}

// Reshape(Reshape(x)) reads x; Transpose(Transpose(x)) reads x with the product of both
// permutations. The inner node may have other readers: it then stays for them.
Result<bool> SkipInner(ir::Graph& graph, ir::Node& node) {
  if (node.op != "Reshape" && node.op != "Transpose") return false;
  const ir::Node* inner = ProducerOf(graph, node.inputs[0], node.op);
  if (inner == nullptr) return false;
  if (node.op == "Transpose") {
    FUSEE_TRY(const std::vector<int64_t> first, inner->attrs.Ints("perm"));
    FUSEE_TRY(std::vector<int64_t> perm, node.attrs.Ints("perm"));
    for (int64_t& axis : perm) axis = first[static_cast<size_t>(axis)];
    node.attrs.Set("perm", std::move(perm));
  }
  node.inputs[0] = inner->inputs[0];
  return true;
}

}  // namespace

Result<PassOutcome> remove_identity(ir::Graph& graph, PassContext& context) {
  std::vector<ir::ValueId> replacement(graph.value_count());
  std::vector<ir::NodeId> dead;
  bool changed = false;
  for (ir::NodeId id : graph.order()) {
    ir::Node& node = graph.node(id);
    // Operands first: what was removed above must not hide a pattern here.
    for (ir::ValueId& operand : node.inputs) {
      if (operand.valid() && replacement[operand.index()].valid())
        operand = replacement[operand.index()];
    }
    FUSEE_TRY(const bool skipped, SkipInner(graph, node));
    if (skipped) {
      changed = true;
      context.Made(fmt::format("joined two {} in a row", node.op), node.sources);
    }
    FUSEE_TRY(const std::string_view why, WhyIdentity(graph, node));
    if (why.empty()) continue;
    const ir::ValueId from = node.outputs[0];
    const ir::ValueId to = node.inputs[0];
    if (const std::string_view reason = WhyNotForward(graph, from, to); !reason.empty()) {
      context.Declined(fmt::format("{} kept although {}: {}", node.op, why, reason), node.sources);
      continue;
    }
    replacement[from.index()] = to;
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      if (graph.outputs()[i] == from) graph.SetOutput(i, to);
    }
    context.Made(fmt::format("removed {}: {}", node.op, why), node.sources);
    dead.push_back(id);
  }
  graph.EraseNodes(dead);
  return PassOutcome{changed || !dead.empty()};
}

}  // namespace fusee::passes::pass
