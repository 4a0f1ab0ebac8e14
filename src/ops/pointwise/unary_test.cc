// Unary kernels against the C library in double precision.
#include "ops/pointwise/pointwise_test_util.h"

namespace fusee::ops::pointwise {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double Softplus(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }
double Clamp01(double x) { return std::isnan(x) ? x : std::min(1.0, std::max(0.0, x)); }
double RoundEven(double x) { return std::nearbyint(x); }

struct Case {
  const char* op;
  double (*want)(double);
  double low = -9, high = 9;  // interval of the drawn inputs
  Attrs attrs = {};
  bool specials = true;  // also at infinities, NaN and zeros
};

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {"Neg", [](double x) { return -x; }},
      {"Abs", [](double x) { return std::abs(x); }},
      {"Sign", [](double x) { return std::isnan(x) ? x : double((x > 0) - (x < 0)); }},
      {"Floor", [](double x) { return std::floor(x); }},
      {"Ceil", [](double x) { return std::ceil(x); }},
      {"Round", RoundEven},
      {"Reciprocal", [](double x) { return 1 / x; }},
      {"Sqrt", [](double x) { return std::sqrt(x); }},
      {"Exp", [](double x) { return std::exp(x); }},
      {"Log", [](double x) { return std::log(x); }, 0, 20},
      {"Erf", [](double x) { return std::erf(x); }},
      {"Sin", [](double x) { return std::sin(x); }},
      {"Cos", [](double x) { return std::cos(x); }},
      {"Tan", [](double x) { return std::tan(x); }},
      {"Sinh", [](double x) { return std::sinh(x); }},
      {"Cosh", [](double x) { return std::cosh(x); }},
      {"Tanh", [](double x) { return std::tanh(x); }},
      {"Asin", [](double x) { return std::asin(x); }, -1, 1},
      {"Acos", [](double x) { return std::acos(x); }, -1, 0.9},
      {"Atan", [](double x) { return std::atan(x); }},
      {"Asinh", [](double x) { return std::asinh(x); }},
      {"Acosh", [](double x) { return std::acosh(x); }, 1, 20},
      {"Atanh", [](double x) { return std::atanh(x); }, -1, 1},
      {"Relu", [](double x) { return x < 0 ? 0 : x; }},
      {"LeakyRelu", [](double x) { return x < 0 ? 0.25 * x : x; }, -9, 9, {{"alpha", 0.25}}},
      {"ThresholdedRelu", [](double x) { return x <= 2 ? 0 : x; }, -9, 9, {{"alpha", 2.0}}},
      {"Sigmoid", Sigmoid},
      {"HardSigmoid",
       [](double x) { return Clamp01(0.25 * x + 0.5); },
       -9,
       9,
       {{"alpha", 0.25}, {"beta", 0.5}}},
      {"HardSwish", [](double x) { return x * Clamp01(x / 6 + 0.5); }, -9, 9, {}, false},
      {"Swish", [](double x) { return x * Sigmoid(2 * x); }, -9, 9, {{"alpha", 2.0}}, false},
      {"Mish", [](double x) { return x * std::tanh(Softplus(x)); }, -9, 9, {}, false},
      {"Gelu",
       [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); },
       -3,
       9,
       {{"approximate", "none"}},
       false},
      {"Gelu",
       [](double x) {
         return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
       },
       -2,
       9,
       {{"approximate", "tanh"}},
       false},
      {"Elu", [](double x) { return x < 0 ? 2 * std::expm1(x) : x; }, -9, 9, {{"alpha", 2.0}}},
      {"Celu", [](double x) { return x < 0 ? 2 * std::expm1(x / 2) : x; }, -9, 9, {{"alpha", 2.0}}},
      {"Selu",
       [](double x) { return 3 * (x <= 0 ? 2 * std::expm1(x) : x); },
       -9,
       9,
       {{"alpha", 2.0}, {"gamma", 3.0}}},
      {"Softplus", Softplus},
      {"Softsign", [](double x) { return x / (1 + std::abs(x)); }, -9, 9, {}, false},
      {"Shrink",
       [](double x) { return x < -1.5 ? x + 0.5 : (x > 1.5 ? x - 0.5 : 0); },
       -9,
       9,
       {{"lambd", 1.5}, {"bias", 0.5}}},
  };
  return cases;
}

std::string_view Reference(std::string_view op) { return KernelsFor(op).back()->id; }

