// Pow: a^b with numpy broadcasting; the result has a's type, whatever b's is (opset 12 on).
// Integers to integers are exact and wrap around; an integer zero to a negative power is a run-time
// error.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status InferPow(InferContext& context) {
  FUSEE_TRY(ExpectOperands(context, 2, 2));
  FUSEE_TRY(ExpectType(context, 0, kNumbers));
  FUSEE_TRY(ExpectType(context, 1, kNumbers));
  FUSEE_TRY(ir::SymShape shape, context.Broadcast(context.shape(0), context.shape(1)));
  context.SetOutput(0, context.dtype(0), std::move(shape));
  return OkStatus();
}

}  // namespace

OpDef DefinePow() { return Simple("Pow", InferPow); }

}  // namespace fusee::ops
