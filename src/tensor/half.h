// IEEE binary16 and bfloat16 as storage types: converted to float to compute, rounded to nearest
// even to store. Bit-exact in plain integer code, so that every machine gives the same bits;
// kernels may use F16C, which agrees.
#pragma once

#include <bit>
#include <cstdint>

namespace fusee {

inline float HalfBitsToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  if (mantissa == 0) return std::bit_cast<float>(sign);
  const int shift = std::countl_zero(mantissa) - 21;  // subnormal half: normalise
  mantissa = (mantissa << shift) & 0x3ffu;
  return std::bit_cast<float>(sign | (static_cast<uint32_t>(113 - shift) << 23) | (mantissa << 13));
}

inline uint16_t FloatToHalfBits(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)
    return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));  // NaN
  if (magnitude >= 0x477ff000u)
    return static_cast<uint16_t>(sign | 0x7c00u);  // >= 65520 rounds to infinity
  if (magnitude < 0x33000001u) return sign;        // <= 2^-25 rounds to zero
  uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  const int exponent = static_cast<int>(magnitude >> 23) - 112;
  const int shift = exponent >= 1 ? 13 : 14 - exponent;  // subnormal results lose more bits
  uint32_t result = mantissa >> shift;
  const uint32_t rest = mantissa & ((1u << shift) - 1);
  const uint32_t tie = 1u << (shift - 1);
  if (rest > tie || (rest == tie && (result & 1u))) ++result;
  if (exponent >= 1) result += static_cast<uint32_t>(exponent - 1) << 10;
  return static_cast<uint16_t>(sign | result);
}

inline float Bf16BitsToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline uint16_t FloatToBf16Bits(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u)
    return static_cast<uint16_t>((bits >> 16) | 0x40u);  // keep NaN quiet
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

struct Half {
  uint16_t bits = 0;
  Half() = default;
  explicit Half(float f) : bits(FloatToHalfBits(f)) {}
  explicit operator float() const { return HalfBitsToFloat(bits); }
};

struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float f) : bits(FloatToBf16Bits(f)) {}
  explicit operator float() const { return Bf16BitsToFloat(bits); }
};

// Double to half with a single rounding (through float would round twice).
inline Half HalfFromDouble(double d) {
  // Round-to-odd into float keeps the sticky information, so that the second rounding is exact.
  float f = static_cast<float>(d);
  if (static_cast<double>(f) != d && d == d) {
    const uint32_t b = std::bit_cast<uint32_t>(f);
    const bool away = (static_cast<double>(f) > d) == (d > 0);
    if (!(b & 1u)) f = std::bit_cast<float>(away ? b - 1 : b + 1);
  }
  return Half(f);
}
inline BFloat16 BFloat16FromDouble(double d) {
  float f = static_cast<float>(d);
  if (static_cast<double>(f) != d && d == d) {
    const uint32_t b = std::bit_cast<uint32_t>(f);
    const bool away = (static_cast<double>(f) > d) == (d > 0);
    if (!(b & 1u)) f = std::bit_cast<float>(away ? b - 1 : b + 1);
  }
  return BFloat16(f);
}

}  // namespace fusee
