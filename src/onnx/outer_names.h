// Which values a node reads without listing them: those that graphs in its attributes (If, Loop,
// Scan) take from the scopes around them.
#pragma once

#include <string_view>
#include <vector>

#include "onnx/model.h"

namespace fusee::onnx {

// Names that the node's nested graphs read and do not define, each once, in order of first use. A
// name that a nested graph defines only after it is used counts as defined there. Cost: linear in
// the nested graphs times their depth, which the reader bounds. Pure.
std::vector<std::string_view> OuterNames(const Node& node);

}  // namespace fusee::onnx
