// Transposes in front of a Reshape: a part of push_transposes.
#pragma once

#include "base/status.h"
#include "ir/graph.h"
#include "passes/pass.h"

namespace fusee::passes {

// Where the permutation moves whole groups of axes that the Reshape keeps apart, it is done after
// it:
//
//   Transpose [n,h,w,c] -> [n,c,h,w];  Reshape [n,c,h*w]
//     ->   Reshape [n,h*w,c];  Transpose -> [n,c,h*w]
//
// Done where no Transpose is needed then, or where Transposes follow, with which it becomes one.
// True when something changed.
Result<bool> SinkThroughReshape(ir::Graph& graph, PassContext& context);

// In front of a flattening that a product with constants reads: the constant's rows are permuted
// instead.
//
//   Transpose [n,h,w,c] -> [n,c,h,w];  Reshape [n,c*h*w];  MatMul(., %w)
//     ->   Reshape [n,h*w*c];  MatMul(., %w')
//
// True when something changed.
Result<bool> AbsorbIntoProduct(ir::Graph& graph, PassContext& context);

}  // namespace fusee::passes
