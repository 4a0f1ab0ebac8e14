// Clip: min(max(x, low), high); operands 1 (low) and 2 (high) are optional scalars. NaN stays NaN;
// where low > high every element becomes high. Bounds were attributes up to opset 10.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status InferClip(InferContext& context) {
  FUSEE_TRY(ExpectOperands(context, 1, 3));
  FUSEE_TRY(ExpectType(context, 0, kNumbers));
  for (size_t i = 1; i < context.input_count(); ++i) {
    if (!context.has_input(i)) continue;
    FUSEE_TRY(ExpectSameType(context, 0, i));
    if (!(ir::ElementCount(context.shape(i)) == ir::Dim(1))) {
      return context.Error("the bounds should be scalars, got shape " +
                           ir::ToString(context.shape(i)));
    }
  }
  context.SetOutput(0, context.dtype(0), context.shape(0));
  return OkStatus();
}

// The defaults are the type's own limits, which bound nothing.
Status ImportAttributes(ImportContext& context) {
  std::vector<ir::ValueId> operands = {context.input(0), ir::ValueId(), ir::ValueId()};
  if (!context.has_input(0)) return context.Error("operand 0 is missing");
  const DType dtype = context.info(0).dtype;
  const char* const names[] = {"min", "max"};
  for (size_t i = 0; i < 2; ++i) {
    if (!context.HasAttr(names[i])) continue;
    FUSEE_TRY(const double bound, context.Float(names[i], 0));
    operands[i + 1] = context.Scalar(dtype, bound);
  }
  return context.EmitAs("Clip", std::move(operands), {});
}

}  // namespace

OpDef DefineClip() {
  return {.name = "Clip",
          .infer = InferClip,
          .imports = {{.onnx_op = "Clip", .since = 6, .until = 10, .import = ImportAttributes},
                      {.onnx_op = "Clip", .since = 11, .import = ImportAsIs}}};
}

}  // namespace fusee::ops
