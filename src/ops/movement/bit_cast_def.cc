// BitCast: operand 0's bits as the type `to` (a DType number) of the same width; of narrow types
// the width they are known by, not that in memory. To bool it is the Cast of the byte: whether one
// that is neither 0 nor 1 were a bool, no kernel could rely on.
#include <fmt/format.h>

#include "ops/op_def.h"

namespace fusee::ops {
namespace {

Status InferBitCast(InferContext& context) {
  FUSEE_TRY(const int64_t number, context.attrs().Int("to", 0));
  const auto to =
      number > 0 && number < 256 ? DTypeFromOnnx(static_cast<int32_t>(number)) : std::nullopt;
  if (!to || *to == DType::kBool) return context.Error("has no such target type");
  if (PackedBitsPerElement(*to) != PackedBitsPerElement(context.dtype(0))) {
    return context.Error(
        fmt::format("{} and {} differ in width", DTypeName(context.dtype(0)), DTypeName(*to)));
  }
  context.SetOutput(0, *to, context.shape(0));
  return OkStatus();
}

Status ImportBitCast(ImportContext& context) {
  FUSEE_TRY(const int64_t to, context.RequiredInt("to"));
  const auto number = static_cast<int32_t>(to > 0 && to < 256 ? to : -1);
  const auto type = DTypeFromOnnx(number);
  if (!type) {
    return context.Refuse(
        fmt::format("gives {}, a type Fusee has no tensors of", OnnxTypeName(number)));
  }
  if (!context.has_input(0)) return context.Error("needs an operand");
  const DType own = context.info(0).dtype;
  if (PackedBitsPerElement(*type) != PackedBitsPerElement(own)) {
    return context.Error(
        fmt::format("{} and {} differ in width", DTypeName(own), DTypeName(*type)));
  }
  if (*type == own) return context.EmitAs("Identity");
  if (*type != DType::kBool) return context.EmitAs("BitCast", {{"to", to}});
  ir::ValueId byte = context.input(0);
  if (IsNarrow(own)) {
    FUSEE_TRY(byte,
              context.Emit("BitCast", {byte}, {{"to", int64_t{static_cast<uint8_t>(DType::kU8)}}}));
  }
  return context.EmitAs("Cast", {byte}, {{"to", to}});
}

}  // namespace

OpDef DefineBitCast() {
  return {.name = "BitCast",
          .infer = InferBitCast,
          .imports = {{"BitCast", 26, 1 << 20, ImportBitCast}},
          .narrow = true};
}

}  // namespace fusee::ops
