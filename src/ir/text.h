// The text form of a graph, for golden tests, dumps and --start-from. Printing then parsing gives
// an equal graph, except that constants above the print limit keep only their digest and cannot be
// read back.
//
//   graph "digits" {
//     symbol batch in [1, 32]
//     input %image : f32[batch,1,8,8]
//     const %w : f32[2,2] = {1, 2, 3, 4}
//     %y : f32[batch,2] = Gemm(%image, %w, _) {transB = 1} dims(batch, 2) from("gemm_0")
//     %s : i64[2]{batch, 2} = Shape(%y) from("shape_0")
//     %i : i64[2,"nonzero_0/i:1"] = NonZero(%y) counts("nonzero_0/i:1") from("nonzero_0")
//     output %y as "logits"
//     constraint (batch, 2*n) because "node 'Add_3' ..."
//     pin %mode : i64[1] = {1}
//   }
//
// `_` is an absent operand or an unwanted result. Braces after a type hold the tracked elements.
// Attributes print in name order; integers, floats (always with a point or exponent), strings, and
// lists of the first two; the empty list of floats is `floats[]`. A node's nested graphs follow it
// as `regions { graph "then" {...} graph "else" {...} }`; `when(%c, !%d)` before from(...) are its
// guards. Names that are not made of letters,
// digits and _./-:: are quoted: %"a name". Comments start with //. NaNs whose bits are not the
// usual ones print as their bits, 0x7fc00001.
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

// Untrusted text. Errors: kInvalidArgument with line and column, expected and got. Limits: 16 MiB,
// nesting 16.
Result<std::unique_ptr<Graph>> Parse(std::string_view text);

}  // namespace fusee::ir
