#include <limits>

#include "ops/pointwise/binary_functions.h"

namespace fusee::ops::pointwise {
namespace {

constexpr uint64_t kMantissaMask = (1ull << 52) - 1;

// x = mantissa 2^exponent with an integer mantissa below 2^53. Precondition: x finite, not zero.
struct Parts {
  uint64_t mantissa;
  int exponent;
};
Parts Decompose(uint64_t magnitude) {
  const int biased = static_cast<int>(magnitude >> 52);
  if (biased == 0) return {magnitude, -1074};
  return {(magnitude & kMantissaMask) | (1ull << 52), biased - 1075};
}

}  // namespace

double FloatMod(double a, double b) {
  const uint64_t sign = std::bit_cast<uint64_t>(a) & (1ull << 63);
  const uint64_t ma = std::bit_cast<uint64_t>(a) & ~(1ull << 63);
  const uint64_t mb = std::bit_cast<uint64_t>(b) & ~(1ull << 63);
  constexpr uint64_t kInfinityBits = 0x7ffull << 52;
  if (ma >= kInfinityBits || mb > kInfinityBits || mb == 0)
    return std::numeric_limits<double>::quiet_NaN();
  if (ma < mb) return a;
  const Parts x = Decompose(ma);
  const Parts y = Decompose(mb);
  uint64_t rest = x.mantissa % y.mantissa;
  for (int left = x.exponent - y.exponent; left > 0;) {
    const int step = left < 11 ? left : 11;  // the remainder has 53 bits
    rest = (rest << step) % y.mantissa;
    left -= step;
  }
  if (rest == 0) return std::bit_cast<double>(sign);
  // rest 2^y.exponent, normalised; a subnormal result keeps its bits where the exponent field ends.
  const int shift = std::countl_zero(rest) - 11;
  const int biased = y.exponent + 1075 - shift;
  const uint64_t bits =
      biased > 0 ? (static_cast<uint64_t>(biased) << 52) | ((rest << shift) & kMantissaMask)
                 : rest << (shift + biased - 1);
  return std::bit_cast<double>(sign | bits);
}

}  // namespace fusee::ops::pointwise
