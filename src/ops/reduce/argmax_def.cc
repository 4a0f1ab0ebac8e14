// ArgMax and ArgMin: the position of the extreme value along `axis` as i64; the first one, or the
// last one with select_last_index.
#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status InferArg(InferContext& context) {
  FUSEE_TRY(const int64_t attribute, context.attrs().Int("axis", 0));
  FUSEE_TRY(const int64_t keepdims, context.attrs().Int("keepdims", 1));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  if (context.dtype(0) == DType::kBool) return context.Error("is not defined for bool");
  ir::SymShape out = context.shape(0);
  if (out[static_cast<size_t>(axis)] == ir::Dim(0))
    return context.Error("the axis has no elements");
  if (keepdims != 0) {
    out[static_cast<size_t>(axis)] = 1;
  } else {
    out.erase(out.begin() + axis);
  }
  context.SetOutput(0, DType::kI64, std::move(out));
  return OkStatus();
}

Status ImportArg(ImportContext& context) {
  FUSEE_TRY(const int64_t attribute, context.Int("axis", 0));
  FUSEE_TRY(const int64_t keepdims, context.Int("keepdims", 1));
  FUSEE_TRY(const int64_t last, context.Int("select_last_index", 0));
  FUSEE_TRY(const int axis, context.Axis(attribute, context.rank(0)));
  return context.EmitAs(
      context.node().op_type,
      {{"axis", int64_t{axis}}, {"keepdims", keepdims}, {"select_last_index", last}});
}

}  // namespace

OpDef DefineArgMax() {
  return {.name = "ArgMax", .infer = InferArg, .imports = {{"ArgMax", 1, 1 << 20, ImportArg}}};
}

OpDef DefineArgMin() {
  return {.name = "ArgMin", .infer = InferArg, .imports = {{"ArgMin", 1, 1 << 20, ImportArg}}};
}

}  // namespace fusee::ops
