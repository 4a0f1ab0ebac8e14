// Sum: any number of operands, as a chain of Add from the left.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportSum(ImportContext& context) {
  if (context.input_count() == 2) return context.EmitAs("Add");
  FUSEE_TRY(const ir::ValueId sum, EmitChain(context, "Add"));
  context.SetOutput(0, sum);
  return OkStatus();
}

}  // namespace

OpDef DefineSum() {
  return {.name = "Sum", .imports = {{.onnx_op = "Sum", .since = 6, .import = ImportSum}}};
}

}  // namespace fusee::ops
