#include "passes/pass.h"

#include <fmt/format.h>

#include <algorithm>

namespace fusee::passes {

void PassContext::Add(bool made, std::string what, std::vector<std::string> nodes) {
  if (static_cast<size_t>(made_ + declined_) > kMaxLoggedPerPass) return;
  log_->push_back({pass_, made, std::move(what), std::move(nodes)});
}

void PassContext::Made(std::string what, std::vector<std::string> nodes) {
  ++made_;
  Add(true, std::move(what), std::move(nodes));
}

void PassContext::Declined(std::string what, std::vector<std::string> nodes) {
  ++declined_;
  Add(false, std::move(what), std::move(nodes));
}

std::vector<std::string> JoinSources(std::initializer_list<const ir::Node*> nodes) {
  std::vector<std::string> joined;
  for (const ir::Node* node : nodes) {
    for (const std::string& source : node->sources) {
      if (std::find(joined.begin(), joined.end(), source) == joined.end()) joined.push_back(source);
    }
  }
  return joined;
}

std::string_view WhyNotForward(const ir::Graph& graph, ir::ValueId from, ir::ValueId to) {
  if (!graph.IsOutput(from)) return "";
  if (graph.value(to).constant.present())
    return "its result is a graph output and would be a constant";
  if (!graph.value(to).producer.valid())
    return "its result is a graph output and would be a graph input";
  if (graph.IsOutput(to)) return "its result and its operand are both graph outputs";
  return "";
}

const ir::Node* ProducerOf(const ir::Graph& graph, ir::ValueId value, std::string_view op) {
  if (!value.valid() || !graph.value(value).producer.valid()) return nullptr;
  const ir::Node& node = graph.node(graph.value(value).producer);
  return node.op == op ? &node : nullptr;
}

void AbsorbProducer(ir::Graph& graph, ir::NodeId last, ir::NodeId producer) {
  ir::Node& to = graph.node(last);
  const ir::Node& from = graph.node(producer);
  to.sources = JoinSources({&from, &to});
  to.op = from.op;
  to.inputs = from.inputs;
  to.attrs = from.attrs;
  to.dims = from.dims;
}

std::string WhyNotAbsorb(const ir::Graph& graph, ir::ValueId operand,
                         std::span<const uint32_t> uses) {
  if (graph.IsOutput(operand)) return "the value between them is a graph output";
  if (uses[operand.index()] > 1) {
    return fmt::format("the value between them has {} readers", uses[operand.index()]);
  }
  return "";
}

bool SameType(const ir::ValueInfo& a, const ir::ValueInfo& b) {
  return a.dtype == b.dtype && a.shape == b.shape;
}

}  // namespace fusee::passes