Tensor Map(const Tensor& x, double (*want)(double)) {
  return Make(x.dtype(), x.shape(), [&](const TensorView& v) {
    for (int64_t i = 0; i < v.elements(); ++i) StoreDouble(v, i, want(DoubleAt(x.view(), i)));
  });
}

KernelCall CallOf(const Case& c, const Tensor& x) {
  return {.op = c.op, .attrs = c.attrs, .inputs = {x}, .outputs = {{x.dtype(), x.shape()}}};
}

TEST(UnaryReference, AgreesWithTheCLibraryInEveryFloatType) {
  for (const Case& c : Cases()) {
    for (DType dtype : FloatTypes()) {
      for (const Shape& shape : {Shape{}, Shape{0}, Shape{1}, Shape{3, 0, 2}, Shape{257}}) {
        const Tensor x = Random(dtype, shape, 1, c.low, c.high);
        Tolerance t = RoundingOf(dtype);
        t.atol = std::max(t.atol, 1e-15);  // near zeros of the function
        ExpectNear(RunOne(Reference(c.op), CallOf(c, x)), Map(x, c.want), t,
                   std::string(c.op) + " " + Describe(dtype, shape));
      }
    }
  }
}

TEST(UnaryReference, AgreesAtSpecialValues) {
  for (const Case& c : Cases()) {
    if (!c.specials) continue;
    for (DType dtype : FloatTypes()) {
      const Tensor x = Doubles(dtype, {10}, {0, -0.0, 1, -1, kInf, -kInf, kNaN, 0.5, 2.5, -2.5});
      const Tensor got = RunOne(Reference(c.op), CallOf(c, x));
      const Tensor want = Map(x, c.want);
      ExpectNear(got, want, RoundingOf(dtype),
                 std::string(c.op) + " " + std::string(DTypeName(dtype)));
    }
  }
}

TEST(UnaryReference, KeepsNegativeZero) {
  for (const char* op :
       {"Floor", "Ceil", "Round", "Sqrt", "Erf", "Tanh", "Sin", "Atan", "Asinh", "Relu"}) {
    const Tensor x = Doubles(DType::kF32, {1}, {-0.0});
    const Tensor y =
        RunOne(Reference(op), {.op = op, .inputs = {x}, .outputs = {{DType::kF32, {1}}}});
    EXPECT_TRUE(std::signbit(y.as<float>()[0])) << op;
  }
}

TEST(UnaryReference, IntegersAreExactAndWrap) {
  struct IntCase {
    const char* op;
    DType dtype;
    std::vector<int64_t> x, want;
  };
  constexpr int64_t kMin64 = std::numeric_limits<int64_t>::min();
  constexpr int64_t kBig = (int64_t{1} << 60) + 1;  // not a double
  const std::vector<IntCase> cases = {
      {"Neg", DType::kI8, {0, 5, -128, 127}, {0, -5, -128, -127}},
      {"Neg", DType::kI64, {kBig, kMin64}, {-kBig, kMin64}},
      {"Abs", DType::kI8, {0, -5, -128, 127}, {0, 5, -128, 127}},
      {"Abs", DType::kI64, {-kBig, kMin64}, {kBig, kMin64}},
      {"Abs", DType::kU8, {0, 255}, {0, 255}},
      {"Sign", DType::kI16, {0, -7, 7}, {0, -1, 1}},
      {"Sign", DType::kU64, {0, -1}, {0, 1}},
      {"Relu", DType::kI32, {-3, 0, 3}, {0, 0, 3}},
      {"Relu", DType::kI64, {-kBig, kBig}, {0, kBig}},
      {"BitwiseNot", DType::kU16, {0, 0xF0F0}, {0xFFFF, 0x0F0F}},
      {"BitwiseNot", DType::kI32, {0, -1}, {-1, 0}},
      {"Not", DType::kBool, {0, 1}, {1, 0}},
  };
  for (const IntCase& c : cases) {
    const Shape shape{static_cast<int64_t>(c.x.size())};
    const KernelCall call{
        .op = c.op, .inputs = {Ints(c.dtype, shape, c.x)}, .outputs = {{c.dtype, shape}}};
    const Tensor y = RunOne(Reference(c.op), call);
    const auto ran = CompareTactics(call, 0, 0);
    EXPECT_TRUE(ran.ok()) << ran.status().ToString();
    ExpectNear(y, Ints(c.dtype, shape, c.want), {0, 0},
               std::string(c.op) + " " + std::string(DTypeName(c.dtype)));
  }
}

