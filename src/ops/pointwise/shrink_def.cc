// Shrink: x + bias where x < -lambd, x - bias where x > lambd, 0 elsewhere. Integers are computed
// in f64, which holds all of them up to 32 bits, and lose what bias adds behind the point.
#include <fmt/format.h>

#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportShrink(ImportContext& context) {
  const DType dtype = context.info(0).dtype;
  if (!IsInt(dtype)) return ImportWithFloats(context, {{"bias", 0.0f}, {"lambd", 0.5f}});
  if (BytesPerElement(dtype) > 4) {
    return context.Refuse(
        fmt::format("{} is not supported, as f64 does not hold all of its numbers; cast to f32 or "
                    "i32 before",
                    DTypeName(dtype)));
  }
  FUSEE_TRY(const double bias, context.Float("bias", 0));
  FUSEE_TRY(const double lambd, context.Float("lambd", 0.5));
  FUSEE_TRY(const ir::ValueId wide,
            context.Emit("Cast", {context.input(0)}, {{"to", static_cast<int64_t>(DType::kF64)}}));
  FUSEE_TRY(const ir::ValueId shrunk,
            context.Emit("Shrink", {wide}, {{"bias", bias}, {"lambd", lambd}}));
  return context.EmitAs("Cast", {shrunk}, {{"to", static_cast<int64_t>(dtype)}});
}

}  // namespace

OpDef DefineShrink() { return Simple("Shrink", InferUnary<kFloats>, ImportShrink); }

}  // namespace fusee::ops
