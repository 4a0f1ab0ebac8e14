// A convolution takes in the addition of another tensor of its result's shape (a residual
// connection).
//
//   %c = Conv(%x, %w, %b?)
//   %y = Add(%c, %r)                  ->    %y = Conv(%x, %w, %b?, %r)
//
// The convolution moves to where the sum was, so that whatever %r is has been computed by then. Of
// two convolutions that are added, the later one takes in the earlier: what the earlier gives is
// then alive for the shortest time.
#include <fmt/format.h>

#include <algorithm>

#include "passes/pass.h"

namespace fusee::passes::pass {
namespace {

// Why the convolution that makes operand i of the sum cannot take in the other operand; empty when
// it can.
std::string WhyNot(const ir::Graph& graph, const ir::Node& add, size_t i,
                   std::span<const uint32_t> uses) {
  const ir::ValueId between = add.inputs[i];
  const ir::Node& conv = graph.node(graph.value(between).producer);
  if (std::string reason = WhyNotAbsorb(graph, between, uses); !reason.empty()) return reason;
  if (conv.attrs.Has("activation")) return "the convolution already has an activation";
  if (conv.inputs.size() > 3) return "the convolution already has a residual";
  const ir::ValueInfo& sum = graph.value(add.outputs[0]).info;
  if (!SameType(graph.value(between).info, sum)) return "the sum changes the shape";
  if (!SameType(graph.value(add.inputs[1 - i]).info, sum))
    return "what is added has another shape than the convolution's result";
  return "";
}

// Operands of the sum that convolutions make, the latest first.
std::vector<size_t> Candidates(const ir::Graph& graph, const ir::Node& add,
                               std::span<const size_t> position) {
  std::vector<size_t> found;
  for (size_t i : {size_t{0}, size_t{1}}) {
    if (ProducerOf(graph, add.inputs[i], "Conv") != nullptr) found.push_back(i);
  }
  std::sort(found.begin(), found.end(), [&](size_t a, size_t b) {
    return position[graph.value(add.inputs[a]).producer.index()] >
           position[graph.value(add.inputs[b]).producer.index()];
  });
  return found;
}

}  // namespace

Result<PassOutcome> fuse_conv_add(ir::Graph& graph, PassContext& context) {
  const std::vector<uint32_t> uses = graph.UseCounts();
  const std::vector<ir::NodeId> order = graph.order();
  std::vector<size_t> position;  // by node
  for (size_t i = 0; i < order.size(); ++i) {
    if (position.size() <= order[i].index()) position.resize(order[i].index() + 1);
    position[order[i].index()] = i;
  }
  std::vector<ir::NodeId> dead;
  for (ir::NodeId id : order) {
    if (graph.node(id).op != "Add") continue;
    std::string reasons;
    bool fused = false;
    for (size_t i : Candidates(graph, graph.node(id), position)) {
      const ir::NodeId conv = graph.value(graph.node(id).inputs[i]).producer;
      const ir::ValueId residual = graph.node(id).inputs[1 - i];
      const std::string reason = WhyNot(graph, graph.node(id), i, uses);
      if (!reason.empty()) {
        reasons += (reasons.empty() ? "" : "; of the earlier one: ") + reason;
        continue;
      }
      AbsorbProducer(graph, id, conv);
      graph.node(id).inputs.resize(4);
      graph.node(id).inputs[3] = residual;
      context.Made("fused Add into Conv as its residual", graph.node(id).sources);
      dead.push_back(conv);
      fused = true;
      break;
    }
    if (!fused && !reasons.empty())
      context.Declined("Add not fused into Conv: " + reasons, graph.node(id).sources);
  }
  graph.EraseNodes(dead);
  return PassOutcome{!dead.empty()};
}

}  // namespace fusee::passes::pass
