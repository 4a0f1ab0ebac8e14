// The order in which nodes of an ONNX graph or function run.
#pragma once

#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "onnx/model.h"

namespace fusee::compiler {

// Nodes in an order in which every operand is defined before it is used; file order wherever that
// already holds. Errors: kInvalidArgument naming a node on a cycle or reading a value that nothing
// produces.
Result<std::vector<const onnx::Node*>> TopologicalOrder(
    std::span<const onnx::Node> nodes, const std::set<std::string_view>& known_values);

}  // namespace fusee::compiler
