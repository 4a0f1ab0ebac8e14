// The fast tactics of Pow and Cast have the bits of their references.
#include <cstring>

#include "ops/pointwise/pointwise_test_util.h"

namespace fusee::ops::pointwise {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// NaN equals NaN; else every bit, the sign of zero included.
void ExpectSameBits(const Tensor& got, const Tensor& want, const std::string& what) {
  ASSERT_EQ(got.dtype(), want.dtype()) << what;
  ASSERT_EQ(got.elements(), want.elements()) << what;
  const auto bytes = static_cast<size_t>(BytesPerElement(got.dtype()));
  for (int64_t i = 0; i < got.elements(); ++i) {
    const size_t at = static_cast<size_t>(i) * bytes;
    if (std::memcmp(got.bytes().data() + at, want.bytes().data() + at, bytes) == 0) continue;
    const double g = DoubleAt(got.view(), i);
    const double w = DoubleAt(want.view(), i);
    ASSERT_TRUE(std::isnan(g) && std::isnan(w))
        << what << " at " << i << ": got " << g << ", expected " << w << ", seed " << kSeed;
  }
}

// Seeded bit patterns of f32 that are no NaN, after the special values.
Tensor FloatPatterns(int64_t n) {
  const std::vector<double> specials = {
      0.0,     -0.0,           1.0,       -1.0,        kInf,        -kInf,
      kNaN,    0x1p-149,       -0x1p-149, 0x1p-126,    0x1p127,     -0x1p127,
      257,     0x1.fffffep127, 0.5,       0x1p63,      -0x1p63,     0x1p31,
      -0x1p31, 0x1.fffffep30,  65504,     65519.996,   65520,       0x1p-24,
      0x1p-25, 0x1.000002p-25, 0x1.8p-24, 0x1.ffcp-15, 0x1.ffep-15, 300};
  return Make(DType::kF32, {n}, [&](const TensorView& v) {
    for (int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(i);
      if (at < specials.size()) {
        StoreDouble(v, i, specials[at]);
        continue;
      }
      const double u = RandomUniform(kSeed, 1, at);
      const auto bits = static_cast<uint32_t>(u * 0x1p32);
      const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
      v.as<float>()[i] = nan ? static_cast<float>(u) : std::bit_cast<float>(bits);
    }
  });
}

TEST(PowF32, HasTheBitsOfTheReference) {
  for (double exponent : {1.0, 2.0, 3.0, 0.5, -1.0}) {
    for (int64_t n : {0, 1, 7, 8, 9, 30, 16384, 16385, 200000}) {
      const Tensor x = n < 30 ? Random(DType::kF32, {n}, 1, -9, 9) : FloatPatterns(n);
      KernelCall call{.op = "Pow",
                      .inputs = {x, Doubles(DType::kF32, {}, {exponent})},
                      .outputs = {{DType::kF32, {n}}},
                      .constant_inputs = 2};
      const std::string what = "x^" + std::to_string(exponent) + ", n " + std::to_string(n);
      const Tensor got = RunOne("pow_f32_cpu.1", call);
      ExpectSameBits(got, RunOne("pow_ref.1", call), what);
      ReverseParallel reverse;
      ExpectSameBits(RunOne("pow_f32_cpu.1", call, &reverse), got, what + " reversed");
      const auto ran = CompareTactics(call, 0, 0, DevicePow(DType::kF32));
      ASSERT_TRUE(ran.ok()) << ran.status().ToString();
      EXPECT_EQ(ran->size(), TacticsUnderTest("Pow").size());
      if (TestDevice() != nullptr) ExpectSameBits(RunOne("pow_easy_cuda.1", call), got, what);
    }
  }
}

TEST(PowF32, HasThePointsOfIeee) {
  const Tensor x = Doubles(DType::kF32, {6}, {0.0, -0.0, kInf, -kInf, -4.0, kNaN});
  const auto pow = [&](double exponent) {
    return RunOne("pow_f32_cpu.1", {.op = "Pow",
                                    .inputs = {x, Doubles(DType::kF32, {1}, {exponent})},
                                    .outputs = {{DType::kF32, {6}}},
                                    .constant_inputs = 2});
  };
  const auto want = [](const std::vector<double>& v) { return Doubles(DType::kF32, {6}, v); };
  ExpectSameBits(pow(0.5), want({0.0, 0.0, kInf, kInf, kNaN, kNaN}), "0.5");
  ExpectSameBits(pow(2), want({0.0, 0.0, kInf, kInf, 16.0, kNaN}), "2");
  ExpectSameBits(pow(3), want({0.0, -0.0, kInf, -kInf, -64.0, kNaN}), "3");
  ExpectSameBits(pow(1), want({0.0, -0.0, kInf, -kInf, -4.0, kNaN}), "1");
  ExpectSameBits(pow(-1), want({kInf, -kInf, 0.0, -0.0, -0.25, kNaN}), "-1");
}

TEST(PowF32, ComputesTheSameInPlace) {
  const Tensor x = FloatPatterns(16385);
  for (double exponent : {1.0, 2.0, 3.0, 0.5, -1.0}) {
    const Tensor power = Doubles(DType::kF32, {}, {exponent});
    KernelCall call{.op = "Pow",
                    .inputs = {x, power},
                    .outputs = {{DType::kF32, x.shape()}},
                    .constant_inputs = 2};
    const Tensor want = RunOne("pow_f32_cpu.1", call);
    call.in_place = 0;
    for (const KernelDef* kernel : TacticsUnderTest("Pow")) {
      if (kernel->id == "pow_ref.1" || kernel->id == "pow_cuda.1") continue;
      ExpectSameBits(RunOne(kernel->id, call), want,
                     std::string(kernel->id) + " of x^" + std::to_string(exponent) + " in place");
    }
  }
}

TEST(PowF32, TakesConstantScalarsOfAnyTypeAndRefusesTheRest) {
  const Tensor x = Random(DType::kF32, {2, 3}, 1, -9, 9);
  const auto run = [&](const Tensor& base, const Tensor& exponent, const Shape& out,
                       uint32_t constants) {
    return RunKernel("pow_f32_cpu.1", {.op = "Pow",
                                       .inputs = {base, exponent},
                                       .outputs = {{base.dtype(), out}},
                                       .constant_inputs = constants})
        .status()
        .code();
  };
  for (DType dtype : {DType::kF64, DType::kF16, DType::kI64, DType::kI32, DType::kU8})
    EXPECT_EQ(run(x, Ints(dtype, {1, 1, 1}, {2}), {1, 2, 3}, 2), StatusCode::kOk);
  const Tensor two = Doubles(DType::kF32, {}, {2});
  EXPECT_EQ(run(x, two, {2, 3}, 0), StatusCode::kUnimplemented);
  for (double exponent : {0.0, -0.5, 1.5, 4.0, -2.0, kInf, kNaN}) {
    EXPECT_EQ(run(x, Doubles(DType::kF32, {}, {exponent}), {2, 3}, 2), StatusCode::kUnimplemented)
        << exponent;
  }
  EXPECT_EQ(run(x, Doubles(DType::kF32, {3}, {2, 2, 2}), {2, 3}, 2), StatusCode::kUnimplemented);
  EXPECT_EQ(run(Ints(DType::kI32, {1}, {3}), two, {1}, 2), StatusCode::kUnimplemented);
  EXPECT_EQ(run(x, two, {3, 2}, 2), StatusCode::kInvalidArgument);
}

KernelCall CastCall(const Tensor& x, DType to) {
  return {.op = "Cast",
          .attrs = {{"to", static_cast<int64_t>(to)}},
          .inputs = {x},
          .outputs = {{to, x.shape()}}};
}

// Special values, then seeded ones of every magnitude; 16-bit floats are rounded from f32 patterns.
Tensor Patterns(DType from, int64_t n) {
  if (from == DType::kF32) return FloatPatterns(n);
  if (IsFloat(from)) return RunOne("cast_ref.1", CastCall(FloatPatterns(n), from));
  return Make(from, {n}, [&](const TensorView& v) {
    const std::vector<int64_t> specials = {0,
                                           1,
                                           -1,
                                           127,
                                           128,
                                           255,
                                           256,
                                           (1 << 24) + 1,
                                           std::numeric_limits<int64_t>::max(),
                                           std::numeric_limits<int64_t>::min(),
                                           (int64_t{1} << 62) + (int64_t{1} << 38) + 1};
    for (int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(i);
      // Products of two draws: large and small magnitudes.
      const double u = (RandomUniform(kSeed, 2, at) - 0.5) * RandomUniform(kSeed, 3, at % 64);
      StoreInt(v, i, at < specials.size() ? specials[at] : static_cast<int64_t>(u * 0x1p63));
    }
  });
}

TEST(CastCpu, HasTheBitsOfTheReference) {
  std::vector<DType> types = FloatTypes();
  types.insert(types.end(), {DType::kI8, DType::kI32, DType::kI64, DType::kU8, DType::kBool});
  for (DType from : types) {
    for (DType to : types) {
      for (int64_t n : {0, 1, 7, 31, 33, 16385, 50000}) {
        const KernelCall call = CastCall(Patterns(from, n), to);
        const std::string what = std::string(DTypeName(from)) + " to " +
                                 std::string(DTypeName(to)) + ", n " + std::to_string(n);
        const Tensor got = RunOne("cast_cpu.1", call);
        ExpectSameBits(got, RunOne("cast_ref.1", call), what);
        ReverseParallel reverse;
        ExpectSameBits(RunOne("cast_cpu.1", call, &reverse), got, what + " reversed");
        const auto ran = CompareTactics(call, 0, 0);
        ASSERT_TRUE(ran.ok()) << ran.status().ToString();
        EXPECT_EQ(ran->size(), TacticsUnderTest("Cast").size()) << what;
      }
    }
  }
}

// Every tactic's bits; those that leave the types to others are skipped.
void ExpectTheReferencesBits(const KernelCall& call, const std::string& what) {
  const Tensor want = RunOne("cast_ref.1", call);
  for (const KernelDef* kernel : TacticsUnderTest("Cast")) {
    const auto got = RunKernel(kernel->id, call);
    if (got.status().code() == StatusCode::kUnimplemented) continue;
    ASSERT_TRUE(got.ok()) << got.status().ToString();
    ExpectSameBits((*got)[0], want, std::string(kernel->id) + " " + what);
  }
}

TEST(CastTactics, HaveTheBitsOfTheReferenceForAllPairs) {
  std::vector<DType> types = FloatTypes();
  types.insert(types.end(), IntTypes().begin(), IntTypes().end());
  types.push_back(DType::kBool);
  for (DType from : types) {
    for (DType to : types) {
      for (int64_t n : {0, 1, 15, 16, 17, 255, 256, 257, 65537}) {
        ExpectTheReferencesBits(CastCall(Patterns(from, n), to),
                                std::string(DTypeName(from)) + " to " + std::string(DTypeName(to)) +
                                    ", n " + std::to_string(n));
      }
    }
  }
}

TEST(CastTactics, ReadEveryHalf) {
  for (DType from : {DType::kF16, DType::kBF16}) {
    const Tensor x = Make(from, {65536}, [](const TensorView& v) {
      for (int64_t i = 0; i < 65536; ++i)
        static_cast<uint16_t*>(v.data)[i] = static_cast<uint16_t>(i);
    });
    for (DType to : {DType::kF32, DType::kI64, DType::kBool}) {
      ExpectTheReferencesBits(CastCall(x, to),
                              std::string(DTypeName(from)) + " to " + std::string(DTypeName(to)));
    }
  }
}

// Every float that lies at, just below or just above the middle of two neighbouring halves.
TEST(CastTactics, RoundToHalfAtEveryTie) {
  const Tensor x = Make(DType::kF32, {3 * 0x7c00 * 2}, [](const TensorView& v) {
    int64_t at = 0;
    for (uint32_t half = 0; half < 0x7c00; ++half) {
      const float low = HalfBitsToFloat(static_cast<uint16_t>(half));
      const float high =
          half == 0x7bff ? 65536.0f : HalfBitsToFloat(static_cast<uint16_t>(half + 1));
      const auto tie = std::bit_cast<uint32_t>((low + high) / 2);
      for (uint32_t bits : {tie - 1, tie, tie + 1}) {
        v.as<float>()[at++] = std::bit_cast<float>(bits);
        v.as<float>()[at++] = -std::bit_cast<float>(bits);
      }
    }
  });
  ExpectTheReferencesBits(CastCall(x, DType::kF16), "ties");
}

TEST(CastTactics, ReadAnyByteAsATruthValue) {
  const Tensor x = Make(DType::kBool, {256}, [](const TensorView& v) {
    for (int64_t i = 0; i < 256; ++i) static_cast<uint8_t*>(v.data)[i] = static_cast<uint8_t>(i);
  });
  for (DType to : {DType::kF32, DType::kF16, DType::kI64, DType::kU8, DType::kBool}) {
    ExpectTheReferencesBits(CastCall(x, to), std::string(DTypeName(to)));
  }
}

TEST(CastCpu, LeavesRareTypesToTheReference) {
  const Tensor x = Ints(DType::kU16, {1}, {3});
  EXPECT_EQ(RunKernel("cast_cpu.1", CastCall(x, DType::kF32)).status().code(),
            StatusCode::kUnimplemented);
  EXPECT_EQ(
      RunKernel("cast_cpu.1", CastCall(Ints(DType::kI32, {1}, {3}), DType::kU64)).status().code(),
      StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace fusee::ops::pointwise
