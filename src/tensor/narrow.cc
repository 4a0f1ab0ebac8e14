#include "tensor/narrow.h"

#include <array>
#include <bit>
#include <limits>

#include "base/status.h"

namespace fusee {
namespace {

// What the signed floating-point types differ in. Codes are without the sign bit.
struct Format {
  int bits;
  int mantissa;
  int bias;
  uint8_t max;         // the largest finite number
  uint8_t infinity;    // 0: none
  uint8_t nan;         // 0: none of this kind
  bool negative_zero;  // false: that code is the only NaN
};
constexpr Format kE4M3FN = {8, 3, 7, 0x7e, 0, 0x7f, true};
constexpr Format kE4M3FNUZ = {8, 3, 8, 0x7f, 0, 0, false};
constexpr Format kE5M2 = {8, 2, 15, 0x7b, 0x7c, 0x7f, true};
constexpr Format kE5M2FNUZ = {8, 2, 16, 0x7f, 0, 0, false};
constexpr Format kE2M1 = {4, 1, 1, 0x7, 0, 0, true};

constexpr uint8_t kNegativeZero8 = 0x80;
constexpr uint8_t kE8M0NaN = 0xff;
constexpr int kE8M0Max = 0xfe;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
using Values = std::array<float, 256>;

constexpr float PowerOfTwo(int exponent) {
  return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
}

constexpr float Decode(const Format& f, unsigned byte) {
  const unsigned code = byte & ((1u << f.bits) - 1);
  const unsigned sign_bit = 1u << (f.bits - 1);
  const unsigned magnitude = code & (sign_bit - 1);
  if (!f.negative_zero && code == sign_bit) return kNaN;
  float value = kNaN;
  if (magnitude <= f.max) {
    const int exponent = static_cast<int>(magnitude >> f.mantissa);
    const unsigned hidden = exponent == 0 ? 0 : 1u << f.mantissa;
    const unsigned fraction = (magnitude & ((1u << f.mantissa) - 1)) | hidden;
    value = static_cast<float>(fraction) *
            PowerOfTwo((exponent == 0 ? 1 : exponent) - f.bias - f.mantissa);
  } else if (f.infinity != 0 && magnitude == f.infinity) {
    value = std::numeric_limits<float>::infinity();
  }
  return (code & sign_bit) != 0 ? -value : value;
}

constexpr Values Table(const Format& format) {
  Values values{};
  for (unsigned i = 0; i < 256; ++i) values[i] = Decode(format, i);
  return values;
}

constexpr int64_t SignExtend(unsigned byte, int bits) {
  const int64_t code = byte & ((1u << bits) - 1);
  return (code & (int64_t{1} << (bits - 1))) != 0 ? code - (int64_t{1} << bits) : code;
}

constexpr Values IntegerTable(int bits, bool is_signed) {
  Values values{};
  for (unsigned i = 0; i < 256; ++i) {
    values[i] = static_cast<float>(is_signed ? SignExtend(i, bits)
                                             : static_cast<int64_t>(i & ((1u << bits) - 1)));
  }
  return values;
}

constexpr Values E8M0Table() {
  Values values{};
  values[0] = std::bit_cast<float>(0x00400000u);  // 2^-127, which float has as a subnormal
  for (int i = 1; i < kE8M0NaN; ++i) values[static_cast<size_t>(i)] = PowerOfTwo(i - 127);
  values[kE8M0NaN] = kNaN;
  return values;
}

constexpr Values kE4M3FNValues = Table(kE4M3FN), kE4M3FNUZValues = Table(kE4M3FNUZ),
                 kE5M2Values = Table(kE5M2), kE5M2FNUZValues = Table(kE5M2FNUZ),
                 kE2M1Values = Table(kE2M1), kE8M0Values = E8M0Table(),
                 kU4Values = IntegerTable(4, false), kI4Values = IntegerTable(4, true),
                 kU2Values = IntegerTable(2, false), kI2Values = IntegerTable(2, true);

constexpr int kDoubleMantissa = 52;
constexpr int kDoubleBias = 1023;
constexpr uint64_t kHidden = uint64_t{1} << kDoubleMantissa;

uint8_t Encode(const Format& f, double value, bool saturate) {
  const auto bits = std::bit_cast<uint64_t>(value);
  const unsigned sign = (bits >> 63) != 0 ? 1u << (f.bits - 1) : 0;
  const uint64_t magnitude = bits & ~(uint64_t{1} << 63);
  const int exponent = static_cast<int>(magnitude >> kDoubleMantissa) - kDoubleBias;
  if (value != value) {
    if (!f.negative_zero) return kNegativeZero8;
    return static_cast<uint8_t>(f.nan != 0 ? sign | f.nan : 0);
  }
  // The target's number is mantissa * 2^(unit); below its normal numbers the unit stays.
  const int lowest = 1 - f.bias;
  const int scale = exponent > lowest ? exponent : lowest;
  const int shift = kDoubleMantissa - f.mantissa + (scale - exponent);
  unsigned code = f.max + 1u;  // anything above
  if (exponent <= f.bias + 16) {
    // Beyond 53 all bits lie below half a unit (and a double's own subnormals far below).
    uint64_t rounded = 0;
    if (shift <= kDoubleMantissa + 1) {
      const uint64_t mantissa = (magnitude & (kHidden - 1)) | kHidden;
      rounded = mantissa >> shift;
      const uint64_t rest = mantissa & ((uint64_t{1} << shift) - 1);
      const uint64_t tie = uint64_t{1} << (shift - 1);
      if (rest > tie || (rest == tie && (rounded & 1) != 0)) ++rounded;
    }
    // The hidden bit, or a carry into it, counts the exponent up by one.
    code = static_cast<unsigned>(rounded) + (static_cast<unsigned>(scale - lowest) << f.mantissa);
  }
  if (code > f.max) {
    if (saturate || (f.nan == 0 && f.negative_zero)) {
      code = f.max;
    } else if (!f.negative_zero) {
      return kNegativeZero8;
    } else {
      code = f.infinity != 0 ? f.infinity : f.nan;
    }
  }
  if (code == 0 && !f.negative_zero) return 0;
  return static_cast<uint8_t>(sign | code);
}

uint8_t EncodeE8M0(double value, const NarrowRounding& rounding) {
  const uint64_t magnitude = std::bit_cast<uint64_t>(value) & ~(uint64_t{1} << 63);
  if (value != value) return kE8M0NaN;
  int code = static_cast<int>(magnitude >> kDoubleMantissa) - kDoubleBias + 127;
  const uint64_t fraction = magnitude & (kHidden - 1);
  switch (rounding.mode) {
    case NarrowRounding::Mode::kUp: code += fraction != 0 ? 1 : 0; break;
    case NarrowRounding::Mode::kNearest: code += fraction >= kHidden / 2 ? 1 : 0; break;
    case NarrowRounding::Mode::kDown: break;
  }
  const bool infinite =
      magnitude == std::bit_cast<uint64_t>(std::numeric_limits<double>::infinity());
  if (infinite || code > kE8M0Max)
    return rounding.saturate ? static_cast<uint8_t>(kE8M0Max) : kE8M0NaN;
  if (code < 0) return rounding.saturate ? 0 : kE8M0NaN;
  return static_cast<uint8_t>(code);
}

// Truncates; beyond 64 bits it saturates; NaN gives 0.
int64_t Truncate(double value) {
  if (value != value) return 0;
  if (value >= 0x1p63) return INT64_MAX;
  if (value <= -0x1p63) return INT64_MIN;
  return static_cast<int64_t>(value);
}

// To a double whose last bit says whether more followed: rounding it again is rounding once.
double ToOddDouble(uint64_t value) {
  constexpr uint64_t kLow = 0xfff;  // what is left is 52 bits and the one that sums these up
  if (value >> 53 == 0) return static_cast<double>(value);
  return static_cast<double>((value & ~kLow) | ((value & kLow) != 0 ? (kLow + 1) / 2 : 0));
}

}  // namespace

const float* NarrowValues(DType dtype) {
  switch (dtype) {
    case DType::kF8E4M3FN: return kE4M3FNValues.data();
    case DType::kF8E4M3FNUZ: return kE4M3FNUZValues.data();
    case DType::kF8E5M2: return kE5M2Values.data();
    case DType::kF8E5M2FNUZ: return kE5M2FNUZValues.data();
    case DType::kF4E2M1: return kE2M1Values.data();
    case DType::kF8E8M0: return kE8M0Values.data();
    case DType::kU4: return kU4Values.data();
    case DType::kI4: return kI4Values.data();
    case DType::kU2: return kU2Values.data();
    case DType::kI2: return kI2Values.data();
    default: break;
  }
  FUSEE_CHECK(false, "NarrowValues of a type that is not narrow");
  return nullptr;
}

int64_t NarrowToInt(DType dtype, uint8_t byte) {
  switch (dtype) {
    case DType::kU4: return byte & 0xf;
    case DType::kI4: return SignExtend(byte, 4);
    case DType::kU2: return byte & 0x3;
    case DType::kI2: return SignExtend(byte, 2);
    default: break;
  }
  FUSEE_CHECK(false, "NarrowToInt of a type that is no narrow integer");
  return 0;
}

uint8_t DoubleToNarrow(DType dtype, double value, NarrowRounding rounding) {
  switch (dtype) {
    case DType::kF8E4M3FN: return Encode(kE4M3FN, value, rounding.saturate);
    case DType::kF8E4M3FNUZ: return Encode(kE4M3FNUZ, value, rounding.saturate);
    case DType::kF8E5M2: return Encode(kE5M2, value, rounding.saturate);
    case DType::kF8E5M2FNUZ: return Encode(kE5M2FNUZ, value, rounding.saturate);
    case DType::kF4E2M1: return Encode(kE2M1, value, true);
    case DType::kF8E8M0: return EncodeE8M0(value, rounding);
    default: return IntToNarrow(dtype, Truncate(value), rounding);
  }
}

uint8_t IntToNarrow(DType dtype, int64_t value, NarrowRounding rounding) {
  const auto bits = static_cast<uint64_t>(value);
  if (value >= 0 || IsNarrowInt(dtype)) return UintToNarrow(dtype, bits, rounding);
  return DoubleToNarrow(dtype, -ToOddDouble(~bits + 1), rounding);
}

uint8_t UintToNarrow(DType dtype, uint64_t value, NarrowRounding rounding) {
  if (IsNarrowInt(dtype))
    return static_cast<uint8_t>(NarrowToInt(dtype, static_cast<uint8_t>(value)));
  return DoubleToNarrow(dtype, ToOddDouble(value), rounding);
}

}  // namespace fusee
