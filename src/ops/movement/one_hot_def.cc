// OneHot: operand 0 holds indices, operand 1 the values [off, on]; dims[0] is the depth, inserted
// at `axis`. EyeLike: ones on diagonal k of a matrix with operand 0's shape, in type `dtype`.
#include <fmt/format.h>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferOneHot(InferContext& context) {
  FUSEE_TRY(const int64_t axis, context.attrs().Int("axis", 0));
  if (context.dims().size() != 1 || context.input_count() != 2) {
    return context.Error("needs indices, values and a depth");
  }
  if (axis < 0 || axis > context.rank(0)) return context.Error("the axis is out of range");
  if (context.rank(1) != 1) return context.Error("values should be [off, on]");
  FUSEE_TRY(context.RequireEqual(context.shape(1)[0], 2, "the number of values and 2"));
  ir::SymShape out = context.shape(0);
  out.insert(out.begin() + axis, context.dims()[0]);
  context.SetOutput(0, context.dtype(1), std::move(out));
  return OkStatus();
}

Status ImportOneHot(ImportContext& context) {
  FUSEE_TRY(const int64_t attribute, context.Int("axis", -1));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0) + 1));
  DimVector depth;
  if (context.has_input(1) && IsFloat(context.info(1).dtype)) {
    FUSEE_TRY(const Tensor tensor, context.ConstInput(1, "depth"));
    if (tensor.elements() != 1) return context.Error("the depth should have one element");
    const double value = DoubleAt(tensor.view(), 0);
    if (!(value >= 0 && value <= 2147483647.0)) return context.Error("the depth is out of range");
    depth = {static_cast<int64_t>(value)};
  } else {
    FUSEE_TRY(depth, context.DimInput(1, "depth"));
  }
  return context.EmitAs("OneHot", {context.input(0), context.input(2)}, {{"axis", int64_t{axis}}},
                        std::move(depth));
}

Status InferEyeLike(InferContext& context) {
  FUSEE_TRY(const int64_t number, context.attrs().Int("dtype", 0));
  const auto type = DTypeFromOnnx(static_cast<int32_t>(number));
  if (!type) return context.Error("has no such dtype");
  if (context.rank(0) != 2) return context.Error("needs a matrix");
  context.SetOutput(0, *type, context.shape(0));
  return OkStatus();
}

Status ImportEyeLike(ImportContext& context) {
  FUSEE_TRY(const int64_t k, context.Int("k", 0));
  const auto own = static_cast<int64_t>(context.info(0).dtype);
  FUSEE_TRY(const int64_t dtype, context.Int("dtype", own));
  if (!DTypeFromOnnx(static_cast<int32_t>(dtype))) {
    return context.Refuse(
        fmt::format("type {} is not supported", OnnxTypeName(static_cast<int32_t>(dtype))));
  }
  return context.EmitAs("EyeLike", {{"dtype", dtype}, {"k", k}});
}

}  // namespace

OpDef DefineOneHot() {
  return {
      .name = "OneHot", .infer = InferOneHot, .imports = {{"OneHot", 9, 1 << 20, ImportOneHot}}};
}

OpDef DefineEyeLike() {
  return {.name = "EyeLike",
          .infer = InferEyeLike,
          .imports = {{"EyeLike", 9, 1 << 20, ImportEyeLike}}};
}

}  // namespace fusee::ops
