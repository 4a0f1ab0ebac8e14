// The unary operators as plain functions of a double, for the reference kernels. Each struct is one
// operator: its name, its types, its attributes, and its value; integers are computed exactly where
// the operator takes them.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

#include "ops/pointwise/type_set.h"
#include "ops/pointwise/unary_attrs.h"
#include "tensor/attrs.h"
#include "tensor/math.h"

namespace fusee::ops::pointwise {

// sqrt, floor, ceil and nearbyint are exact in IEEE arithmetic, so std:: is no dependence on a C
// library.
#define FUSEE_UNARY(Name, kSet, expression)                                                 \
  struct Name##Function {                                                                   \
    static constexpr std::string_view kName = #Name;                                        \
    static constexpr TypeSet kTypes = kSet;                                                 \
    static double Of(double x, [[maybe_unused]] const UnaryAttrs& a) { return expression; } \
  };

inline double SoftplusOf(double x) {
  // log(1 + e^x) without overflow.
  return (x > 0 ? x : 0) + math::Log1p(math::Exp(x > 0 ? -x : x));
}
inline double SigmoidOf(double x) {
  const double e = math::Exp(x < 0 ? x : -x);
  return (x < 0 ? e : 1) / (1 + e);
}
inline double GeluOf(double x, bool tanh) {
  constexpr double kSqrtHalf = 0.7071067811865476;
  constexpr double kSqrtTwoOverPi = 0.7978845608028654;
  if (!tanh) return 0.5 * x * (1 + math::Erf(x * kSqrtHalf));
  return 0.5 * x * (1 + math::Tanh(kSqrtTwoOverPi * (x + 0.044715 * x * x * x)));
}
inline double HardSigmoidOf(double x, double alpha, double beta) {
  const double y = alpha * x + beta;
  return y < 0 ? 0 : (y > 1 ? 1 : y);
}
inline double AsinhOf(double x) {
  const double m = std::abs(x);
  // For large m the square would overflow; below, log1p keeps small results exact.
  const double y = m > 0x1p28 ? math::Log(m) + 0.6931471805599453
                              : math::Log1p(m + m * m / (1 + std::sqrt(m * m + 1)));
  return std::copysign(y, x);
}
inline double AcoshOf(double x) {
  if (x > 0x1p28) return math::Log(x) + 0.6931471805599453;
  const double t = x - 1;
  return x < 1 ? std::numeric_limits<double>::quiet_NaN()
               : math::Log1p(t + std::sqrt(2 * t + t * t));
}
inline double CoshOf(double x) {
  // e^|x| overflows before the result does.
  const double half = math::Exp(0.5 * std::abs(x));
  return std::abs(x) > 700 ? 0.5 * half * half : 0.5 * (math::Exp(x) + math::Exp(-x));
}
inline double SinhOf(double x) {
  const double m = std::abs(x);
  const double half = math::Exp(0.5 * m);
  const double e = math::Expm1(m);
  return std::copysign(m > 700 ? 0.5 * half * half : 0.5 * (e + e / (e + 1)), x);
}

