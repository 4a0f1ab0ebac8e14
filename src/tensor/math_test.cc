// Our functions against the C library's long double ones, which carry 11 more bits.
#include "tensor/math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tensor/random.h"

namespace fusee::math {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr uint64_t kSeed = 20240611;
constexpr int kDraws = 200000;

// Distance of got from the exact value in units of the last place of T at it.
template <typename T>
double Ulps(T got, long double want) {
  const T rounded = static_cast<T>(want);
  if (std::isnan(want)) return std::isnan(got) ? 0 : kInf;
  if (std::isinf(rounded)) return got == rounded ? 0 : kInf;
  if (got == rounded) return 0;
  const T magnitude = std::abs(rounded);
  const T next = std::nextafter(magnitude, std::numeric_limits<T>::infinity());
  return static_cast<double>(
      std::abs(static_cast<long double>(got) - want) /
      (static_cast<long double>(next) - static_cast<long double>(magnitude)));
}

double Draw(uint64_t stream, int i, double low, double high) {
  const uint64_t bits = RandomBits(kSeed, stream, static_cast<uint64_t>(i));
  return low + (high - low) * (static_cast<double>(bits >> 11) * 0x1p-53);
}
// Any finite number, exponents evenly spread between the given ones.
double DrawWide(uint64_t stream, int i, int low_exponent, int high_exponent) {
  const double mantissa = Draw(stream, i, 1, 2);
  const double exponent = Draw(stream + 1000, i, low_exponent, high_exponent);
  const double sign =
      (RandomBits(kSeed, stream + 2000, static_cast<uint64_t>(i)) & 1) != 0 ? -1 : 1;
  return sign * std::ldexp(mantissa, static_cast<int>(std::floor(exponent)));
}

template <typename Fn, typename Reference>
void ExpectWithin(const char* name, double limit_ulps, Fn fn, Reference reference, double low,
                  double high, uint64_t stream) {
  double worst = 0;
  double at = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = Draw(stream, i, low, high);
    const double ulps = Ulps<double>(fn(x), reference(static_cast<long double>(x)));
    if (!(ulps <= worst)) {
      worst = ulps;
      at = x;
    }
  }
  EXPECT_LT(worst, limit_ulps) << name << "(" << std::hexfloat << at << ") in [" << low << ", "
                               << high << "], seed " << kSeed << ", got " << fn(at);
}

template <typename Fn, typename Reference>
void ExpectWithinWide(const char* name, double limit_ulps, Fn fn, Reference reference, int low,
                      int high, uint64_t stream) {
  double worst = 0;
  double at = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = DrawWide(stream, i, low, high);
    const double ulps = Ulps<double>(fn(x), reference(static_cast<long double>(x)));
    if (!(ulps <= worst)) {
      worst = ulps;
      at = x;
    }
  }
  EXPECT_LT(worst, limit_ulps) << name << "(" << std::hexfloat << at << "), exponents " << low
                               << " to " << high << ", seed " << kSeed << ", got " << fn(at);
}

// The same for floats: every 61st bit pattern of the whole range, both signs.
template <typename Fn, typename Reference>
void ExpectFloatWithin(const char* name, double limit_ulps, Fn fn, Reference reference) {
  double worst = 0;
  float at = 0;
  for (uint64_t bits = 0; bits <= 0xffffffffu; bits += 6101) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    const double ulps = Ulps<float>(fn(x), reference(static_cast<double>(x)));
    if (!(ulps <= worst)) {
      worst = ulps;
      at = x;
    }
  }
  EXPECT_LT(worst, limit_ulps) << name << "(" << std::hexfloat << at << "), got " << fn(at);
}

TEST(Math, ExpIsWithinTwoUlps) {
  const auto reference = [](long double x) { return expl(x); };
  ExpectWithin("Exp", 1.2, Exp, reference, -1, 1, 1);
  ExpectWithin("Exp", 1.2, Exp, reference, -700, 709.7, 2);
  ExpectWithin("Exp", 2, Exp, reference, -745, -700, 3);
  ExpectWithinWide("Exp", 1.2, Exp, reference, -80, 12, 4);
}

TEST(Math, Expm1IsWithinTwoUlps) {
  const auto reference = [](long double x) { return expm1l(x); };
  ExpectWithin("Expm1", 2, Expm1, reference, -2, 2, 5);
  ExpectWithin("Expm1", 2, Expm1, reference, -50, 710, 6);
  ExpectWithinWide("Expm1", 2, Expm1, reference, -1000, 10, 7);
}

