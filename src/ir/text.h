// The text form of a graph, for golden tests, dumps and --start-from. Printing then parsing gives an equal graph,
// except that constants above the print limit keep only their digest and cannot be read back.
//
//   graph "digits" {
//     input %image : f32[batch,1,8,8]
//     const %w : f32[2,2] = {1, 2, 3, 4}
//     symbol batch in [1, 32]
//     %y : f32[batch,2] = Gemm(%image, %w, _) {transB = 1} dims(batch, 2) from("gemm_0")
//     output %y as "logits"
//   }
//
// `_` is an absent operand. Attributes print in name order. Comments start with //.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "ir/graph.h"

namespace fusee::ir {

struct PrintOptions {
  int64_t max_constant_elements = 64;  // larger constants print as "= digest:<16 hex digits>"
  bool sources = true;                 // the from(...) part
};

// Deterministic: equal graphs give equal text.
std::string Print(const Graph& graph, const PrintOptions& options = {});

// Untrusted text. Errors: kInvalidArgument with line and column, expected and got. Limits: 16 MiB, nesting 16.
Result<std::unique_ptr<Graph>> Parse(std::string_view text);

}  // namespace fusee::ir
