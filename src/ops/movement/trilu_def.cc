// Trilu: keeps the upper (attribute upper) or lower triangle of the last two axes, bounded by the
// diagonal dims[0]; the rest becomes zero.
#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferTrilu(InferContext& context) {
  if (context.rank(0) < 2) return context.Error("needs rank 2 or more");
  if (context.dims().size() != 1) return context.Error("needs a diagonal");
  context.SetOutput(0, context.dtype(0), context.shape(0));
  return OkStatus();
}

Status ImportTrilu(ImportContext& context) {
  FUSEE_TRY(const int64_t upper, context.Int("upper", 1));
  DimVector diagonal = {0};
  if (context.has_input(1)) {
    FUSEE_TRY(diagonal, context.DimInput(1, "diagonal"));
  }
  return context.EmitAs("Trilu", {context.input(0)}, {{"upper", upper}}, std::move(diagonal));
}

}  // namespace

OpDef DefineTrilu() {
  return {.name = "Trilu", .infer = InferTrilu, .imports = {{"Trilu", 14, 1 << 20, ImportTrilu}}};
}

}  // namespace fusee::ops
