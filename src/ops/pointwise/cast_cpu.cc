// Cast between the types that models carry at run time, with the reference's bits: straight loops
// without branches, so that most vectorise.
#include <bit>
#include <limits>

#include "ops/pointwise/broadcast.h"
#include "ops/pointwise/elementwise.h"
#include "ops/pointwise/params.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

// A bool may hold any byte.
template <typename T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;

float FromHalf(Half x) {
  const uint32_t magnitude = x.bits & 0x7fffu;
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t normal = (magnitude << 13) + (magnitude >= 0x7c00u ? 224u << 23 : 112u << 23);
  // Below the normal numbers the bits count units of 2^-24.
  const float tiny = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;
  return std::bit_cast<float>(sign | (magnitude < 0x400u ? std::bit_cast<uint32_t>(tiny) : normal));
}

Half ToHalf(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
  // The unit in the last place of 0.5 is 2^-24, as of a subnormal half: the addition rounds to it.
  const uint32_t tiny = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) -
                        std::bit_cast<uint32_t>(0.5f);
  uint32_t half = magnitude < 0x38800000u ? tiny : normal;
  half = magnitude >= 0x477ff000u ? 0x7c00u : half;
  half = magnitude > 0x7f800000u ? 0x7e00u | ((magnitude >> 13) & 0x3ffu) : half;
  Half result;
  result.bits = static_cast<uint16_t>(((bits >> 16) & 0x8000u) | half);
  return result;
}

// Truncates; saturates to 64 bits, then wraps; NaN gives 0. All comparisons are exact in F.
template <typename To, typename F>
To IntegerFromFloat(F x) {
  constexpr F kTop = static_cast<F>(0x1p63);
  if (x != x) return 0;
  if (x >= kTop) return static_cast<To>(std::numeric_limits<int64_t>::max());
  if (x <= -kTop) return static_cast<To>(std::numeric_limits<int64_t>::min());
  return static_cast<To>(static_cast<int64_t>(x));
}

// From f32, f64, integers or a truth value of 0 or 1.
template <typename To, typename From>
Stored<To> ConvertNumber(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != 0;
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    return IntegerFromFloat<To>(x);
  } else if constexpr (std::is_same_v<To, Half> && std::is_same_v<From, float>) {
    return ToHalf(x);
  } else if constexpr (std::is_same_v<To, BFloat16> && std::is_same_v<From, float>) {
    return BFloat16(x);
  } else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>) {
    return Narrow<To>(static_cast<double>(x));  // one rounding
  } else {
    return static_cast<To>(x);
  }
}

template <typename To, typename From>
Stored<To> Convert(Stored<From> x) {
  if constexpr (std::is_same_v<From, Half>) {
    return ConvertNumber<To>(FromHalf(x));
  } else if constexpr (std::is_same_v<From, BFloat16>) {
    return ConvertNumber<To>(static_cast<float>(x));
  } else if constexpr (std::is_same_v<From, bool>) {
    return ConvertNumber<To>(static_cast<int32_t>(x != 0));
  } else {
    return ConvertNumber<To>(x);
  }
}

template <typename From, typename To>
void RunTyped(const RunArgs& args) {
  const auto* x = static_cast<const Stored<From>*>(args.inputs[0].data);
  auto* y = static_cast<Stored<To>*>(args.outputs[0].data);
  ParallelBlocks(args.parallel, args.outputs[0].elements(), kElementsPerTask,
                 [&](int64_t begin, int64_t end) {
                   FUSEE_INDEPENDENT_LOOP
                   for (int64_t i = begin; i < end; ++i) y[i] = Convert<To, From>(x[i]);
                 });
}

bool Takes(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF64:
    case DType::kF16:
    case DType::kBF16:
    case DType::kI64:
    case DType::kI32:
    case DType::kI8:
    case DType::kU8:
    case DType::kBool: return true;
    default: return false;
  }
}

// Precondition: Takes(dtype).
template <typename Fn>
void VisitTaken(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::kF64: return fn.template operator()<double>();
    case DType::kF16: return fn.template operator()<Half>();
    case DType::kBF16: return fn.template operator()<BFloat16>();
    case DType::kI64: return fn.template operator()<int64_t>();
    case DType::kI32: return fn.template operator()<int32_t>();
    case DType::kI8: return fn.template operator()<int8_t>();
    case DType::kU8: return fn.template operator()<uint8_t>();
    case DType::kBool: return fn.template operator()<bool>();
    default: return fn.template operator()<float>();
  }
}

Status Run(const CastParams& params, const RunArgs& args) {
  VisitTaken(params.from, [&]<typename From>() {
    VisitTaken(params.to, [&]<typename To>() { RunTyped<From, To>(args); });
  });
  return OkStatus();
}

Result<std::unique_ptr<BoundKernel>> Bind(const StepSpec& spec) {
  FUSEE_TRY(const CastParams params, ReadCast(spec));
  if (!Takes(params.from) || !Takes(params.to))
    return RefuseTactic(
        spec, "takes neither 16-bit integers nor unsigned ones above 8 bits, nor narrow types");
  return MakeKernel(params, &CheckCast, &Run);
}

}  // namespace

extern const KernelDef cast_cpu = {.id = "cast_cpu.1", .op = "Cast", .bind = &Bind};

}  // namespace fusee::ops
