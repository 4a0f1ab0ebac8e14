// Binarizer of ai.onnx.ml: 1 where an element is above the threshold, else 0, in the operand's
// type. Spelled as a comparison and a cast.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "ops/op_def.h"

namespace fusee::ops {
namespace {

// An integer is above the threshold when it is at least the next integer above that; this holds the
// comparison in the operand's own type, where no element is rounded.
template <typename T>
Result<ir::ValueId> EmitIntegersAbove(ImportContext& context, double threshold) {
  using Limits = std::numeric_limits<T>;
  const auto constant = [&](T value) { return context.Constant(Tensor::Of<T>(Shape{}, {value})); };
  // Written so that a threshold that is no number is above everything. 2^31 and 2^63 are doubles.
  const double end = std::ldexp(1.0, Limits::digits);
  if (!(threshold < end - 1))
    return context.Emit("Greater", {context.input(0), constant(Limits::max())});
  const T least = threshold < -end ? Limits::min() : static_cast<T>(std::floor(threshold)) + 1;
  return context.Emit("GreaterOrEqual", {context.input(0), constant(least)});
}

Status ImportBinarizer(ImportContext& context) {
  if (!context.has_input(0)) return context.Error("operand 0 is missing");
  FUSEE_TRY(const double threshold, context.Float("threshold", 0));
  const DType dtype = context.info(0).dtype;
  ir::ValueId above;
  if (dtype == DType::kF32 || dtype == DType::kF64) {
    FUSEE_TRY(above, context.Emit("Greater", {context.input(0), context.Scalar(dtype, threshold)}));
  } else if (dtype == DType::kI32) {
    FUSEE_TRY(above, EmitIntegersAbove<int32_t>(context, threshold));
  } else if (dtype == DType::kI64) {
    FUSEE_TRY(above, EmitIntegersAbove<int64_t>(context, threshold));
  } else {
    return context.Error(
        fmt::format("the operand is {}, expected f32, f64, i32 or i64", DTypeName(dtype)));
  }
  return context.EmitAs("Cast", {above}, {{"to", static_cast<int64_t>(dtype)}});
}

}  // namespace

OpDef DefineBinarizer() {
  return {.name = "Binarizer",
          .imports = {{.onnx_op = "Binarizer", .import = ImportBinarizer, .domain = "ai.onnx.ml"}}};
}

}  // namespace fusee::ops
