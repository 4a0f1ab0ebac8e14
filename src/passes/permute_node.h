// Which operators can work on operands whose axes are permuted, and how their attributes change:
// the knowledge of push_transposes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "passes/pass.h"
#include "passes/permutation.h"

namespace fusee::passes {

// A computation, on operands in their own layout or, equally, on operands stored permuted:
//
//   value == Transpose(stored, perm)        so axis a of the value is axis perm[a] of what is
//   stored
//
// Mostly one node. A shuffle of channels is three: Reshape, Transpose, Reshape.
struct Unit {
  // The nodes of the graph it stands for, in order; the last one gives the results.
  std::vector<ir::NodeId> nodes;
  struct Operand {
    ir::ValueId value;      // invalid: absent
    bool permuted = false;  // read as stored; else as it is (numbers that broadcast)
  };
  std::vector<Operand> operands;  // of the first node
  // What the nodes become when permuted; each reads result 0 of the one before.
  struct Step {
    std::string op;
    Attrs attrs;
    std::vector<ir::Dim> dims;
    std::vector<std::string> sources;
  };
  std::vector<Step> steps;
  // The results come out permuted; else they have the same bytes either way (a reduction that drops
  // the axes).
  bool results_permuted = true;
};

// How a node works on permuted operands, or nothing when it cannot, or when that would not do on
// the target. uses: Graph::UseCounts(). A Transpose is never a unit of its own.
std::optional<Unit> PermuteNode(const ir::Graph& graph, const ir::Node& node, ir::NodeId id,
                                const Permutation& perm, std::span<const uint32_t> uses,
                                const Target& target);

}  // namespace fusee::passes
