// NonZero: the positions of the elements that are not zero (NaN is not), one column each, in
// row-major order: i64[rank, count]. How many there are, the run finds. A scalar has no axes to
// tell: [0, 1] or [0, 0].
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status InferNonZero(InferContext& context) {
  if (context.input_count() != 1) return context.Error("needs one operand");
  FUSEE_TRY(const ir::Dim count, context.Count(0, 1));
  context.SetOutput(0, DType::kI64, {context.rank(0), count});
  return OkStatus();
}

Status ImportNonZero(ImportContext& context) {
  if (!context.has_input(0)) return context.Error("needs an operand");
  FUSEE_TRY(const ir::Dim count, context.NewCount(0, 1, ir::ElementCount(context.info(0).shape)));
  FUSEE_TRY(const auto results, context.EmitFinding("NonZero", {context.input(0)}, 1, {count}));
  context.SetOutput(0, results[0]);
  return OkStatus();
}

}  // namespace

OpDef DefineNonZero() {
  return {.name = "NonZero",
          .infer = InferNonZero,
          .imports = {{"NonZero", 9, 1 << 20, ImportNonZero}}};
}

}  // namespace fusee::ops
