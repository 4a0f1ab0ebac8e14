// SkipLayerNormalization: LayerNormalization of x + skip over the last axis, the sum as an optional
// second result. Never in a model (com.microsoft's operator of this name is imported as what a pass
// makes it of: Add and LayerNormalization). Operands x, skip, scale and an optional bias;
// attributes axis (the last one, or -1) and epsilon: skip_norm.h.
#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {

namespace {

Status InferSkipLayerNorm(InferContext& c) {
  if (c.input_count() < 3 || c.input_count() > 4 || !c.has_input(0) || !c.has_input(1) ||
      !c.has_input(2) || c.outputs().empty() || c.outputs().size() > 2) {
    return c.Error("expected operands x, skip, scale, optionally a bias, and one or two results");
  }
  const ir::SymShape& x = c.shape(0);
  FUSEE_TRY(int64_t axis, c.attrs().Int("axis", -1));
  FUSEE_TRY(double epsilon, c.attrs().Float("epsilon", static_cast<double>(1e-5f)));
  static_cast<void>(epsilon);
  if (x.empty() || (axis != -1 && axis != c.rank(0) - 1))
    return c.Error(fmt::format("axis {} is not the last one", axis));
  for (size_t i = 0; i < c.input_count(); ++i) {
    if (i == 3 && !c.has_input(3)) continue;
    if (!IsFloat(c.dtype(i)) || c.dtype(i) != c.dtype(0))
      return c.Error("operands should be of one floating-point type");
    if (i < 2) continue;
    if (c.rank(i) != 1) return c.Error("scale and bias should be 1-D");
    FUSEE_TRY(c.RequireEqual(c.shape(i)[0], x.back(), "scale or bias and the last axis"));
  }
  if (c.rank(1) != c.rank(0)) return c.Error("x and skip should have one shape");
  for (size_t i = 0; i < x.size(); ++i)
    FUSEE_TRY(c.RequireEqual(c.shape(1)[i], x[i], "x and skip"));
  for (size_t i = 0; i < c.outputs().size(); ++i) c.SetOutput(i, c.dtype(0), x);
  return OkStatus();
}

}  // namespace

OpDef DefineSkipLayerNormalization() {
  return {.name = "SkipLayerNormalization", .infer = InferSkipLayerNorm};
}

}  // namespace fusee::ops
