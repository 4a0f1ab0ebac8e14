// Small questions that recognising passes ask of a graph. All look, none change.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace fusee::passes {

// The number when the value is a floating-point or integer constant of one element.
std::optional<double> ScalarOf(const ir::Graph& graph, ir::ValueId value);

// The one node that reads the value, in one operand slot; an invalid id when there are more, or
// when it is a graph output.
ir::NodeId OnlyReader(const ir::Graph& graph, ir::ValueId value);

// What the value was before Casts from one floating-point type to another; the value itself when
// there are none.
ir::ValueId BeforeCasts(const ir::Graph& graph, ir::ValueId value);

// The node that makes the value, before such Casts, when it is of the given operator.
const ir::Node* ProducerBeforeCasts(const ir::Graph& graph, ir::ValueId value, std::string_view op);

// For a node of two operands, one of which is a number: the number, and the other operand. Not for
// `number / x` and `number - x`.
struct Scaled {
  ir::ValueId value;
  double number = 0;
};
std::optional<Scaled> WithNumber(const ir::Graph& graph, const ir::Node& node);

// Sources of `last` and of every node between it and the given values, in the order in which the
// nodes were made: what a node stands for that computes last's result from those values.
std::vector<std::string> SourcesBetween(const ir::Graph& graph, ir::NodeId last,
                                        std::span<const ir::ValueId> leaves);

// Longest way up or down that a pattern may take, against graphs made to be slow.
inline constexpr int kMaxPatternDepth = 16;

}  // namespace fusee::passes
