// What it costs to run one node while building, with its reference kernel (interpret.h). Operand
// sizes alone do not bound that: a pool over 8 MB can visit 10^13 window elements. Whoever runs
// nodes of a model that nobody vetted asks here first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "ir/graph.h"
#include "tensor/tensor.h"

namespace fusee::passes {

// Whether a node is one to be run while building at all: it does nothing but give results, has no
// subgraphs, and depends on no symbol.
bool MayEvaluate(const ir::Node& node);

struct EvaluationCost {
  int64_t operand_bytes = 0;
  int64_t result_bytes = 0;
  double operand_elements = 0;
  double result_elements = 0;
  double work = 0;  // elements visited by the reference kernel, at most: some nanoseconds each
};

// operands: one per input of the node, absent ones Tensor(), of the ranks that inference demands.
// nullopt when a result's size is not known or overflows. Pure.
std::optional<EvaluationCost> EstimateEvaluation(const ir::Graph& graph, const ir::Node& node,
                                                 std::span<const Tensor> operands);

}  // namespace fusee::passes
