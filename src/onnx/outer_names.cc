#include "onnx/outer_names.h"

#include <set>

namespace fusee::onnx {
namespace {

void Collect(const Graph& graph, std::set<std::string_view>* seen,
             std::vector<std::string_view>* names) {
  std::set<std::string_view> own;
  for (const ValueDecl& v : graph.inputs) own.insert(v.name);
  for (const TensorRef& t : graph.initializers) own.insert(t.name);
  for (const Node& n : graph.nodes) own.insert(n.outputs.begin(), n.outputs.end());
  const auto read = [&](std::string_view name) {
    if (!name.empty() && !own.contains(name) && seen->insert(name).second) names->push_back(name);
  };
  for (const Node& n : graph.nodes) {
    for (const std::string_view name : n.inputs) read(name);
    for (const std::string_view name : OuterNames(n)) read(name);
  }
  for (const ValueDecl& v : graph.outputs) read(v.name);
}

}  // namespace

std::vector<std::string_view> OuterNames(const Node& node) {
  std::vector<std::string_view> names;
  std::set<std::string_view> seen;
  for (const Attribute& a : node.attributes) {
    for (const auto& graph : a.graphs) Collect(*graph, &seen, &names);
  }
  return names;
}

}  // namespace fusee::onnx
