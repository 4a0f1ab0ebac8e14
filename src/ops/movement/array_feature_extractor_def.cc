// ArrayFeatureExtractor of ai.onnx.ml: elements of the last axis, picked by the integers of operand
// 1 in a row. Spelled as Gather; a vector counts as one row.
#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status ImportArrayFeatureExtractor(ImportContext& context) {
  if (!context.has_input(0) || !context.has_input(1)) return context.Error("needs x and indices");
  if (context.rank(0) < 1) return context.Error("needs an operand of rank 1 or more");
  const ir::Dim count = ir::ElementCount(ShapeOf(context, 1));
  ir::SymShape out = ShapeOf(context, 0);
  const auto axis = static_cast<int64_t>(out.size()) - 1;
  FUSEE_TRY(const ir::ValueId indices, context.Emit("Reshape", {context.input(1)}, {}, {count}));
  FUSEE_TRY(const ir::ValueId picked,
            context.Emit("Gather", {context.input(0), indices}, {{"axis", axis}}));
  if (axis > 0) {
    context.SetOutput(0, picked);
    return OkStatus();
  }
  return context.EmitAs("Reshape", {picked}, {}, {ir::Dim(1), count});
}

}  // namespace

OpDef DefineArrayFeatureExtractor() {
  return {.name = "ArrayFeatureExtractor",
          .imports = {{.onnx_op = "ArrayFeatureExtractor",
                       .import = ImportArrayFeatureExtractor,
                       .domain = "ai.onnx.ml"}}};
}

}  // namespace fusee::ops
