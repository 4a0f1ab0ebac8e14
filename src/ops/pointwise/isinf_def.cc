// IsInf: true where x is an infinity of a sign that is asked for (detect_negative,
// detect_positive).
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportIsInf(ImportContext& context) {
  FUSEE_TRY(const int64_t negative, context.Int("detect_negative", 1));
  FUSEE_TRY(const int64_t positive, context.Int("detect_positive", 1));
  if (!context.has_input(0)) return context.Error("expected 1 operand");
  FUSEE_TRY(const ir::ValueId x, WideFloat(context, 0));
  return context.EmitAs("IsInf", {x},
                        Attrs{{"detect_negative", negative}, {"detect_positive", positive}});
}

}  // namespace

OpDef DefineIsInf() {
  return Simple("IsInf", InferUnary<kFloats, nullptr, DType::kBool>, ImportIsInf);
}

}  // namespace fusee::ops
