// FusedAttention: softmax(scale * Q K^T + bias) V for each head. Never in a model: a pass makes it
// of the operators that exporters spell attention with. Operands and attributes (num_heads, scale,
// packed_qkv, zero_nan_rows) are described in attention.h.
#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {

namespace {

// Columns of one operand over the heads, or an error.
Result<int64_t> HeadWidth(InferContext& c, size_t operand, int64_t parts) {
  const ir::Dim& width = c.shape(operand)[2];
  if (!width.is_constant() || width.constant() < parts || width.constant() % parts != 0) {
    return c.Error(fmt::format("operand {} has {} columns, expected a multiple of {}", operand,
                               width.ToString(), parts));
  }
  return width.constant() / parts;
}

Status CheckOperands(InferContext& c, bool packed, int64_t heads) {
  if (heads < 1 || heads >= (int64_t{1} << 31))
    return c.Error(fmt::format("num_heads is {}, expected a positive number", heads));
  if (c.input_count() < 1 || c.input_count() > 4 || !c.has_input(0) || c.has_input(1) == packed ||
      c.has_input(2) == packed) {
    return c.Error(packed ? "expected a packed operand and optionally a bias as operand 3"
                          : "expected operands q, k, v and optionally a bias");
  }
  for (size_t i = 0; i < (packed ? 1u : 3u); ++i) {
    if (c.rank(i) != 3 || !IsFloat(c.dtype(i)) || c.dtype(i) != c.dtype(0))
      return c.Error(fmt::format("operand {} should be rank 3, of one floating-point type", i));
  }
  if (c.has_input(3) && (c.rank(3) > 4 || !IsFloat(c.dtype(3))))
    return c.Error("the bias should be floating-point, of rank 4 or less");
  return OkStatus();
}

Status InferFusedAttention(InferContext& c) {
  FUSEE_TRY(int64_t packed, c.attrs().Int("packed_qkv", 0));
  FUSEE_TRY(int64_t heads, c.attrs().Int("num_heads", 0));
  FUSEE_TRY(double scale, c.attrs().Float("scale", 1));
  FUSEE_TRY(int64_t zero, c.attrs().Int("zero_nan_rows", 0));
  static_cast<void>(scale);  // any number will do, of the right type
  if (packed < 0 || packed > 1 || zero < 0 || zero > 1)
    return c.Error("packed_qkv and zero_nan_rows should be 0 or 1");
  FUSEE_TRY(CheckOperands(c, packed != 0, heads));
  const ir::SymShape& q = c.shape(0);
  const ir::SymShape& k = packed != 0 ? q : c.shape(1);
  FUSEE_TRY(int64_t dim, HeadWidth(c, 0, packed != 0 ? 3 * heads : heads));
  int64_t dim_v = dim;
  if (packed == 0) {
    FUSEE_TRY(dim_v, HeadWidth(c, 2, heads));
    FUSEE_TRY(c.RequireEqual(q[0], k[0], "batches of q and k"));
    FUSEE_TRY(c.RequireEqual(q[0], c.shape(2)[0], "batches of q and v"));
    FUSEE_TRY(c.RequireEqual(k[1], c.shape(2)[1], "sequences of k and v"));
    FUSEE_TRY(c.RequireEqual(q[2], k[2], "columns of q and k"));
  }
  if (c.has_input(3)) {
    const ir::SymShape full{q[0], heads, q[1], k[1]};
    const ir::SymShape& bias = c.shape(3);
    for (size_t i = 0; i < bias.size(); ++i) {
      if (bias[i] == ir::Dim(1)) continue;
      FUSEE_TRY(c.RequireEqual(bias[i], full[4 - bias.size() + i], "the bias and the scores"));
    }
  }
  c.SetOutput(0, c.dtype(0), {q[0], q[1], heads * dim_v});
  return OkStatus();
}

}  // namespace

OpDef DefineFusedAttention() { return {.name = "FusedAttention", .infer = InferFusedAttention}; }

}  // namespace fusee::ops
