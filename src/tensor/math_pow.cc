// x^y = exp(y log x). y multiplies the error of the logarithm by up to 745, so the logarithm is
// computed to about 2^-66 as a sum of two doubles.
#include "tensor/math.h"
#include "tensor/math_internal.h"

namespace fusee::math {

using namespace internal;  // NOLINT: the same room's helpers

namespace {

bool IsInteger(double y) {
  const double magnitude = Magnitude(y);
  return magnitude >= 0x1p52 || static_cast<double>(static_cast<int64_t>(magnitude)) == magnitude;
}
// Every double of 2^53 and above is even.
bool IsOddInteger(double y) {
  const double magnitude = Magnitude(y);
  return magnitude < 0x1p53 && IsInteger(y) && (static_cast<int64_t>(magnitude) & 1) != 0;
}

// log x for positive finite x.
Double2 LogWide(double x) {
  const Split split = SplitAroundOne(x);
  const double f = split.mantissa - 1;
  const Double2 denominator = TwoSum(split.mantissa, 1);
  const double quotient = f / denominator.high;
  const Double2 back = TwoProduct(quotient, denominator.high);
  const double remainder = ((f - back.high) - back.low) - quotient * denominator.low;
  const Double2 s = TwoSum(quotient, remainder / denominator.high);
  const Double2 z = Multiply(s, s);

  const Double2 tail = TwoSum(kLogTail[0], z.high * Horner(kLogTail, z.high, 1) + kLogTailFirstLow);
  const Double2 correction = Multiply(Multiply(s, z), tail);
  const double e = split.exponent;
  const Double2 a = TwoSum(e * kLn2High, 2 * s.high);
  const Double2 b = TwoSum(a.high, correction.high);
  return TwoSum(b.high, a.low + b.low + (2 * s.low + correction.low + e * kLn2Low));
}

}  // namespace

double Pow(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (IsNaN(x) || IsNaN(y)) return kNaN;
  const double magnitude = Magnitude(x);
  if (IsInf(y)) {
    if (magnitude == 1) return 1;
    return (magnitude > 1) == (y > 0) ? kInfinity : 0;
  }
  const double sign = SignBit(x) && IsOddInteger(y) ? -1 : 1;
  if (magnitude == 0 || magnitude == kInfinity) {
    return sign * ((magnitude == 0) == (y < 0) ? kInfinity : 0);
  }
  if (x < 0 && !IsInteger(y)) return kNaN;
  if (y == 1) return x;
  if (y == 2) return x * x;
  if (y == -1) return 1 / x;
  if (magnitude == 1) return sign;
  // Beyond these the result is 0, 1 or infinity whatever x is, and TwoProduct would overflow or
  // underflow.
  if (Magnitude(y) > 0x1p65) return sign * ((magnitude > 1) == (y > 0) ? kInfinity : 0);
  if (Magnitude(y) < 0x1p-65) return 1;
  const Double2 log = LogWide(magnitude);
  const Double2 product = TwoProduct(y, log.high);
  return sign * ExpOfSum(product.high, product.low + y * log.low);
}

}  // namespace fusee::math
