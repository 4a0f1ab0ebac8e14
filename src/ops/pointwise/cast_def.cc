// Cast: converts every element to the type `to` (a DType number). Floats become integers by
// truncation, bool by
// != 0; integers wrap around. What a float beyond an integer type's range becomes is not ONNX's to
// say; here it saturates to 64 bits and then wraps. CastLike takes the type from its second
// operand. To and from every narrow type too; `saturate` and, for f8e8m0, `round_mode` say how a
// number becomes a narrow float (tensor/narrow.h).
#include <fmt/format.h>

#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status InferCast(InferContext& context) {
  FUSEE_TRY(ExpectOperands(context, 1, 1));
  FUSEE_TRY(ExpectType(context, 0, kAny | kNarrow));
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

// The attributes of a Cast to the type. Those that say how to round mean something for narrow
// floats only.
Result<Attrs> AttrsFor(ImportContext& context, DType to) {
  FUSEE_TRY(const int64_t saturate, context.Int("saturate", 1));
  FUSEE_TRY(std::string mode, context.Str("round_mode", "up"));
  if (mode != "up" && mode != "down" && mode != "nearest") {
    return context.Error(fmt::format("round_mode '{}' is not up, down or nearest", mode));
  }
  Attrs attrs{{"to", int64_t{static_cast<uint8_t>(to)}}};
  if (IsNarrowFloat(to)) attrs.Set("saturate", int64_t{saturate != 0});
  if (to == DType::kF8E8M0) attrs.Set("round_mode", std::move(mode));
  return attrs;
}

Status ImportCast(ImportContext& context) {
  FUSEE_TRY(const int64_t to, context.RequiredInt("to"));
  const auto number = static_cast<int32_t>(to > 0 && to < 256 ? to : -1);
  const auto dtype = DTypeFromOnnx(number);
  if (!dtype) {
    return context.Refuse(
        fmt::format("casts to {}, a type Fusee has no tensors of", OnnxTypeName(number)));
  }
  FUSEE_TRY(Attrs attrs, AttrsFor(context, *dtype));
  return context.EmitAs("Cast", std::move(attrs));
}

Status ImportCastLike(ImportContext& context) {
  if (!context.has_input(0) || !context.has_input(1)) return context.Error("expected 2 operands");
  FUSEE_TRY(Attrs attrs, AttrsFor(context, context.info(1).dtype));
  return context.EmitAs("Cast", {context.input(0)}, std::move(attrs));
}

}  // namespace

OpDef DefineCast() {
  return {.name = "Cast",
          .infer = InferCast,
          .imports = {{.onnx_op = "Cast", .since = 6, .import = ImportCast},
                      {.onnx_op = "CastLike", .since = 15, .import = ImportCastLike}},
          .narrow = true};
}

}  // namespace fusee::ops
