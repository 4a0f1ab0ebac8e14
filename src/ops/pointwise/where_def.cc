// Where: operand 1 where the condition (operand 0, bool) holds, operand 2 elsewhere; all three
// broadcast.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status InferWhere(InferContext& context) {
  FUSEE_TRY(ExpectOperands(context, 3, 3));
  if (context.dtype(0) != DType::kBool) {
    return context.Error("the condition should be bool, got " +
                         std::string(DTypeName(context.dtype(0))));
  }
  FUSEE_TRY(ExpectType(context, 1, kAny));
  FUSEE_TRY(ExpectSameType(context, 1, 2));
  FUSEE_TRY(const ir::SymShape values, context.Broadcast(context.shape(1), context.shape(2)));
  FUSEE_TRY(ir::SymShape shape, context.Broadcast(context.shape(0), values));
  context.SetOutput(0, context.dtype(1), std::move(shape));
  TrackElements(context, 3, [](std::span<const ir::Dim> x) -> TrackedDim {
    if (x[1] == x[2]) return x[1];
    if (!x[0].is_constant()) return std::nullopt;
    return x[0].constant() != 0 ? x[1] : x[2];
  });
  return OkStatus();
}

}  // namespace

OpDef DefineWhere() { return Simple("Where", InferWhere); }

}  // namespace fusee::ops