TEST(Math, LogIsWithinTwoUlps) {
  const auto reference = [](long double x) { return logl(x); };
  ExpectWithin("Log", 2, Log, reference, 0.4, 2.5, 8);
  ExpectWithin("Log", 2, Log, reference, 0.99, 1.01, 9);
  ExpectWithinWide(
      "Log", 2, [](double x) { return Log(std::abs(x)); },
      [](long double x) { return logl(fabsl(x)); }, -1074, 1023, 10);
}

TEST(Math, Log1pIsWithinTwoUlps) {
  const auto reference = [](long double x) { return log1pl(x); };
  ExpectWithin("Log1p", 2, Log1p, reference, -0.999, 3, 11);
  ExpectWithinWide(
      "Log1p", 2, [](double x) { return Log1p(std::abs(x)); },
      [](long double x) { return log1pl(fabsl(x)); }, -1000, 1023, 12);
  ExpectWithinWide("Log1p", 2, Log1p, reference, -1000, -1, 13);
}

TEST(Math, ErfIsWithinTwoUlps) {
  const auto reference = [](long double x) { return erfl(x); };
  ExpectWithin("Erf", 2, Erf, reference, -1.5, 1.5, 14);
  ExpectWithin("Erf", 2, Erf, reference, -7, 7, 15);
  ExpectWithinWide("Erf", 2, Erf, reference, -1000, 10, 16);
}

TEST(Math, TanhIsWithinTwoUlps) {
  const auto reference = [](long double x) { return tanhl(x); };
  ExpectWithin("Tanh", 2, Tanh, reference, -1, 1, 17);
  ExpectWithin("Tanh", 2, Tanh, reference, -25, 25, 18);
  ExpectWithinWide("Tanh", 2, Tanh, reference, -1000, 10, 19);
}

TEST(Math, SinAndCosAreWithinTwoUlpsAtAnySize) {
  const auto sine = [](long double x) { return sinl(x); };
  const auto cosine = [](long double x) { return cosl(x); };
  for (const auto& [low, high] :
       {std::pair(-1.0, 1.0), std::pair(-10.0, 10.0), std::pair(-1e6, 1e6)}) {
    ExpectWithin("Sin", 2, Sin, sine, low, high, 20);
    ExpectWithin("Cos", 2, Cos, cosine, low, high, 21);
  }
  ExpectWithinWide("Sin", 2, Sin, sine, -1000, 1023, 22);
  ExpectWithinWide("Cos", 2, Cos, cosine, -1000, 1023, 23);
  // The double closest to a multiple of pi/2 (Muller et al., Handbook of Floating-Point
  // Arithmetic, 11.3).
  const double worst = 0x1.6ac5b262ca1ffp+849;
  EXPECT_LT(Ulps<double>(Cos(worst), cosl(worst)), 2);
  EXPECT_LT(Ulps<double>(Sin(worst), sinl(worst)), 2);
  for (int n = 1; n < 2000; ++n) {
    const double x = n * 1.5707963267948966;
    EXPECT_LT(Ulps<double>(Sin(x), sinl(x)), 2) << n;
    EXPECT_LT(Ulps<double>(Cos(x), cosl(x)), 2) << n;
  }
}

TEST(Math, AtanIsWithinTwoUlps) {
  const auto reference = [](long double x) { return atanl(x); };
  ExpectWithin("Atan", 2, Atan, reference, -1.5, 1.5, 24);
  ExpectWithin("Atan", 2, Atan, reference, -20, 20, 25);
  ExpectWithinWide("Atan", 2, Atan, reference, -1000, 1023, 26);
}

TEST(Math, PowIsWithinTwoUlps) {
  double worst = 0;
  double at_x = 0, at_y = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = i % 2 == 0 ? Draw(30, i, 0, 4) : std::abs(DrawWide(31, i, -1060, 1023));
    const double reach = 740 / std::max(std::abs(std::log(x)), 1e-3);
    const double y = Draw(32, i, -reach, reach);
    const double ulps = Ulps<double>(Pow(x, y), powl(x, y));
    if (!(ulps <= worst)) {
      worst = ulps;
      at_x = x;
      at_y = y;
    }
  }
  EXPECT_LT(worst, 2) << std::hexfloat << at_x << " ^ " << at_y << ", seed " << kSeed;
}

