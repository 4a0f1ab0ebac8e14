// Identity: the operand itself. A view: the planner gives both one memory.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status InferIdentity(InferContext& context) {
  FUSEE_TRY(ExpectOperands(context, 1, 1));
  context.outputs()[0] = context.input(0);
  return OkStatus();
}

}  // namespace

OpDef DefineIdentity() {
  OpDef op = Simple("Identity", InferIdentity);
  op.kind = OpKind::kView;
  op.narrow = true;
  return op;
}

}  // namespace fusee::ops