FUSEE_UNARY(Exp, kFloats, math::Exp(x))
FUSEE_UNARY(Log, kFloats, math::Log(x))
FUSEE_UNARY(Sqrt, kFloats, std::sqrt(x))
FUSEE_UNARY(Reciprocal, kFloats, 1 / x)
FUSEE_UNARY(Erf, kFloats, math::Erf(x))
FUSEE_UNARY(Sin, kFloats, math::Sin(x))
FUSEE_UNARY(Cos, kFloats, math::Cos(x))
FUSEE_UNARY(Tan, kFloats, math::Sin(x) / math::Cos(x))
FUSEE_UNARY(Sinh, kFloats, SinhOf(x))
FUSEE_UNARY(Cosh, kFloats, CoshOf(x))
FUSEE_UNARY(Tanh, kFloats, math::Tanh(x))
FUSEE_UNARY(Asin, kFloats, math::Atan(x / std::sqrt((1 - x) * (1 + x))))
FUSEE_UNARY(Acos, kFloats, 2 * math::Atan(std::sqrt((1 - x) / (1 + x))))
FUSEE_UNARY(Atan, kFloats, math::Atan(x))
FUSEE_UNARY(Asinh, kFloats, AsinhOf(x))
FUSEE_UNARY(Acosh, kFloats, AcoshOf(x))
FUSEE_UNARY(Atanh, kFloats, 0.5 * (math::Log1p(x) - math::Log1p(-x)))
FUSEE_UNARY(Floor, kFloats, std::floor(x))
FUSEE_UNARY(Ceil, kFloats, std::ceil(x))
FUSEE_UNARY(Round, kFloats, std::nearbyint(x))
FUSEE_UNARY(Sigmoid, kFloats, SigmoidOf(x))
FUSEE_UNARY(HardSigmoid, kFloats, HardSigmoidOf(x, a.alpha, a.beta))
FUSEE_UNARY(HardSwish, kFloats, x* HardSigmoidOf(x, 1.0 / 6, 0.5))
FUSEE_UNARY(Swish, kFloats, x* SigmoidOf(a.alpha* x))
FUSEE_UNARY(Mish, kFloats, x* math::Tanh(SoftplusOf(x)))
FUSEE_UNARY(Gelu, kFloats, GeluOf(x, a.tanh))
FUSEE_UNARY(LeakyRelu, kFloats, x < 0 ? a.alpha * x : x)
FUSEE_UNARY(ThresholdedRelu, kFloats, x <= a.alpha ? 0 : x)
FUSEE_UNARY(Elu, kFloats, x < 0 ? a.alpha * math::Expm1(x) : x)
FUSEE_UNARY(Celu, kFloats, x < 0 ? a.alpha * math::Expm1(x / a.alpha) : x)
FUSEE_UNARY(Selu, kFloats, a.beta*(x <= 0 ? a.alpha * math::Expm1(x) : x))
FUSEE_UNARY(Softplus, kFloats, SoftplusOf(x))
FUSEE_UNARY(Shrink, kFloats, x < -a.alpha ? x + a.beta : (x > a.alpha ? x - a.beta : 0))
FUSEE_UNARY(Softsign, kFloats, x / (1 + std::abs(x)))
#undef FUSEE_UNARY

// Those that take integers too. Negation through unsigned arithmetic, which wraps.
struct NegFunction {
  static constexpr std::string_view kName = "Neg";
  static constexpr TypeSet kTypes = kFloats | kSignedInts;
  static double Of(double x, const UnaryAttrs&) { return -x; }
  static int64_t Of(int64_t x, const UnaryAttrs&) {
    return static_cast<int64_t>(0 - static_cast<uint64_t>(x));
  }
};
struct AbsFunction {
  static constexpr std::string_view kName = "Abs";
  static constexpr TypeSet kTypes = kNumbers;
  static double Of(double x, const UnaryAttrs&) { return std::abs(x); }
  static int64_t Of(int64_t x, const UnaryAttrs& a) { return x < 0 ? NegFunction::Of(x, a) : x; }
  static uint64_t Of(uint64_t x, const UnaryAttrs&) { return x; }
};
struct SignFunction {
  static constexpr std::string_view kName = "Sign";
  static constexpr TypeSet kTypes = kNumbers;
  static double Of(double x, const UnaryAttrs&) { return x > 0 ? 1 : (x < 0 ? -1 : x); }
  static int64_t Of(int64_t x, const UnaryAttrs&) { return (x > 0) - (x < 0); }
  static uint64_t Of(uint64_t x, const UnaryAttrs&) { return x != 0; }
};
struct ReluFunction {
  static constexpr std::string_view kName = "Relu";
  static constexpr TypeSet kTypes = kFloats | kSignedInts;
  static double Of(double x, const UnaryAttrs&) { return x < 0 ? 0 : x; }
  static int64_t Of(int64_t x, const UnaryAttrs&) { return x < 0 ? 0 : x; }
};
struct NotFunction {
  static constexpr std::string_view kName = "Not";
  static constexpr TypeSet kTypes = kBool;
  static bool Of(bool x, const UnaryAttrs&) { return !x; }
};
struct BitwiseNotFunction {
  static constexpr std::string_view kName = "BitwiseNot";
  static constexpr TypeSet kTypes = kInts;
  static int64_t Of(int64_t x, const UnaryAttrs&) { return ~x; }
  static uint64_t Of(uint64_t x, const UnaryAttrs&) { return ~x; }
};

}  // namespace fusee::ops::pointwise
