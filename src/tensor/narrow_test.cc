// The conversions against a slow definition of the formats, written out here anew: every code's
// value from its fields, and the nearest code by looking at all of them.
#include "tensor/narrow.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "tensor/compare.h"
#include "tensor/packed.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

namespace fusee {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr uint64_t kSeed = 77;

struct Slow {
  DType dtype;
  int bits, exponent_bits, bias;
  std::vector<int> nans;
  std::vector<int> infinities;
  bool finite_only = false;  // neither NaN nor infinity: always saturates

  int mantissa_bits() const { return bits - 1 - exponent_bits; }
  bool Is(const std::vector<int>& list, int code) const {
    return std::find(list.begin(), list.end(), code) != list.end();
  }
  double Value(int code) const {
    if (Is(nans, code)) return kNaN;
    const int sign = code >> (bits - 1);
    if (Is(infinities, code)) return sign ? -kInf : kInf;
    const int exponent = (code >> mantissa_bits()) & ((1 << exponent_bits) - 1);
    const double fraction = std::ldexp(code & ((1 << mantissa_bits()) - 1), -mantissa_bits());
    const double magnitude =
        exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
    return sign ? -magnitude : magnitude;
  }
  // The nearest number, of two the one with an even code, as if the exponents went on for one more
  // step; nullopt: beyond the largest. Of magnitudes.
  std::optional<int> Nearest(double magnitude) const {
    int best = 0;
    double distance = kInf;
    int largest = 0;
    for (int code = 0; code < 1 << (bits - 1); ++code) {
      const double value = Value(code);
      if (!std::isfinite(value)) continue;
      largest = code;
      const double d = std::abs(value - magnitude);
      if (d < distance || (d == distance && code % 2 == 0)) best = code, distance = d;
    }
    // What would be the next number after the largest.
    const double step = Value(largest) - Value(largest - 1);
    const double beyond = Value(largest) + step - magnitude;
    if (beyond < distance || (beyond == distance && largest % 2 != 0)) return std::nullopt;
    return best;
  }
};

const std::vector<Slow>& Formats() {
  static const auto* const formats = new std::vector<Slow>{
      {DType::kF8E4M3FN, 8, 4, 7, {0x7f, 0xff}, {}},
      {DType::kF8E4M3FNUZ, 8, 4, 8, {0x80}, {}},
      {DType::kF8E5M2, 8, 5, 15, {0x7d, 0x7e, 0x7f, 0xfd, 0xfe, 0xff}, {0x7c, 0xfc}},
      {DType::kF8E5M2FNUZ, 8, 5, 16, {0x80}, {}},
      {DType::kF4E2M1, 4, 2, 1, {}, {}, true},
  };
  return *formats;
}

bool Same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

TEST(Narrow, EveryCodeHasItsValue) {
  for (const Slow& f : Formats()) {
    for (int byte = 0; byte < 256; ++byte) {
      const double want = f.Value(byte & ((1 << f.bits) - 1));
      EXPECT_TRUE(Same(NarrowToFloat(f.dtype, static_cast<uint8_t>(byte)), want))
          << DTypeName(f.dtype) << " " << byte << ": " << want;
    }
  }
  for (int byte = 0; byte < 255; ++byte)
    EXPECT_EQ(NarrowToFloat(DType::kF8E8M0, static_cast<uint8_t>(byte)), std::ldexp(1, byte - 127));
  EXPECT_TRUE(std::isnan(NarrowToFloat(DType::kF8E8M0, 255)));
}

TEST(Narrow, LargestNumbersAreTheStandards) {
  const std::pair<DType, double> largest[] = {{DType::kF8E4M3FN, 448}, {DType::kF8E4M3FNUZ, 240},
                                              {DType::kF8E5M2, 57344}, {DType::kF8E5M2FNUZ, 57344},
                                              {DType::kF4E2M1, 6},     {DType::kF8E8M0, 0x1p127}};
  for (const auto& [dtype, value] : largest) {
    EXPECT_EQ(NarrowToFloat(dtype, DoubleToNarrow(dtype, kInf)), value) << DTypeName(dtype);
    EXPECT_EQ(NarrowToFloat(dtype, DoubleToNarrow(dtype, 1e300)), value) << DTypeName(dtype);
  }
}

TEST(Narrow, EveryCodeReadsBack) {
  for (const Slow& f : Formats()) {
    for (int code = 0; code < 1 << f.bits; ++code) {
      const double value = f.Value(code);
      if (std::isnan(value)) {
        EXPECT_TRUE(std::isnan(NarrowToFloat(f.dtype, DoubleToNarrow(f.dtype, value))));
      } else {
        EXPECT_EQ(DoubleToNarrow(f.dtype, value, {.saturate = std::isfinite(value)}), code)
            << DTypeName(f.dtype);
      }
    }
  }
  for (const auto mode :
       {NarrowRounding::Mode::kUp, NarrowRounding::Mode::kDown, NarrowRounding::Mode::kNearest}) {
    for (int code = 0; code < 255; ++code) {
      EXPECT_EQ(DoubleToNarrow(DType::kF8E8M0, std::ldexp(1, code - 127),
                               {.saturate = false, .mode = mode}),
                code);
    }
  }
}

void ExpectRounded(const Slow& f, double x) {
  const bool negative = std::signbit(x);
  for (const bool saturate : {true, false}) {
    const std::optional<int> nearest = std::isinf(x) ? std::nullopt : f.Nearest(std::abs(x));
    double want = 0;
    if (nearest) {
      want = f.Value(*nearest);
    } else if (saturate || f.finite_only) {
      want = f.Value(*f.Nearest(0));
      for (int code = 0; code < 1 << (f.bits - 1); ++code) {
        if (std::isfinite(f.Value(code))) want = std::max(want, f.Value(code));
      }
    } else {
      want = f.infinities.empty() ? kNaN : kInf;
    }
    const bool has_negative_zero = !f.Is(f.nans, 1 << (f.bits - 1));
    if (negative && (want != 0 || has_negative_zero)) want = -want;
    const double got = NarrowToFloat(f.dtype, DoubleToNarrow(f.dtype, x, {.saturate = saturate}));
    ASSERT_TRUE(Same(got, want)) << DTypeName(f.dtype) << " of " << std::hexfloat << x
                                 << (saturate ? " saturating" : "") << ": " << got << ", expected "
                                 << want;
  }
}

TEST(Narrow, RoundsToTheNearestAtAndAroundEveryTie) {
  for (const Slow& f : Formats()) {
    std::vector<double> numbers;
    for (int code = 0; code < 1 << (f.bits - 1); ++code) {
      if (std::isfinite(f.Value(code))) numbers.push_back(f.Value(code));
    }
    numbers.push_back(2 * numbers.back() - numbers[numbers.size() - 2]);
    for (size_t i = 0; i + 1 < numbers.size(); ++i) {
      const double tie = (numbers[i] + numbers[i + 1]) / 2;
      for (const double x :
           {tie, std::nextafter(tie, 0), std::nextafter(tie, kInf), numbers[i + 1]}) {
        ExpectRounded(f, x);
        ExpectRounded(f, -x);
      }
    }
  }
}

TEST(Narrow, RoundsAnyNumber) {
  for (const Slow& f : Formats()) {
    for (uint64_t i = 0; i < 4000; ++i) {
      const double u = RandomUniform(kSeed, 0, i) * 2 - 1;
      ExpectRounded(f, std::ldexp(u, static_cast<int>(RandomBits(kSeed, 1, i) % 60) - 30));
    }
    for (const double x : {0.0, -0.0, kInf, -kInf, 1e308, -1e-308, 5e-324, -5e-324,
                           std::numeric_limits<double>::max()}) {
      ExpectRounded(f, x);
    }
  }
}

TEST(Narrow, KeepsTheSignOfNaNWhereThereAreTwo) {
  EXPECT_EQ(DoubleToNarrow(DType::kF8E4M3FN, kNaN), 0x7f);
  EXPECT_EQ(DoubleToNarrow(DType::kF8E4M3FN, std::copysign(kNaN, -1)), 0xff);
  EXPECT_EQ(DoubleToNarrow(DType::kF8E4M3FNUZ, std::copysign(kNaN, -1)), 0x80);
  EXPECT_TRUE(std::isnan(NarrowToFloat(DType::kF8E5M2, DoubleToNarrow(DType::kF8E5M2, kNaN))));
  EXPECT_EQ(DoubleToNarrow(DType::kF8E8M0, kNaN), 0xff);
  EXPECT_EQ(DoubleToNarrow(DType::kF4E2M1, kNaN), 0) << "it has none";
  EXPECT_EQ(DoubleToNarrow(DType::kI4, kNaN), 0);
}

TEST(Narrow, RoundsPowersOfTwoAsTold) {
  using Mode = NarrowRounding::Mode;
  const auto code = [](double x, Mode mode, bool saturate = true) {
    return static_cast<int>(DoubleToNarrow(DType::kF8E8M0, x, {saturate, mode}));
  };
  EXPECT_EQ(code(1.1, Mode::kUp), 128);
  EXPECT_EQ(code(1.9, Mode::kDown), 127);
  EXPECT_EQ(code(1.5, Mode::kNearest), 128) << "a tie goes up";
  EXPECT_EQ(code(std::nextafter(1.5, 0), Mode::kNearest), 127);
  EXPECT_EQ(code(std::nextafter(1, 2), Mode::kUp), 128);
  // ONNX's table of what lies out of range.
  for (const Mode mode : {Mode::kUp, Mode::kDown, Mode::kNearest}) {
    for (const double high : {kInf, 1e300, 0x1p128}) {
      EXPECT_EQ(code(high, mode), 254);
      EXPECT_EQ(code(high, mode, false), 255);
    }
    for (const double low : {0.0, 1e-300, 0x1p-129, 5e-324}) {
      EXPECT_EQ(code(low, mode), 0);
      EXPECT_EQ(code(0, mode, false), 255);
    }
  }
  EXPECT_EQ(code(1.25 * 0x1p127, Mode::kUp, false), 255);
  EXPECT_EQ(code(1.25 * 0x1p127, Mode::kNearest, false), 254);
  EXPECT_EQ(code(1.5 * 0x1p-128, Mode::kUp, false), 0);
  EXPECT_EQ(code(1.5 * 0x1p-128, Mode::kDown, false), 255);
}

TEST(Narrow, IntegersWrapAndTruncate) {
  const struct {
    DType dtype;
    int64_t value, want;
  } cases[] = {{DType::kI4, 7, 7},    {DType::kI4, 8, -8},       {DType::kI4, -9, 7},
               {DType::kU4, 16, 0},   {DType::kU4, -1, 15},      {DType::kI2, 1, 1},
               {DType::kI2, 2, -2},   {DType::kI2, -3, 1},       {DType::kU2, 7, 3},
               {DType::kI4, 200, -8}, {DType::kU2, INT64_MIN, 0}};
  for (const auto& c : cases) {
    const uint8_t byte = IntToNarrow(c.dtype, c.value);
    EXPECT_EQ(NarrowToInt(c.dtype, byte), c.want) << DTypeName(c.dtype) << " " << c.value;
    EXPECT_EQ(NarrowToFloat(c.dtype, byte), static_cast<float>(c.want));
    EXPECT_EQ(static_cast<int8_t>(byte), c.want) << "sign-extended in memory";
    if (c.value != INT64_MIN) {
      EXPECT_EQ(DoubleToNarrow(c.dtype, static_cast<double>(c.value) + (c.value < 0 ? -.5 : .5)),
                byte);
    }
  }
  EXPECT_EQ(NarrowToInt(DType::kI4, 0xa7), 7) << "only the low bits count";
  EXPECT_EQ(NarrowToInt(DType::kU4, 0xf9), 9);
}

TEST(Narrow, LargeIntegersRoundOnce) {
  constexpr int64_t kTwo62 = int64_t{1} << 62;
  EXPECT_EQ(IntToNarrow(DType::kF8E8M0, kTwo62), 127 + 62);
  EXPECT_EQ(IntToNarrow(DType::kF8E8M0, kTwo62 + 1), 127 + 63) << "a double would lose the one";
  EXPECT_EQ(UintToNarrow(DType::kF8E8M0, (uint64_t{1} << 63) + 1), 127 + 64);
  EXPECT_EQ(UintToNarrow(DType::kF8E8M0, UINT64_MAX, {true, NarrowRounding::Mode::kDown}),
            127 + 63);
  EXPECT_EQ(NarrowToFloat(DType::kF8E4M3FN, IntToNarrow(DType::kF8E4M3FN, INT64_MIN)), -448);
  EXPECT_EQ(NarrowToFloat(DType::kF8E5M2, IntToNarrow(DType::kF8E5M2, -3)), -3);
}

constexpr DType kNarrowTypes[] = {
    DType::kF8E4M3FN, DType::kF8E4M3FNUZ, DType::kF8E5M2, DType::kF8E5M2FNUZ, DType::kU4,
    DType::kI4,       DType::kF4E2M1,     DType::kF8E8M0, DType::kU2,         DType::kI2};

TEST(DTypes, NarrowOnesAreKeptApart) {
  for (int number = 0; number < 256; ++number) {
    const auto dtype = DTypeFromOnnx(number);
    const bool narrow = number >= 17 && number <= 26;
    if (!dtype) {
      EXPECT_FALSE(narrow) << number;
      continue;
    }
    EXPECT_EQ(IsNarrow(*dtype), narrow) << number;
    EXPECT_EQ(static_cast<int>(IsFloat(*dtype)) + IsInt(*dtype) + IsNarrowFloat(*dtype) +
                  IsNarrowInt(*dtype) + (*dtype == DType::kBool),
              1)
        << number;
    EXPECT_EQ(ParseDType(DTypeName(*dtype)), dtype);
    EXPECT_EQ(ParseKserveName(KserveName(*dtype)), narrow ? std::nullopt : dtype);
    if (narrow) EXPECT_EQ(BytesPerElement(*dtype), 1);
  }
  EXPECT_FALSE(ParseKserveName("").has_value());
}

TEST(Tensors, ReadAndStoreNarrowElements) {
  for (const DType dtype : kNarrowTypes) {
    TensorView view;
    const Tensor tensor = Tensor::Allocate(dtype, {3}, &view).value();
    StoreInt(view, 0, 1);
    StoreDouble(view, 1, 1);
    EXPECT_EQ(DoubleAt(view, 0), 1) << DTypeName(dtype);
    EXPECT_EQ(DoubleAt(view, 1), 1) << DTypeName(dtype);
    if (IsNarrowInt(dtype)) EXPECT_EQ(IntAt(view, 0), 1);
    EXPECT_EQ(view.size_bytes(), 3);
  }
}

TEST(Compare, HoldsNarrowElementsToBeEqual) {
  const auto one = [](DType dtype, double value) {
    TensorView view;
    Tensor tensor = Tensor::Allocate(dtype, {1}, &view).value();
    StoreDouble(view, 0, value);
    return tensor;
  };
  const auto same = [&](DType dtype, double a, double b) {
    return Compare(one(dtype, a).view(), one(dtype, b).view(), {1, 1}).passed;
  };
  EXPECT_TRUE(same(DType::kF8E5M2, kNaN, kNaN));
  EXPECT_FALSE(same(DType::kF8E5M2, 1, 1.25));
  EXPECT_FALSE(same(DType::kF8E5M2, 1, kNaN));
  EXPECT_TRUE(same(DType::kI4, -8, -8));
  EXPECT_FALSE(same(DType::kI4, -8, -7));
}

TEST(Packed, RoundTripsOddCounts) {
  for (const DType dtype : kNarrowTypes) {
    for (const int64_t n : {0, 1, 2, 3, 4, 5, 7, 8, 9, 33}) {
      TensorView view, again;
      const Tensor tensor = Tensor::Allocate(dtype, {n}, &view).value();
      for (int64_t i = 0; i < n; ++i)
        StoreInt(view, i,
                 static_cast<int64_t>(RandomBits(kSeed, 3, static_cast<uint64_t>(i)) % 16));
      const std::string packed = Pack(view);
      ASSERT_EQ(static_cast<int64_t>(packed.size()), PackedBytes(dtype, n));
      ASSERT_EQ(PackedBytes(dtype, n), (n * PackedBitsPerElement(dtype) + 7) / 8);
      const Tensor back = Tensor::Allocate(dtype, {n}, &again).value();
      Unpack(std::as_bytes(std::span(packed.data(), packed.size())), again);
      if (n > 0)
        EXPECT_EQ(0, std::memcmp(view.data, again.data, static_cast<size_t>(n)))
            << DTypeName(dtype);
    }
  }
}

TEST(Packed, FirstElementLiesLowestAndTheRestIsZero) {
  TensorView view;
  const Tensor nibbles = Tensor::Allocate(DType::kI4, {3}, &view).value();
  for (int64_t i = 0; i < 3; ++i) StoreInt(view, i, std::array{1, -2, -8}[static_cast<size_t>(i)]);
  EXPECT_EQ(Pack(view), std::string("\xe1\x08"));
  const Tensor pairs = Tensor::Allocate(DType::kU2, {5}, &view).value();
  for (int64_t i = 0; i < 5; ++i) StoreInt(view, i, i % 4);
  EXPECT_EQ(Pack(view), std::string("\xe4\x00", 2));
}

}  // namespace
}  // namespace fusee
