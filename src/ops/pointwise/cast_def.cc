// Cast: converts every element to the type `to` (a DType number). Floats become integers by
// truncation, bool by
// != 0; integers wrap around. What a float beyond an integer type's range becomes is not ONNX's to
// say; here it saturates to 64 bits and then wraps. CastLike takes the type from its second
// operand.
#include <fmt/format.h>

#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status InferCast(InferContext& context) {
  FUSEE_TRY(ExpectOperands(context, 1, 1));
  FUSEE_TRY(ExpectType(context, 0, kAny));
  FUSEE_TRY(const int64_t to, context.attrs().Int("to", 0));
  const auto dtype = to > 0 && to < 256 ? DTypeFromOnnx(static_cast<int32_t>(to)) : std::nullopt;
  if (!dtype)
    return context.Error(fmt::format("attribute 'to' is {}, which is no element type", to));
  context.SetOutput(0, *dtype, context.shape(0));
  TrackElements(context, 1, [&](std::span<const ir::Dim> x) -> TrackedDim {
    if (*dtype != DType::kBool) return x[0];
    const ir::DimRange range = x[0].Range(context.symbols());
    if (range.min > 0 || range.max < 0) return ir::Dim(1);
    return x[0] == ir::Dim(0) ? TrackedDim(0) : std::nullopt;
  });
  return OkStatus();
}

// `saturate` and `round_mode` speak of the 8-bit float types only, which have no tensors here.
void IgnoreFloat8Options(ImportContext& context) {
  context.Ignore("saturate");
  context.Ignore("round_mode");
}

Status ImportCast(ImportContext& context) {
  IgnoreFloat8Options(context);
  FUSEE_TRY(const int64_t to, context.RequiredInt("to"));
  const auto number = static_cast<int32_t>(to > 0 && to < 256 ? to : -1);
  if (!DTypeFromOnnx(number)) {
    return context.Refuse(
        fmt::format("casts to {}, a type Fusee has no tensors of", OnnxTypeName(number)));
  }
  return context.EmitAs("Cast", Attrs{{"to", to}});
}

Status ImportCastLike(ImportContext& context) {
  IgnoreFloat8Options(context);
  if (!context.has_input(0) || !context.has_input(1)) return context.Error("expected 2 operands");
  const auto to = static_cast<int64_t>(context.info(1).dtype);
  return context.EmitAs("Cast", {context.input(0)}, Attrs{{"to", to}});
}

}  // namespace

OpDef DefineCast() {
  return {.name = "Cast",
          .infer = InferCast,
          .imports = {{.onnx_op = "Cast", .since = 6, .import = ImportCast},
                      {.onnx_op = "CastLike", .since = 15, .import = ImportCastLike}}};
}

}  // namespace fusee::ops
