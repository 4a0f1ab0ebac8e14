// Mod: the remainder with the divisor's sign (fmod 0, integers only) or the dividend's (fmod 1).
// A zero integer divisor is a run-time error.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

// Both remainders agree where nothing is negative.
TrackedDim Track(const InferContext& context, const ir::Dim& a, const ir::Dim& b, bool fmod) {
  if (b == ir::Dim(0)) return std::nullopt;
  const bool divisor_known = b.is_constant() || b.Range(context.symbols()).min > 0;
  if (!fmod && divisor_known) return Mod(a, b);
  if (a.is_constant() && b.is_constant()) {
    return b.constant() == -1 ? ir::Dim(0) : ir::Dim(a.constant() % b.constant());
  }
  const bool plain = a.Range(context.symbols()).min >= 0 && b.Range(context.symbols()).min > 0;
  return plain ? TrackedDim(Mod(a, b)) : std::nullopt;
}

Status InferMod(InferContext& context) {
  FUSEE_TRY(const int64_t fmod, context.attrs().Int("fmod", 0));
  FUSEE_TRY(InferBinaryOf(context, kNumbers, DType::kInvalid, nullptr));
  if (IsFloat(context.dtype(0)) && fmod == 0) {
    return context.Error("attribute 'fmod' must be 1 for floating-point operands, got 0");
  }
  TrackElements(context, 2,
                [&](std::span<const ir::Dim> x) { return Track(context, x[0], x[1], fmod != 0); });
  return OkStatus();
}

Status ImportMod(ImportContext& context) {
  FUSEE_TRY(const int64_t fmod, context.Int("fmod", 0));
  return context.EmitAs("Mod", Attrs{{"fmod", fmod}});
}

}  // namespace

OpDef DefineMod() { return Simple("Mod", InferMod, ImportMod); }

}  // namespace fusee::ops