TEST(UnaryFast, AgreesWithTheReferenceAroundVectorAndTaskSizes) {
  for (const Case& c : Cases()) {
    for (int64_t n : {0, 1, 7, 8, 9, 15, 16, 17, 255, 256, 257, 16383, 16384, 16385, 65537}) {
      const Tensor x = Random(DType::kF32, {n}, static_cast<uint64_t>(n), c.low * 3, c.high * 3);
      const auto ran = CompareTactics(CallOf(c, x), 1e-5, 2e-7);
      EXPECT_TRUE(ran.ok()) << n << " elements: " << ran.status().ToString() << ", seed " << kSeed;
    }
  }
}

// Computed in float and rounded once more: within a unit in the last place of 16 bits.
TEST(UnaryFast, AgreesWithTheReferenceInHalfPrecisions) {
  for (const Case& c : Cases()) {
    for (DType dtype : {DType::kF16, DType::kBF16}) {
      for (int64_t n : {0, 1, 7, 8, 9, 257, 4096}) {
        const Tensor x = Random(dtype, {n}, static_cast<uint64_t>(n), c.low, c.high);
        Tolerance t = RoundingOf(dtype);
        t.atol = 2e-7;
        const auto ran = CompareTactics(CallOf(c, x), t.rtol, t.atol);
        EXPECT_TRUE(ran.ok()) << n << " elements: " << ran.status().ToString();
      }
    }
  }
}

TEST(UnaryKernels, ComputeTheSameInPlace) {
  for (const Case& c : Cases()) {
    for (const KernelDef* kernel : TacticsUnderTest(c.op)) {
      if (kernel->in_place_inputs == 0) continue;
      KernelCall call = CallOf(c, Random(DType::kF32, {1027}, 4, c.low, c.high));
      const auto want = RunKernel(kernel->id, call);
      if (want.status().code() == StatusCode::kUnimplemented) continue;
      ASSERT_TRUE(want.ok()) << want.status().ToString();
      call.in_place = 0;
      ExpectNear(RunOne(kernel->id, call), (*want)[0], {0, 0},
                 std::string(kernel->id) + " in place");
    }
  }
}

TEST(UnaryFast, AgreesWithTheReferenceOnHardInputs) {
  for (const Case& c : Cases()) {
    for (Fill fill : {Fill::kLarge, Fill::kTiny, Fill::kSignedZeros}) {
      const Tensor x =
          Make(DType::kF32, {1000}, [&](const TensorView& v) { FillRandom(v, fill, kSeed, 3); });
      const auto ran = CompareTactics(CallOf(c, x), 1e-5, 1e-30);
      EXPECT_TRUE(ran.ok()) << "fill " << static_cast<int>(fill) << ": " << ran.status().ToString();
    }
    const Tensor x = Doubles(DType::kF32, {5}, {kInf, -kInf, kNaN, 88.8, -103.9});
    if (!c.specials) continue;
    const auto ran = CompareTactics(CallOf(c, x), 1e-5, 1e-30);
    EXPECT_TRUE(ran.ok()) << ran.status().ToString();
  }
}

TEST(UnaryFast, DoesNotDependOnTaskOrder) {
  ReverseParallel reverse;
  const Tensor x = Random(DType::kF32, {100000}, 5, -9, 9);
  const KernelCall call{.op = "Gelu", .inputs = {x}, .outputs = {{DType::kF32, {100000}}}};
  ExpectNear(RunOne("gelu_f32_cpu.1", call, &reverse), RunOne("gelu_f32_cpu.1", call), {0, 0},
             "Gelu");
}

