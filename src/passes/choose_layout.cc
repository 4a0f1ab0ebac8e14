// For a target that wants it, convolutions become channels-last.
//
//   %y = Conv(%x, %w, %b, %r)   ->   %x/channels_last = Transpose(%x)
//                                    %r/channels_last = Transpose(%r)
//                                    %y/channels_last = Conv(%x/channels_last, %w', %b,
//                                    %r/channels_last)
//                                                           {layout = "NHWC"}
//                                    %y = Transpose(%y/channels_last)
//
// %w' is [O, kernel..., C/group], rewritten here. Only convolutions ask for the layout; what stands
// between them (pools, sums, activations) gets it from push_transposes, where that costs less than
// the transposes do.
#include <fmt/format.h>

#include <map>

#include "passes/pass.h"
#include "passes/permutation.h"

namespace fusee::passes::pass {
namespace {

class Rewriter {
 public:
  explicit Rewriter(ir::Graph& graph) : graph_(graph) {}

  // Empty when rewritten, else why not.
  Result<std::string> Rewrite(ir::NodeId id) {
    const ir::ValueId weight = graph_.node(id).inputs[1];
    if (!graph_.value(weight).constant.present())
      return std::string("its weights are no constants");
    FUSEE_TRY(const ir::ValueId new_weight, LastWeight(weight));

    ir::Node conv;
    conv.op = "Conv";
    conv.inputs = graph_.node(id).inputs;
    conv.attrs = graph_.node(id).attrs;
    conv.attrs.Set("layout", "NHWC");
    conv.sources = graph_.node(id).sources;
    conv.inputs[0] = Last(conv.inputs[0], id);
    conv.inputs[1] = new_weight;
    if (conv.inputs.size() > 3 && conv.inputs[3].valid()) conv.inputs[3] = Last(conv.inputs[3], id);
    const ir::Value& y = graph_.value(graph_.node(id).outputs[0]);
    const size_t rank = y.info.shape.size();
    const ir::ValueInfo info{y.info.dtype, Permuted(y.info.shape, ToChannelsLast(rank)), {}};
    const std::string names[] = {y.name + "/channels_last"};
    const ir::NodeId last = graph_.InsertNode(id, std::move(conv), names, {&info, 1});
    // The old node becomes the Transpose, so that its result keeps its name and its readers.
    ir::Node& node = graph_.node(id);
    node.op = "Transpose";
    node.inputs = {graph_.node(last).outputs[0]};
    node.attrs = Attrs{{"perm", ToChannelsFirst(rank)}};
    return std::string();
  }

 private:
  // The value channels-last, before node `before`; made once for all its readers.
  ir::ValueId Last(ir::ValueId value, ir::NodeId before) {
    const auto [it, fresh] = last_.emplace(value.index(), ir::ValueId());
    if (fresh) {
      const size_t rank = graph_.value(value).info.shape.size();
      it->second = AddTranspose(graph_, value, ToChannelsLast(rank),
                                graph_.value(value).name + "/channels_last",
                                graph_.node(before).sources, before);
    }
    return it->second;
  }

  Result<ir::ValueId> LastWeight(ir::ValueId weight) {
    const auto it = weights_.find(weight.index());
    if (it != weights_.end()) return it->second;
    const size_t rank = graph_.value(weight).info.shape.size();
    FUSEE_TRY(Tensor tensor, PermuteConstant(graph_.value(weight).constant, ToChannelsLast(rank)));
    const ir::ValueId made = graph_.AddConstant(
        graph_.FreshName(graph_.value(weight).name + "/channels_last"), std::move(tensor));
    weights_.emplace(weight.index(), made);
    return made;
  }

  ir::Graph& graph_;
  std::map<size_t, ir::ValueId> last_, weights_;  // by the value they are made of
};

}  // namespace

Result<PassOutcome> choose_layout(ir::Graph& graph, PassContext& context) {
  if (!context.target().channels_last) return PassOutcome{};
  Rewriter rewriter(graph);
  bool changed = false;
  const std::vector<ir::NodeId> order = graph.order();
  for (ir::NodeId id : order) {
    if (graph.node(id).op != "Conv" || graph.node(id).attrs.Has("layout")) continue;
    const std::vector<std::string> sources = graph.node(id).sources;
    FUSEE_TRY(const std::string reason, rewriter.Rewrite(id));
    if (reason.empty()) {
      changed = true;
      context.Made("made Conv channels-last", sources);
    } else {
      context.Declined("Conv kept channels-first: " + reason, sources);
    }
  }
  return PassOutcome{changed};
}

}  // namespace fusee::passes::pass
