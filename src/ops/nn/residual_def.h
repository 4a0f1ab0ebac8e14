// Shape rule of the residual that a pass gave to Conv, Gemm or MatMul: operand 3, added before the
// activation. Exactly the result's type and shape, floating point; it never broadcasts.
#pragma once

#include "ops/op_def.h"

namespace fusee::ops {

// Errors: kInvalidArgument; a dimension that cannot be told equal becomes a run-time constraint.
inline Status CheckResidual(InferContext& c, const ir::SymShape& result) {
  if (!c.has_input(3)) return OkStatus();
  if (c.dtype(3) != c.dtype(0) || !IsFloat(c.dtype(0)))
    return c.Error("the residual should be of a's type, floating-point");
  if (c.shape(3).size() != result.size())
    return c.Error("the residual should have the shape of the result");
  for (size_t i = 0; i < result.size(); ++i)
    FUSEE_TRY(c.RequireEqual(c.shape(3)[i], result[i], "the residual and the result"));
  return OkStatus();
}

}  // namespace fusee::ops
