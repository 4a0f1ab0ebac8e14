// Lets the products of a graph's f32 operands be computed in TF32, by the attribute of
// ops/math_mode.h: on every MatMul, Gemm and Conv that is f32. Run after ConvertPrecision, which
// decides which those are.
#pragma once

#include <cstdint>

#include "ir/graph.h"

namespace fusee::quant {

// Returns how many nodes got the attribute.
int64_t AllowTf32(ir::Graph& graph);

}  // namespace fusee::quant
