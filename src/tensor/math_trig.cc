// Sine, cosine and inverse tangent. Arguments of sine and cosine of any size are reduced exactly:
// the window of 2/pi that matters for the exponent is multiplied by the mantissa in integers (Payne
// and Hanek, SIGNUM Newsletter 18 (1983), https://doi.org/10.1145/1057600.1057602).
#include "tensor/math.h"
#include "tensor/math_internal.h"

namespace fusee::math {

using namespace internal;  // NOLINT: the same room's helpers

namespace {

constexpr double kQuarterPi = 0.7853981633974483;
constexpr Double2 kHalfPi = {1.5707963267948966, 6.123233995736766e-17};

// 2/pi in binary, most significant word first, after one word of zeros.
constexpr std::array<uint64_t, 21> kTwoOverPi = {0,
                                                 0xa2f9836e4e441529,
                                                 0xfc2757d1f534ddc0,
                                                 0xdb6295993c439041,
                                                 0xfe5163abdebbc561,
                                                 0xb7246e3a424dd2e0,
                                                 0x06492eea09d1921c,
                                                 0xfe1deb1cb129a73e,
                                                 0xe88235f52ebb4484,
                                                 0xe99c7026b45f7e41,
                                                 0x3991d639835339f4,
                                                 0x9c845f8bbdf9283b,
                                                 0x1ff897ffde05980f,
                                                 0xef2f118b5a0a6d1f,
                                                 0x6d367ecf27cb09b7,
                                                 0x4f463f669e5fea2d,
                                                 0x7527bac7ebe5f17b,
                                                 0x3d0739f78a5292ea,
                                                 0x6bfb5fb11f8d5d08,
                                                 0x56033046fc7b6bab,
                                                 0xf0cfbc209af4361d};
// (sin(r)/r - 1)/r^2 and (cos(r) - 1 + r^2/2)/r^4 in r^2, |r| <= pi/4.
constexpr std::array<double, 8> kSinTail = {-0.16666666666666666,    0.008333333333333333,
                                            -0.00019841269841269839, 2.75573192239811e-06,
                                            -2.5052108382390036e-08, 1.6059042781086055e-10,
                                            -7.646961352094323e-13,  2.7912442433471976e-15};
constexpr std::array<double, 7> kCosTail = {
    0.041666666666666664,  -0.0013888888888888887,  2.4801587301584645e-05, -2.7557319221402824e-07,
    2.087675579108042e-09, -1.1470460887609959e-11, 4.7458719020432915e-14};

// |x| = (quadrant + 4 n) pi/2 + r, |r| <= pi/4.
struct Reduced {
  unsigned quadrant;
  Double2 r;
};

// 64 bits of 2/pi starting at bit `first` of kTwoOverPi.
uint64_t TwoOverPiBits(int first) {
  const auto word = static_cast<size_t>(first / 64);
  const int shift = first % 64;
  if (shift == 0) return kTwoOverPi[word];
  return (kTwoOverPi[word] << shift) | (kTwoOverPi[word + 1] >> (64 - shift));
}

// Precondition: x finite, |x| > pi/4.
Reduced Reduce(double x) {
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  const uint64_t mantissa = (bits & ((1ull << 52) - 1)) | (1ull << 52);
  const int exponent =
      static_cast<int>((bits >> 52) & 0x7ff) - 1075;  // |x| = mantissa 2^exponent, exponent >= -53
  // 192 bits of |x| 2/pi: two before the point (more are whole turns), 190 after it.
  const int first = 64 + exponent - 2;
  uint64_t product[3];  // most significant first
  uint64_t carry = 0;
  for (int i = 2; i >= 0; --i) {
    const unsigned __int128 p =
        static_cast<unsigned __int128>(TwoOverPiBits(first + 64 * i)) * mantissa + carry;
    product[i] = static_cast<uint64_t>(p);
    carry = static_cast<uint64_t>(p >> 64);
  }
  unsigned quadrant = static_cast<unsigned>(product[0] >> 62);
  // The fraction as 128 + 62 bits; above one half it counts down from the next quadrant.
  uint64_t high = (product[0] << 2) | (product[1] >> 62);
  uint64_t low = (product[1] << 2) | (product[2] >> 62);
  uint64_t rest = product[2] << 2;
  const bool negative = (high >> 63) != 0;
  if (negative) {
    ++quadrant;
    rest = ~rest;
    low = ~low;
    high = ~high;
  }
  int shift = 0;
  if (high == 0) {  // no double comes closer to a multiple of pi/2 than 2^-62 or so
    high = low;
    low = rest;
    shift = 64;
  }
  const int zeros = std::countl_zero(high | 1);
  if (zeros > 0) {
    high = (high << zeros) | (low >> (64 - zeros));
    low <<= zeros;
  }
  // Top 52 bits and the next 52 are each exact as doubles.
  const uint64_t next = (high << 52) | (low >> 12);
  const double scale = PowerOfTwo(-(zeros + shift));
  const Double2 fraction = TwoSum(static_cast<double>(high >> 12) * 0x1p-52 * scale,
                                  static_cast<double>(next >> 12) * 0x1p-104 * scale);
  Double2 r = Multiply(fraction, kHalfPi);
  if (negative) r = {-r.high, -r.low};
  return {quadrant & 3, r};
}

double SinKernel(Double2 r) {
  const double z = r.high * r.high;
  return r.high + (r.low + r.high * (z * Horner(kSinTail, z)));
}

double CosKernel(Double2 r) {
  const double z = r.high * r.high;
  const double half = 0.5 * z;
  const double head = 1 - half;
  return head + ((1 - head - half) + (z * z * Horner(kCosTail, z) - r.high * r.low));
}

}  // namespace

double Sin(double x) {
  if (IsNaN(x) || IsInf(x)) return kNaN;
  if (Magnitude(x) <= kQuarterPi) return Magnitude(x) < 0x1p-27 ? x : SinKernel({x, 0});
  const Reduced reduced = Reduce(x);
  const double value = reduced.quadrant % 2 == 0 ? SinKernel(reduced.r) : CosKernel(reduced.r);
  return (reduced.quadrant >= 2) != SignBit(x) ? -value : value;
}

double Cos(double x) {
  if (IsNaN(x) || IsInf(x)) return kNaN;
  if (Magnitude(x) <= kQuarterPi) return CosKernel({x, 0});
  const Reduced reduced = Reduce(x);
  const double value = reduced.quadrant % 2 == 0 ? CosKernel(reduced.r) : SinKernel(reduced.r);
  return reduced.quadrant == 1 || reduced.quadrant == 2 ? -value : value;
}

// atan(t) = atan(c) + atan((t - c) / (1 + t c)) with c the nearest of 0, 1/4, 1/2, 3/4, 1, so that
// the series' argument stays below 1/7. Above 1 the complement is used, in the same quotient.
double Atan(double x) {
  constexpr std::array<Double2, 5> kAtan = {{{0, 0},
                                             {0.24497866312686414, 1.0698755618734451e-17},
                                             {0.4636476090008061, 2.2698777452961687e-17},
                                             {0.6435011087932844, 1.5834785051444286e-17},
                                             {0.7853981633974483, 3.061616997868383e-17}}};
  if (IsNaN(x)) return x;
  const double magnitude = Magnitude(x);
  if (magnitude < 0x1p-27) return x;  // keeps -0
  if (magnitude > 0x1p60) return WithSignOf(kHalfPi.high, x);
  const bool inverted = magnitude > 1;
  const double t = inverted ? 1 / magnitude : magnitude;
  const auto i = static_cast<size_t>(t * 4 + 0.5);
  const double c = 0.25 * static_cast<double>(i);
  const double u = inverted ? (1 - c * magnitude) / (magnitude + c) : (t - c) / (1 + t * c);
  const double z = u * u;
  const double tail =
      z *
      (-1.0 / 3 +
       z * (1.0 / 5 +
            z * (-1.0 / 7 +
                 z * (1.0 / 9 +
                      z * (-1.0 / 11 +
                           z * (1.0 / 13 + z * (-1.0 / 15 + z * (1.0 / 17 + z * (-1.0 / 19)))))))));
  const double low = kAtan[i].low + u * tail;
  if (!inverted) return WithSignOf(kAtan[i].high + (low + u), x);
  const Double2 base = TwoSum(kHalfPi.high, -kAtan[i].high);
  return WithSignOf(base.high - (u + (low - kHalfPi.low - base.low)), x);
}

}  // namespace fusee::math
