// Evaluates graphs with the reference kernels, node by node: constant folding's engine, the oracle
// of pass tests. Plain and slow; it plans no memory and keeps every value until the end.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "ir/graph.h"
#include "tensor/tensor.h"

namespace fusee::passes {

// The results of one node for concrete operands (absent ones: Tensor()), one per result; unwanted
// results are absent. symbols: values for the symbols in dims and result shapes. Views
// (OpKind::kView) share their operand's bytes. Errors: kUnimplemented when no reference kernel
// takes the node; the kernel's own, annotated with the node. found, when given, gets the values of
// the symbols that the node finds (ir::Node::counts), which size its results.
Result<std::vector<Tensor>> EvaluateNode(const ir::Graph& graph, const ir::Node& node,
                                         std::span<const Tensor> operands,
                                         const ir::SymbolValues& symbols,
                                         ir::SymbolValues* found = nullptr);

// Values of the graph's symbols for concrete inputs: a dimension that is a symbol (or a tracked
// element that is one) binds it. Errors: kInvalidArgument when an input's dtype, rank or dimension
// does not fit, a symbol gets two values, or a constraint does not hold that no found symbol is
// part of.
Result<ir::SymbolValues> BindSymbols(const ir::Graph& graph, std::span<const Tensor> inputs);

using Observer = std::function<void(ir::ValueId, const Tensor&)>;

// The graph's outputs for the given inputs, both in order. observe, when set, sees every node
// result.
Result<std::vector<Tensor>> Interpret(const ir::Graph& graph, std::span<const Tensor> inputs,
                                      const Observer& observe = nullptr);

}  // namespace fusee::passes
