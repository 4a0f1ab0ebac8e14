// Moving nodes of a graph into regions: what an import rule writes out in the graph, to have it
// typed by everything around, becomes a graph of its own.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace fusee::ir {

// Nodes [first, last) of a graph's order, which others read through `results` alone, if at all.
struct Stretch {
  size_t first = 0, last = 0;
  std::vector<ValueId> results;  // of these nodes, or of what was there before
  std::string name;              // of the region
};

// Stretches, side by side up to the end of the order, leave the graph; each becomes a region with
// the graph's symbols. All take the same inputs: what any of them reads from outside, in the order
// of first use, which *captured gets. Constants are no inputs; every region has its own of them.
// Cost: O(nodes of the stretches).
std::vector<std::unique_ptr<Graph>> MoveToRegions(Graph& graph, std::span<const Stretch> stretches,
                                                  std::vector<ValueId>* captured);

}  // namespace fusee::ir
