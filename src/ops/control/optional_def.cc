// Optionals of tensors: what is always there, or never. Optionals as values are refused where they
// enter a model.
#include "ops/import_context.h"
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status ImportHasElement(ImportContext& context) {
  const ir::ValueId answer = context.Scalar(DType::kBool, context.has_input(0) ? 1 : 0);
  context.SetOutput(0, answer);
  return OkStatus();
}

Status ImportGetElement(ImportContext& context) {
  if (!context.has_input(0)) return context.Error("the optional is missing");
  context.SetOutput(0, context.input(0));
  return OkStatus();
}

}  // namespace

OpDef DefineOptionalHasElement() {
  return {.name = "OptionalHasElement",
          .imports = {{"OptionalHasElement", 15, 1 << 20, ImportHasElement}}};
}

OpDef DefineOptionalGetElement() {
  return {.name = "OptionalGetElement",
          .imports = {{"OptionalGetElement", 15, 1 << 20, ImportGetElement}}};
}

}  // namespace fusee::ops
