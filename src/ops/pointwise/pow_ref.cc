// Pow: base and exponent may differ in type; the result has the base's. Two integers are computed
// exactly modulo 2^64, everything else in double.
#include <fmt/format.h>

#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

// Both are float, or one is: through double. A float power of an integer truncates, saturating at
// 64 bits.
template <typename B>
Wide<B> MixedPow(Wide<B> base, double exponent) {
  const double power = math::Pow(static_cast<double>(base), exponent);
  if constexpr (std::is_same_v<Wide<B>, double>) return power;
  constexpr bool kSigned = std::is_same_v<Wide<B>, int64_t>;
  constexpr double kTop = kSigned ? 0x1p63 : 0x1p64;
  constexpr double kBottom = kSigned ? -0x1p63 : 0;
  if (power != power) return 0;
  if (power >= kTop) return std::numeric_limits<Wide<B>>::max();
  if (power <= kBottom) return std::numeric_limits<Wide<B>>::min();
  return static_cast<Wide<B>>(power);
}

template <typename B, typename E>
Wide<B> PowOf(Wide<B> base, Wide<E> exponent, bool* undefined) {
  if constexpr (std::is_integral_v<B> && std::is_same_v<Wide<E>, uint64_t>) {
    return static_cast<Wide<B>>(IntegerPow(static_cast<uint64_t>(base), exponent));
  } else if constexpr (std::is_same_v<Wide<B>, int64_t> && std::is_same_v<Wide<E>, int64_t>) {
    return SignedPow(base, exponent, undefined);
  } else if constexpr (std::is_same_v<Wide<B>, uint64_t> && std::is_same_v<Wide<E>, int64_t>) {
    if (exponent >= 0) return IntegerPow(base, static_cast<uint64_t>(exponent));
    if (base == 0) *undefined = true;
    return base == 1 ? 1 : 0;
  } else {
    return MixedPow<B>(base, static_cast<double>(exponent));
  }
}

template <typename B, typename E>
int64_t RunTyped(const RunArgs& args) {
  const ConstTensorView& base = args.inputs[0];
  const ConstTensorView& exponent = args.inputs[1];
  const TensorView& y = args.outputs[0];
  const int64_t n = y.elements();
  B* out = y.as<B>();
  BroadcastWalk<2> walk(y.shape, {&base.shape, &exponent.shape});
  bool undefined = false;
  for (int64_t i = 0; i < n; ++i) {
    out[i] = Narrow<B>(PowOf<B, E>(Load<B>(base.data, walk.operand(0)),
                                   Load<E>(exponent.data, walk.operand(1)), &undefined));
    if (undefined) return i;
    walk.Next();
  }
  return -1;
}

Status Run(const PowParams& params, const RunArgs& args) {
  int64_t bad = -1;
  VisitType(params.base, [&]<typename B>() {
    VisitType(params.exponent, [&]<typename E>() {
      if constexpr (!std::is_same_v<B, bool> && !std::is_same_v<E, bool>)
        bad = RunTyped<B, E>(args);
    });
  });
  if (bad < 0) return OkStatus();
  return InvalidArgument(
      fmt::format("Pow: integer zero to a negative power at flat index {} of the result", bad));
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const PowParams params, ReadPow(spec));
  return MakeKernel(params, &CheckPow, &Run);
}

}  // namespace

extern const KernelDef pow_ref = {
    .id = "pow_ref.1", .op = "Pow", .reference = true, .in_place_inputs = 1, .bind = &Bind};

}  // namespace fusee::ops
