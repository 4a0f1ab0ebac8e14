// Det: the determinants of the matrices in the last two axes.
#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status InferDet(InferContext& context) {
  if (context.input_count() != 1 || !context.has_input(0)) return context.Error("needs an operand");
  const ir::SymShape& shape = context.shape(0);
  if (shape.size() < 2) return context.Error("needs rank 2 or more");
  if (!IsFloat(context.dtype(0))) {
    return context.Error(fmt::format("the operand is {}, expected a floating-point type",
                                     DTypeName(context.dtype(0))));
  }
  FUSEE_TRY(context.RequireEqual(shape[shape.size() - 2], shape.back(), "rows and columns"));
  context.SetOutput(0, context.dtype(0), {shape.begin(), shape.end() - 2});
  return OkStatus();
}

Status ImportDet(ImportContext& context) { return context.EmitAs("Det"); }

}  // namespace

OpDef DefineDet() {
  return {.name = "Det", .infer = InferDet, .imports = {{"Det", 11, 1 << 20, ImportDet}}};
}

}  // namespace fusee::ops
