// Branch-free single-precision functions that a loop over them vectorises. Included by math.h; see
// its contract. Always inlined, so that no copy compiled for one instruction set is called from
// code compiled for another; they use no contraction, so all of them give the same bits.
// Coefficients come from math_coefficients.py.
#pragma once

#include <bit>
#include <cstdint>

#define FUSEE_MATH_INLINE [[gnu::always_inline]] inline

namespace fusee::math {

// |x|, and magnitude with the sign of another number, by bits: exact for NaN and zeros.
FUSEE_MATH_INLINE float AbsF(float x) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0x7fffffffu);
}
FUSEE_MATH_INLINE float WithSignF(float magnitude, float sign) {
  return std::bit_cast<float>((std::bit_cast<uint32_t>(magnitude) & 0x7fffffffu) |
                              (std::bit_cast<uint32_t>(sign) & 0x80000000u));
}

// exp(x); 0 below -104, infinity above 88.73, subnormal results included.
FUSEE_MATH_INLINE float ExpF(float x) {
  constexpr float kMagic = 0x1.8p23f;  // adding it rounds to an integer, ties to even
  x = x > 89.0f ? 89.0f : x;           // written so that NaN passes
  x = x < -105.0f ? -105.0f : x;
  const float shifted = x * 1.44269504f + kMagic;
  const float k = shifted - kMagic;
  const uint32_t n = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kMagic);
  const float r = (x - k * 0.693115234f) - k * 3.19461833e-05f;
  float p = 0.0001989101f;
  p = p * r + 0.00139336672f;
  p = p * r + 0.00833331048f;
  p = p * r + 0.041666463f;
  p = p * r + 0.166666672f;
  p = p * r + 0.5f;
  const float e = 1.0f + (r + r * r * p);
  // 2^n in two steps: one factor alone would overflow before a result does.
  const uint32_t half = static_cast<uint32_t>(static_cast<int32_t>(n) >> 1);
  const float scale_a = std::bit_cast<float>((half + 127u) << 23);
  const float scale_b = std::bit_cast<float>((n - half + 127u) << 23);
  return e * scale_a * scale_b;
}

// log(x); -infinity at 0, NaN below.
FUSEE_MATH_INLINE float LogF(float x) {
  constexpr uint32_t kSqrtHalf = 0x3f3504f3u;
  const bool subnormal = x < 0x1p-126f;
  const float scaled = subnormal ? x * 0x1p23f : x;
  const uint32_t bits = std::bit_cast<uint32_t>(scaled) - kSqrtHalf;
  const float k = static_cast<float>(static_cast<int32_t>(bits) >> 23) - (subnormal ? 23.0f : 0.0f);
  const float f = std::bit_cast<float>((bits & 0x7fffffu) + kSqrtHalf) - 1.0f;
  const float s = f / (2.0f + f);
  const float z = s * s;
  float p = 0.233368114f;
  p = p * z + 0.285505861f;
  p = p * z + 0.400001228f;
  p = p * z + 0.666666687f;
  float y = k * 0.693115234f + (f - (s * (f - z * p) - k * 3.19461833e-05f));
  y = x == 0.0f ? -__builtin_inff() : y;
  y = x < 0.0f ? __builtin_nanf("") : y;
  y = x > 3.40282347e+38f ? x : y;
  return x != x ? x : y;
}

FUSEE_MATH_INLINE float TanhF(float x) {
  const float a = AbsF(x);
  const float z = a * a;
  float p = 0.00229255762f;
  p = p * z - 0.00834378041f;
  p = p * z + 0.021768868f;
  p = p * z - 0.0539592542f;
  p = p * z + 0.133333042f;
  p = p * z - 0.333333343f;
  const float small = a + a * (z * p);
  const float large = 1.0f - 2.0f / (ExpF(a + a) + 1.0f);
  return WithSignF(a < 0.625f ? small : large, x);
}

FUSEE_MATH_INLINE float ErfF(float x) {
  const float a = AbsF(x);
  const float z = a * a;
  float p = 7.87587487e-05f;
  p = p * z - 0.00080168643f;
  p = p * z + 0.00518908724f;
  p = p * z - 0.0268542115f;
  p = p * z + 0.112835944f;
  p = p * z - 0.37612626f;
  p = p * z + 0.128379166f;
  const float small = a + a * p;
  // 1 - exp(-q) with q = -log(erfc(a)); from 4 on the result is 1.
  const float c = a > 4.0f ? 4.0f : a;
  float q = -1.6371514e-06f;
  q = q * c + 4.60580413e-05f;
  q = q * c - 0.00059680565f;
  q = q * c + 0.0047595962f;
  q = q * c - 0.0264211353f;
  q = q * c + 0.110080086f;
  q = q * c + 0.631826043f;
  q = q * c + 1.13023341f;
  q = q * c - 0.00032013806f;
  const float large = 1.0f - ExpF(-q);
  return WithSignF(a < 1.0f ? small : large, x);
}

// 1 / (1 + exp(-x)), without overflow on either side.
FUSEE_MATH_INLINE float SigmoidF(float x) {
  const float e = ExpF(-AbsF(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

}  // namespace fusee::math
