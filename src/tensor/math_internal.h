// Shared by math.cc, math_pow.cc and math_trig.cc: polynomials, powers of two, and numbers kept as
// an unevaluated sum of two doubles. Coefficients come from math_coefficients.py.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace fusee::math::internal {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// ln 2 in two parts; the first has 40 bits, so that its product with an exponent is exact.
inline constexpr double kLn2High = 0.6931471805592082;
inline constexpr double kLn2Low = 7.371002565167799e-13;
// log((1+s)/(1-s)) = 2s + s z P(z) with z = s^2, |s| <= tan(pi/8)-ish (the mantissa is within
// [sqrt(1/2), sqrt(2))).
inline constexpr std::array<double, 9> kLogTail = {
    0.6666666666666666,  0.3999999999999999,  0.2857142857143563,
    0.22222222219777607, 0.18181818605445013, 0.1538457420874962,
    0.13335678514714808, 0.11687233189552514, 0.11890045085576857};
inline constexpr double kLogTailFirstLow = 3.702176648952615e-17;

template <size_t N>
double Horner(const std::array<double, N>& c, double x, size_t first = 0) {
  double sum = c[N - 1];
  for (size_t i = N - 1; i-- > first;) sum = sum * x + c[i];
  return sum;
}

// 2^k for k in [-1022, 1023].
inline double PowerOfTwo(int k) {
  return std::bit_cast<double>(static_cast<uint64_t>(k + 1023) << 52);
}
// v 2^k for k in [-2044, 2046], rounded once when the result is subnormal.
inline double Scale(double v, int k) { return v * PowerOfTwo(k / 2) * PowerOfTwo(k - k / 2); }

inline bool IsNaN(double x) { return x != x; }
inline bool IsInf(double x) { return x == kInfinity || x == -kInfinity; }
inline double Magnitude(double x) {
  return std::bit_cast<double>(std::bit_cast<uint64_t>(x) & ~(1ull << 63));
}
inline bool SignBit(double x) { return (std::bit_cast<uint64_t>(x) >> 63) != 0; }
inline double WithSignOf(double magnitude, double sign) {
  return SignBit(sign) ? -magnitude : magnitude;
}

// x = mantissa 2^exponent, mantissa in [sqrt(1/2), sqrt(2)). Precondition: x positive and finite.
struct Split {
  double mantissa;
  int exponent;
};
inline Split SplitAroundOne(double x) {
  int exponent = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    exponent = -54;
  }
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  exponent += static_cast<int>(bits >> 52) - 1023;
  double mantissa = std::bit_cast<double>((bits & ((1ull << 52) - 1)) | (1023ull << 52));
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    ++exponent;
  }
  return {mantissa, exponent};
}

// high + low, |low| <= ulp(high)/2.
struct Double2 {
  double high, low;
};
// Exact sum. Knuth, The Art of Computer Programming 2, 4.2.2.
inline Double2 TwoSum(double a, double b) {
  const double sum = a + b;
  const double part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}
// Exact product where nothing over- or underflows. Dekker, Numerische Mathematik 18 (1971),
// https://doi.org/10.1007/BF01397083.
inline Double2 TwoProduct(double a, double b) {
  constexpr double kSplitter = 134217729.0;  // 2^27 + 1
  const double ca = kSplitter * a;
  const double cb = kSplitter * b;
  const double a_high = ca - (ca - a);
  const double b_high = cb - (cb - b);
  const double a_low = a - a_high;
  const double b_low = b - b_high;
  const double product = a * b;
  return {product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low};
}
inline Double2 Multiply(Double2 a, Double2 b) {
  const Double2 p = TwoProduct(a.high, b.high);
  return TwoSum(p.high, p.low + (a.high * b.low + a.low * b.high));
}

// exp(x + extra) for |extra| far below ulp(x): overflow and underflow included, no NaN.
double ExpOfSum(double x, double extra);

}  // namespace fusee::math::internal