TEST(UnaryKernels, RefuseWrongStepsAtBindAndWrongShapesAtCheck) {
  const Tensor x = Random(DType::kF32, {4}, 1, 0, 1);
  for (const KernelDef* kernel : TacticsUnderTest("Exp")) {
    const std::string_view id = kernel->id;
    const auto bad = [&](KernelCall call) { return RunKernel(id, call).status().code(); };
    EXPECT_EQ(bad({.op = "Exp", .inputs = {x}, .outputs = {{DType::kF32, {5}}}}),
              StatusCode::kInvalidArgument);
    EXPECT_EQ(bad({.op = "Exp", .inputs = {x}, .outputs = {{DType::kF32, {4, 1}}}}),
              StatusCode::kInvalidArgument);
    EXPECT_EQ(bad({.op = "Exp", .inputs = {x}, .outputs = {{DType::kF64, {4}}}}),
              StatusCode::kInvalidArgument);
    EXPECT_EQ(bad({.op = "Exp", .inputs = {}, .outputs = {{DType::kF32, {4}}}}),
              StatusCode::kInvalidArgument);
    EXPECT_EQ(bad({.op = "Exp", .inputs = {x, x}, .outputs = {{DType::kF32, {4}}}}),
              StatusCode::kInvalidArgument);
    EXPECT_EQ(bad({.op = "Exp", .inputs = {x}, .outputs = {{DType::kInvalid, {4}}}}),
              StatusCode::kInvalidArgument);
  }
  const Tensor i = Ints(DType::kI32, {1}, {1});
  EXPECT_EQ(RunKernel("exp_ref.1", {.op = "Exp", .inputs = {i}, .outputs = {{DType::kI32, {1}}}})
                .status()
                .code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(
      RunKernel("exp_f32_cpu.1", {.op = "Exp", .inputs = {i}, .outputs = {{DType::kI32, {1}}}})
          .status()
          .code(),
      StatusCode::kUnimplemented);
}

TEST(Clip, BoundsEveryTypeWithEitherBoundAbsent) {
  std::vector<DType> types = FloatTypes();
  types.insert(types.end(), IntTypes().begin(), IntTypes().end());
  for (DType dtype : types) {
    const Tensor x = Ints(dtype, {5}, {0, 1, 5, 9, 100});
    const Tensor low = Ints(dtype, {}, {2});
    const Tensor high = Ints(dtype, {1}, {9});
    const auto clip = [&](std::vector<Tensor> inputs) {
      const KernelCall call{.op = "Clip", .inputs = std::move(inputs), .outputs = {{dtype, {5}}}};
      EXPECT_TRUE(CompareTactics(call, 0, 0).ok());
      return RunOne("clip_ref.1", call);
    };
    ExpectNear(clip({x, low, high}), Ints(dtype, {5}, {2, 2, 5, 9, 9}), {0, 0}, "both");
    ExpectNear(clip({x, Tensor(), high}), Ints(dtype, {5}, {0, 1, 5, 9, 9}), {0, 0}, "high");
    ExpectNear(clip({x, low}), Ints(dtype, {5}, {2, 2, 5, 9, 100}), {0, 0}, "low");
    ExpectNear(clip({x}), x, {0, 0}, "none");
    ExpectNear(clip({x, high, low}), Ints(dtype, {5}, {2, 2, 2, 2, 2}), {0, 0}, "crossed");
  }
}

TEST(Clip, PassesNaNAndRefusesBoundsThatAreNoScalars) {
  const Tensor x = Doubles(DType::kF32, {3}, {kNaN, kInf, -kInf});
  const Tensor low = Doubles(DType::kF32, {}, {-1});
  const Tensor high = Doubles(DType::kF32, {}, {1});
  for (const KernelDef* kernel : TacticsUnderTest("Clip")) {
    const std::string_view id = kernel->id;
    ExpectNear(
        RunOne(id, {.op = "Clip", .inputs = {x, low, high}, .outputs = {{DType::kF32, {3}}}}),
        Doubles(DType::kF32, {3}, {kNaN, 1, -1}), {0, 0}, std::string(id));
    EXPECT_FALSE(
        RunKernel(id, {.op = "Clip", .inputs = {x, x}, .outputs = {{DType::kF32, {3}}}}).ok());
  }
}

TEST(Classify, FindsNaNAndInfinities) {
  for (DType dtype : FloatTypes()) {
    const Tensor x = Doubles(dtype, {5}, {kNaN, kInf, -kInf, 0, 3});
    const auto run = [&](const char* id, const char* op, Attrs attrs) {
      const KernelCall call{
          .op = op, .attrs = std::move(attrs), .inputs = {x}, .outputs = {{DType::kBool, {5}}}};
      const auto ran = CompareTactics(call, 0, 0);
      EXPECT_TRUE(ran.ok()) << ran.status().ToString();
      return RunOne(id, call);
    };
    const auto want = [](std::vector<int64_t> v) { return Ints(DType::kBool, {5}, v); };
    ExpectNear(run("is_nan_ref.1", "IsNaN", {}), want({1, 0, 0, 0, 0}), {0, 0}, "IsNaN");
    ExpectNear(run("is_inf_ref.1", "IsInf", {}), want({0, 1, 1, 0, 0}), {0, 0}, "IsInf");
    ExpectNear(run("is_inf_ref.1", "IsInf", {{"detect_negative", int64_t{0}}}),
               want({0, 1, 0, 0, 0}), {0, 0}, "IsInf+");
    ExpectNear(run("is_inf_ref.1", "IsInf", {{"detect_positive", int64_t{0}}}),
               want({0, 0, 1, 0, 0}), {0, 0}, "IsInf-");
  }
}

TEST(Cast, ConvertsEveryTypeToEveryOther) {
  std::vector<DType> types = FloatTypes();
  types.insert(types.end(), IntTypes().begin(), IntTypes().end());
  types.push_back(DType::kBool);
  for (DType from : types) {
    for (DType to : types) {
      const Tensor x = Doubles(from, {6}, {0, 1, 2.75, 100.5, -3.75, 77});
      const Tensor want = Make(to, {6}, [&](const TensorView& v) {
        for (int64_t i = 0; i < 6; ++i) {
          if (IsFloat(from)) {
            StoreDouble(v, i, DoubleAt(x.view(), i));
          } else {
            const int64_t value = IntAt(x.view(), i);
            IsFloat(to) ? StoreDouble(v, i, DoubleAt(x.view(), i)) : StoreInt(v, i, value);
          }
        }
      });
      const KernelCall call{.op = "Cast",
                            .attrs = {{"to", static_cast<int64_t>(to)}},
                            .inputs = {x},
                            .outputs = {{to, {6}}}};
      ExpectNear(RunOne("cast_ref.1", call), want, {0, 0},
                 std::string(DTypeName(from)) + " to " + std::string(DTypeName(to)));
    }
  }
}

TEST(Cast, HandlesTheEdgesOfTypes) {
  const auto cast = [](const Tensor& x, DType to) {
    const KernelCall call{.op = "Cast",
                          .attrs = {{"to", static_cast<int64_t>(to)}},
                          .inputs = {x},
                          .outputs = {{to, x.shape()}}};
    const auto ran = CompareTactics(call, 0, 0);
    EXPECT_TRUE(ran.ok()) << ran.status().ToString();
    return RunOne("cast_ref.1", call);
  };
  const Tensor specials = Doubles(DType::kF32, {4}, {kNaN, kInf, -kInf, -0.0});
  ExpectNear(cast(specials, DType::kBool), Ints(DType::kBool, {4}, {1, 1, 1, 0}), {0, 0}, "bool");
  ExpectNear(cast(specials, DType::kF16), Doubles(DType::kF16, {4}, {kNaN, kInf, -kInf, -0.0}),
             {0, 0}, "f16");
  ExpectNear(cast(specials, DType::kI64),
             Ints(DType::kI64, {4},
                  {0, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min(), 0}),
             {0, 0}, "i64");
  // 2^24 + 1 is a tie between two floats; 2^63 + 2^39 rounds once to f32, not by way of double.
  ExpectNear(cast(Ints(DType::kI32, {1}, {(1 << 24) + 1}), DType::kF32),
             Doubles(DType::kF32, {1}, {0x1p24}), {0, 0}, "tie");
  const int64_t above_tie = (int64_t{1} << 62) + (int64_t{1} << 38) + 1;
  ExpectNear(cast(Ints(DType::kI64, {1}, {above_tie}), DType::kF32),
             Doubles(DType::kF32, {1}, {0x1p62 + 0x1p39}), {0, 0}, "once");
  ExpectNear(cast(Doubles(DType::kF64, {1}, {0x1.8p63}), DType::kU64),
             Ints(DType::kU64, {1}, {int64_t(0xC000000000000000ull)}), {0, 0}, "u64");
  // 1 + 2^-11 + 2^-40: to f16 it lies above the tie; rounding to float first would lose that.
  ExpectNear(cast(Doubles(DType::kF64, {1}, {1 + 0x1p-11 + 0x1p-40}), DType::kF16),
             Doubles(DType::kF16, {1}, {1 + 0x1p-10}), {0, 0}, "f16");
}

TEST(Identity, CopiesBytes) {
  for (DType dtype : {DType::kF32, DType::kBool, DType::kU16}) {
    const Tensor x = Ints(dtype, {3}, {1, 0, 1});
    for (const KernelDef* kernel : TacticsUnderTest("Identity")) {
      ExpectNear(RunOne(kernel->id, {.op = "Identity", .inputs = {x}, .outputs = {{dtype, {3}}}}),
                 x, {0, 0}, std::string(kernel->id));
    }
  }
}

}  // namespace
}  // namespace fusee::ops::pointwise
