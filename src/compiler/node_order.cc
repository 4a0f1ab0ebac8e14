#include "compiler/node_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "onnx/outer_names.h"

namespace fusee::compiler {

Result<std::vector<const onnx::Node*>> TopologicalOrder(
    std::span<const onnx::Node> nodes, const std::set<std::string_view>& known_values) {
  std::map<std::string_view, size_t> producer;
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (std::string_view name : nodes[i].outputs) {
      if (name.empty()) continue;
      if (known_values.contains(name) || !producer.emplace(name, i).second) {
        return InvalidArgument(
            fmt::format("value '{}' is defined twice, the second time by node '{}'", name,
                        nodes[i].DisplayName()));
      }
    }
  }
  std::vector<size_t> waiting(nodes.size(), 0);
  std::vector<std::vector<size_t>> readers(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (std::string_view name : nodes[i].inputs) {
      if (name.empty() || known_values.contains(name)) continue;
      const auto it = producer.find(name);
      if (it == producer.end()) {
        return InvalidArgument(fmt::format("node '{}' ({}) reads '{}', which nothing defines",
                                           nodes[i].DisplayName(), nodes[i].op_type, name));
      }
      readers[it->second].push_back(i);
      ++waiting[i];
    }
    for (std::string_view name : onnx::OuterNames(nodes[i])) {
      const auto it = producer.find(name);
      if (it == producer.end() || known_values.contains(name)) continue;  // its reader says so
      readers[it->second].push_back(i);
      ++waiting[i];
    }
  }
  std::set<size_t> ready;  // smallest index first keeps file order
  for (size_t i = 0; i < waiting.size(); ++i) {
    if (waiting[i] == 0) ready.insert(i);
  }
  std::vector<const onnx::Node*> order;
  while (!ready.empty()) {
    const size_t i = *ready.begin();
    ready.erase(ready.begin());
    order.push_back(&nodes[i]);
    for (size_t reader : readers[i]) {
      if (--waiting[reader] == 0) ready.insert(reader);
    }
  }
  if (order.size() != nodes.size()) {
    const size_t stuck = static_cast<size_t>(
        std::ranges::find_if(waiting, [](size_t n) { return n > 0; }) - waiting.begin());
    return InvalidArgument(fmt::format("node '{}' ({}) is part of a cycle",
                                       nodes[stuck].DisplayName(), nodes[stuck].op_type));
  }
  return order;
}

}  // namespace fusee::compiler
