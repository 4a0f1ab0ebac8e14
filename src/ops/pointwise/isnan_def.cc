// IsNaN: true where x is not a number. Of float8 it asks the same number in f32.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportIsNaN(ImportContext& context) {
  if (!context.has_input(0)) return context.Error("expected 1 operand");
  FUSEE_TRY(const ir::ValueId x, WideFloat(context, 0));
  return context.EmitAs("IsNaN", {x}, {});
}

}  // namespace

OpDef DefineIsNaN() {
  return Simple("IsNaN", InferUnary<kFloats, nullptr, DType::kBool>, ImportIsNaN);
}

}  // namespace fusee::ops