TEST(Math, PowMatchesTheStandardAtSpecialPoints) {
  const std::vector<double> points = {0.0,
                                      -0.0,
                                      1.0,
                                      -1.0,
                                      2.0,
                                      -2.0,
                                      0.5,
                                      -0.5,
                                      3.0,
                                      -3.0,
                                      1e300,
                                      -1e300,
                                      kInf,
                                      -kInf,
                                      kNaN,
                                      0x1p52,
                                      0x1p53,
                                      5e-324,
                                      1e-300,
                                      2.5,
                                      -2.5,
                                      0x1p70,
                                      -0x1p70,
                                      0x1p-70,
                                      0x1.fffffffffffffp-1,
                                      -0x1.fffffffffffffp-1,
                                      0x1.0000000000001p0};
  for (double x : points) {
    for (double y : points) {
      const double got = Pow(x, y);
      const double want = std::pow(x, y);
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(got)) << x << " ^ " << y << ", got " << got;
        continue;
      }
      EXPECT_LE(Ulps<double>(got, powl(x, y)), 1.5)
          << x << " ^ " << y << ", got " << got << ", expected " << want;
      EXPECT_EQ(std::signbit(got), std::signbit(want)) << x << " ^ " << y;
    }
  }
}

TEST(Math, SpecialPointsAreExact) {
  EXPECT_EQ(Exp(0), 1);
  EXPECT_EQ(Exp(-0.0), 1);
  EXPECT_EQ(Exp(kInf), kInf);
  EXPECT_EQ(Exp(-kInf), 0);
  EXPECT_EQ(Exp(710), kInf);
  EXPECT_EQ(Exp(-746), 0);
  EXPECT_EQ(Log(1), 0);
  EXPECT_EQ(Log(0), -kInf);
  EXPECT_EQ(Log(-0.0), -kInf);
  EXPECT_TRUE(std::isnan(Log(-1)));
  EXPECT_EQ(Log(kInf), kInf);
  EXPECT_EQ(Log1p(-1), -kInf);
  EXPECT_TRUE(std::isnan(Log1p(-1.5)));
  EXPECT_EQ(Expm1(-kInf), -1);
  EXPECT_EQ(Expm1(kInf), kInf);
  EXPECT_EQ(Erf(kInf), 1);
  EXPECT_EQ(Erf(-kInf), -1);
  EXPECT_EQ(Tanh(kInf), 1);
  EXPECT_EQ(Tanh(-kInf), -1);
  EXPECT_EQ(Cos(0), 1);
  EXPECT_TRUE(std::isnan(Sin(kInf)));
  EXPECT_TRUE(std::isnan(Cos(-kInf)));
  for (double (*fn)(double) : {Exp, Expm1, Log, Log1p, Erf, Tanh, Sin, Cos, Atan})
    EXPECT_TRUE(std::isnan(fn(kNaN)));
  for (double (*fn)(double) : {Expm1, Log1p, Erf, Tanh, Sin, Atan}) {
    EXPECT_EQ(fn(0.0), 0);
    EXPECT_FALSE(std::signbit(fn(0.0)));
    EXPECT_TRUE(std::signbit(fn(-0.0)));
    EXPECT_TRUE(std::signbit(fn(-1e-310)));
  }
}

TEST(MathFloat, IsWithinTwoUlpsOverTheWholeRange) {
  ExpectFloatWithin(
      "ExpF", 2, [](float x) { return ExpF(x); }, [](double x) { return std::exp(x); });
  ExpectFloatWithin(
      "LogF", 2, [](float x) { return LogF(x); }, [](double x) { return std::log(x); });
  ExpectFloatWithin(
      "TanhF", 2, [](float x) { return TanhF(x); }, [](double x) { return std::tanh(x); });
  ExpectFloatWithin(
      "ErfF", 2, [](float x) { return ErfF(x); }, [](double x) { return std::erf(x); });
  ExpectFloatWithin(
      "SigmoidF", 2, [](float x) { return SigmoidF(x); },
      [](double x) { return 1 / (1 + std::exp(-x)); });
}

TEST(MathFloat, KeepsSignedZerosAndSaturates) {
  EXPECT_TRUE(std::signbit(TanhF(-0.0f)));
  EXPECT_TRUE(std::signbit(ErfF(-0.0f)));
  EXPECT_EQ(ExpF(0.0f), 1.0f);
  EXPECT_EQ(SigmoidF(0.0f), 0.5f);
  EXPECT_EQ(TanhF(100.0f), 1.0f);
  EXPECT_EQ(ErfF(-100.0f), -1.0f);
  EXPECT_EQ(LogF(1.0f), 0.0f);
  EXPECT_EQ(ExpF(-200.0f), 0.0f);
  EXPECT_EQ(ExpF(std::numeric_limits<float>::infinity()), std::numeric_limits<float>::infinity());
  EXPECT_EQ(SigmoidF(-std::numeric_limits<float>::infinity()), 0.0f);
}

}  // namespace
}  // namespace fusee::math
