#include "passes/match.h"

#include <algorithm>

#include "passes/pass.h"

namespace fusee::passes {

std::optional<double> ScalarOf(const ir::Graph& graph, ir::ValueId value) {
  if (!value.valid()) return std::nullopt;
  const Tensor& constant = graph.value(value).constant;
  if (!constant.present() || constant.elements() != 1 || constant.dtype() == DType::kBool)
    return std::nullopt;
  return DoubleAt(constant.view(), 0);
}

ir::NodeId OnlyReader(const ir::Graph& graph, ir::ValueId value) {
  return graph.HasSingleUse(value) ? graph.Users(value)[0] : ir::NodeId();
}

ir::ValueId BeforeCasts(const ir::Graph& graph, ir::ValueId value) {
  for (int i = 0; i < kMaxPatternDepth; ++i) {
    const ir::Node* cast = ProducerOf(graph, value, "Cast");
    if (cast == nullptr || !IsFloat(graph.value(cast->inputs[0]).info.dtype) ||
        !IsFloat(graph.value(value).info.dtype)) {
      break;
    }
    value = cast->inputs[0];
  }
  return value;
}

const ir::Node* ProducerBeforeCasts(const ir::Graph& graph, ir::ValueId value,
                                    std::string_view op) {
  return value.valid() ? ProducerOf(graph, BeforeCasts(graph, value), op) : nullptr;
}

std::optional<Scaled> WithNumber(const ir::Graph& graph, const ir::Node& node) {
  if (node.inputs.size() != 2) return std::nullopt;
  if (const auto number = ScalarOf(graph, node.inputs[1])) return Scaled{node.inputs[0], *number};
  if (node.op == "Div" || node.op == "Sub" || node.op == "Pow") return std::nullopt;
  if (const auto number = ScalarOf(graph, node.inputs[0])) return Scaled{node.inputs[1], *number};
  return std::nullopt;
}

std::vector<std::string> SourcesBetween(const ir::Graph& graph, ir::NodeId last,
                                        std::span<const ir::ValueId> leaves) {
  constexpr size_t kMaxNodes = 256;  // patterns have a tenth of it
  std::vector<ir::NodeId> found = {last};
  for (size_t i = 0; i < found.size() && found.size() < kMaxNodes; ++i) {
    for (ir::ValueId operand : graph.node(found[i]).inputs) {
      if (!operand.valid() || std::find(leaves.begin(), leaves.end(), operand) != leaves.end())
        continue;
      const ir::NodeId producer = graph.value(operand).producer;
      if (producer.valid() && std::find(found.begin(), found.end(), producer) == found.end())
        found.push_back(producer);
    }
  }
  std::sort(found.begin(), found.end(),
            [](ir::NodeId a, ir::NodeId b) { return a.index() < b.index(); });
  std::vector<std::string> sources;
  for (ir::NodeId id : found) {
    for (const std::string& source : graph.node(id).sources) {
      if (std::find(sources.begin(), sources.end(), source) == sources.end())
        sources.push_back(source);
    }
  }
  return sources;
}

}  // namespace fusee::passes
