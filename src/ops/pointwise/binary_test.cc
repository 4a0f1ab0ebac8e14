// Binary kernels and Where against expectations computed one element at a time.
#include "ops/pointwise/binary_functions.h"
#include "ops/pointwise/pointwise_test_util.h"

namespace fusee::ops::pointwise {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::string_view Reference(std::string_view op) { return KernelsFor(op).back()->id; }
// Every tactic that takes two run-time operands. Some of Pow's take constant exponents only, and
// have tests of their own.
std::vector<const KernelDef*> BinaryTactics(std::string_view op) {
  std::vector<const KernelDef*> tactics = TacticsUnderTest(op);
  std::erase_if(tactics, [](const KernelDef* kernel) {
    return kernel->id == "pow_f32_cpu.1" || kernel->id == "pow_easy_cuda.1";
  });
  return tactics;
}

struct Case {
  const char* op;
  double (*want)(double, double);
  __int128 (*want_int)(__int128, __int128) = nullptr;
  bool comparison = false;
  Attrs attrs = {};
};

double FMin(double a, double b) { return std::isnan(a) || std::isnan(b) ? kNaN : std::min(a, b); }
double FMax(double a, double b) { return std::isnan(a) || std::isnan(b) ? kNaN : std::max(a, b); }

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {"Add", [](double a, double b) { return a + b; },
       [](__int128 a, __int128 b) { return a + b; }},
      {"Sub", [](double a, double b) { return a - b; },
       [](__int128 a, __int128 b) { return a - b; }},
      {"Mul", [](double a, double b) { return a * b; },
       [](__int128 a, __int128 b) { return a * b; }},
      {"Div", [](double a, double b) { return a / b; },
       [](__int128 a, __int128 b) { return a / b; }},
      {"Min", FMin, [](__int128 a, __int128 b) { return a < b ? a : b; }},
      {"Max", FMax, [](__int128 a, __int128 b) { return a > b ? a : b; }},
      {"PRelu", [](double a, double b) { return a < 0 ? a * b : a; },
       [](__int128 a, __int128 b) { return a < 0 ? a * b : a; }},
      {"Mod",
       [](double a, double b) { return std::fmod(a, b); },
       [](__int128 a, __int128 b) { return a % b; },
       false,
       {{"fmod", int64_t{1}}}},
      {"Pow", [](double a, double b) { return std::pow(a, b); }},
      {"Equal", [](double a, double b) { return double(a == b); },
       [](__int128 a, __int128 b) { return __int128(a == b); }, true},
      {"Less", [](double a, double b) { return double(a < b); },
       [](__int128 a, __int128 b) { return __int128(a < b); }, true},
      {"LessOrEqual", [](double a, double b) { return double(a <= b); },
       [](__int128 a, __int128 b) { return __int128(a <= b); }, true},
      {"Greater", [](double a, double b) { return double(a > b); },
       [](__int128 a, __int128 b) { return __int128(a > b); }, true},
      {"GreaterOrEqual", [](double a, double b) { return double(a >= b); },
       [](__int128 a, __int128 b) { return __int128(a >= b); }, true},
  };
  return cases;
}

__int128 Int128At(const Tensor& t, int64_t i) {
  const int64_t v = IntAt(t.view(), i);
  return t.dtype() == DType::kU64 ? static_cast<__int128>(static_cast<uint64_t>(v)) : v;
}

Tensor Expected(const Case& c, const Tensor& a, const Tensor& b) {
  const Shape shape = Broadcast({a.shape(), b.shape()});
  const DType dtype = c.comparison ? DType::kBool : a.dtype();
  return Make(dtype, shape, [&](const TensorView& v) {
    for (int64_t i = 0; i < v.elements(); ++i) {
      const int64_t ia = SourceIndex(shape, a.shape(), i);
      const int64_t ib = SourceIndex(shape, b.shape(), i);
      if (IsFloat(a.dtype())) {
        StoreDouble(v, i, c.want(DoubleAt(a.view(), ia), DoubleAt(b.view(), ib)));
      } else {
        StoreInt(v, i, static_cast<int64_t>(c.want_int(Int128At(a, ia), Int128At(b, ib))));
      }
    }
  });
}

KernelCall CallOf(const Case& c, const Tensor& a, const Tensor& b) {
  const DType out = c.comparison ? DType::kBool : a.dtype();
  return {.op = c.op,
          .attrs = c.attrs,
          .inputs = {a, b},
          .outputs = {{out, Broadcast({a.shape(), b.shape()})}}};
}
// Of the device's kernels; all others have the reference's bits.
std::optional<Tolerance> DeviceTolerance(const Case& c, DType dtype) {
  if (std::string_view(c.op) != "Pow") return std::nullopt;
  return DevicePow(dtype);
}
bool Admits(const Case& c, const Shape& a, const Shape& b) {
  return std::string_view(c.op) != "PRelu" || Broadcast({a, b}) == a;
}

TEST(BinaryReference, BroadcastsInEveryFloatType) {
  for (const Case& c : Cases()) {
    for (DType dtype : FloatTypes()) {
      for (const auto& [sa, sb] : ShapePairs()) {
        if (!Admits(c, sa, sb)) continue;
        const Tensor a = Random(dtype, sa, 1, -4, 4);
        const Tensor b = Random(dtype, sb, 2, -4, 4);
        ExpectNear(RunOne(Reference(c.op), CallOf(c, a, b)), Expected(c, a, b), RoundingOf(dtype),
                   std::string(c.op) + " " + Describe(dtype, sa) + " " + sb.ToString());
      }
    }
  }
}

TEST(BinaryReference, IsExactInEveryIntegerType) {
  for (const Case& c : Cases()) {
    if (c.want_int == nullptr) continue;
    for (DType dtype : IntTypes()) {
      for (const auto& [sa, sb] : ShapePairs()) {
        if (!Admits(c, sa, sb) || sa.elements() > 100) continue;
        // Bits of the whole type: products and sums wrap.
        const auto bits = [&](const Shape& shape, uint64_t stream) {
          return Make(dtype, shape, [&](const TensorView& v) {
            for (int64_t i = 0; i < v.elements(); ++i) {
              const auto draw =
                  static_cast<int64_t>(RandomBits(kSeed, stream, static_cast<uint64_t>(i)));
              StoreInt(v, i, draw);
              if (IntAt(v, i) == 0) StoreInt(v, i, 1);
            }
          });
        };
        const Tensor a = bits(sa, 3);
        const Tensor b = bits(sb, 4);
        ExpectNear(RunOne(Reference(c.op), CallOf(c, a, b)), Expected(c, a, b), {0, 0},
                   std::string(c.op) + " " + Describe(dtype, sa) + " " + sb.ToString());
      }
    }
  }
}

TEST(BinaryReference, FollowsIeeeAtSpecialValues) {
  const std::vector<double> points = {0, -0.0, 1, -1, 2.5, kInf, -kInf, kNaN};
  const auto n = static_cast<int64_t>(points.size());
  for (const Case& c : Cases()) {
    for (DType dtype : FloatTypes()) {
      const Tensor a = Doubles(dtype, {n, 1}, points);
      Tensor b = Doubles(dtype, {1, n}, points);
      if (!Admits(c, a.shape(), b.shape())) b = Doubles(dtype, {1, 1}, {kInf});
      ExpectNear(RunOne(Reference(c.op), CallOf(c, a, b)), Expected(c, a, b), RoundingOf(dtype),
                 c.op);
      const auto ran = CompareTactics(CallOf(c, a, b), 0, 0, DeviceTolerance(c, dtype));
      EXPECT_TRUE(ran.ok()) << c.op << ": " << ran.status().ToString();
    }
  }
}

TEST(BinaryFast, EqualsTheReferenceBitForBit) {
  ReverseParallel reverse;
  for (const Case& c : Cases()) {
    for (const auto& [sa, sb] : ShapePairs()) {
      if (!Admits(c, sa, sb)) continue;
      const Tensor a = Random(DType::kF32, sa, 5, -4, 4);
      const Tensor b = Random(DType::kF32, sb, 6, -4, 4);
      const KernelCall call = CallOf(c, a, b);
      const auto ran = CompareTactics(call, 0, 0, DeviceTolerance(c, DType::kF32));
      EXPECT_TRUE(ran.ok()) << c.op << ": " << ran.status().ToString() << ", seed " << kSeed;
      const std::string_view first = BinaryTactics(c.op).front()->id;
      ExpectNear(RunOne(first, call, &reverse), RunOne(first, call), {0, 0}, "task order");
    }
  }
}

TEST(BinaryTactics, HaveTheBitsOfTheReferenceInEveryTypeAndLayout) {
  std::vector<DType> types = FloatTypes();
  types.insert(types.end(), IntTypes().begin(), IntTypes().end());
  std::vector<std::pair<Shape, Shape>> pairs = EdgePairs();
  for (const auto& pair : ShapePairs()) pairs.push_back(pair);
  for (const Case& c : Cases()) {
    for (DType dtype : types) {
      if (!IsFloat(dtype) && c.want_int == nullptr) continue;
      for (const auto& [sa, sb] : pairs) {
        if (!Admits(c, sa, sb)) continue;
        const bool divides = std::string_view(c.op) == "Div" || std::string_view(c.op) == "Mod";
        const Tensor a = Random(dtype, sa, 11, IsUnsignedInt(dtype) ? 0 : -4, 9);
        const Tensor b = Random(dtype, sb, 12, IsUnsignedInt(dtype) || divides ? 1 : -4, 4);
        const auto ran = CompareTactics(CallOf(c, a, b), 0, 0, DeviceTolerance(c, dtype));
        ASSERT_TRUE(ran.ok()) << Describe(dtype, sa) << " and " << sb.ToString() << ": "
                              << ran.status().ToString() << ", seed " << kSeed;
      }
    }
  }
}

TEST(BinaryKernels, ComputeTheSameInPlace) {
  for (const Case& c : Cases()) {
    for (const KernelDef* kernel : BinaryTactics(c.op)) {
      for (size_t operand = 0; operand < 2; ++operand) {
        if (((kernel->in_place_inputs >> operand) & 1) == 0) continue;
        const Tensor a = Random(DType::kF32, {7, 33}, 7, 1, 4);
        const Tensor b = Random(DType::kF32, {7, 33}, 8, 1, 4);
        KernelCall call = CallOf(c, a, b);
        const Tensor want = RunOne(kernel->id, call);
        call.in_place = static_cast<int>(operand);
        ExpectNear(RunOne(kernel->id, call), want, {0, 0},
                   std::string(kernel->id) + " in place of operand " + std::to_string(operand));
      }
    }
  }
}

TEST(BinaryKernels, RefuseShapesThatDoNotFit) {
  const Tensor a = Random(DType::kF32, {2, 3}, 1, 0, 1);
  const Tensor b = Random(DType::kF32, {2}, 1, 0, 1);
  const Tensor row = Random(DType::kF32, {3}, 1, 0, 1);
  for (const KernelDef* kernel : TacticsUnderTest("Add")) {
    const std::string_view id = kernel->id;
    EXPECT_FALSE(
        RunKernel(id, {.op = "Add", .inputs = {a, b}, .outputs = {{DType::kF32, {2, 3}}}}).ok());
    EXPECT_FALSE(
        RunKernel(id, {.op = "Add", .inputs = {a, row}, .outputs = {{DType::kF32, {3, 3}}}}).ok());
    EXPECT_FALSE(
        RunKernel(id, {.op = "Add", .inputs = {a, row}, .outputs = {{DType::kF32, {6}}}}).ok());
    EXPECT_FALSE(
        RunKernel(id, {.op = "Add", .inputs = {a}, .outputs = {{DType::kF32, {2, 3}}}}).ok());
  }
  // A slope may not enlarge PRelu's input.
  EXPECT_FALSE(RunKernel("prelu_ref.1",
                         {.op = "PRelu", .inputs = {row, a}, .outputs = {{DType::kF32, {2, 3}}}})
                   .ok());
  const Tensor i = Ints(DType::kI32, {3}, {1, 2, 3});
  EXPECT_EQ(
      RunKernel("add_ref.1", {.op = "Add", .inputs = {row, i}, .outputs = {{DType::kF32, {3}}}})
          .status()
          .code(),
      StatusCode::kInvalidArgument);
}

// The reference's result, which every tactic must have.
Tensor RunExact(const KernelCall& call) {
  const auto ran = CompareTactics(call, 0, 0);
  EXPECT_TRUE(ran.ok()) << ran.status().ToString();
  return RunOne(Reference(call.op), call);
}

Tensor RunInts(const char* op, DType dtype, std::vector<int64_t> a, std::vector<int64_t> b,
               Attrs attrs = {}) {
  const Shape shape{static_cast<int64_t>(a.size())};
  return RunExact({.op = op,
                   .attrs = std::move(attrs),
                   .inputs = {Ints(dtype, shape, a), Ints(dtype, shape, b)},
                   .outputs = {{dtype, shape}}});
}

TEST(IntegerDivision, ByZeroNamesTheOperatorAndTheElement) {
  for (const char* op : {"Div", "Mod"}) {
    for (DType dtype : IntTypes()) {
      const KernelCall call{.op = op,
                            .inputs = {Ints(dtype, {3}, {1, 2, 3}), Ints(dtype, {3}, {1, 0, 0})},
                            .outputs = {{dtype, {3}}}};
      for (const KernelDef* kernel : TacticsUnderTest(op)) {
        const StatusCode code = RunKernel(kernel->id, call).status().code();
        if (code == StatusCode::kUnimplemented) continue;
        EXPECT_EQ(code, StatusCode::kInvalidArgument) << kernel->id;
      }
      const auto result = RunKernel(Reference(op), call);
      ASSERT_FALSE(result.ok());
      EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument);
      EXPECT_NE(result.status().message().find(op), std::string::npos);
      EXPECT_NE(result.status().message().find("flat index 1"), std::string::npos)
          << result.status().message();
    }
  }
}

TEST(IntegerDivision, OfTheSmallestNumberByMinusOneWraps) {
  for (DType dtype : {DType::kI8, DType::kI16, DType::kI32, DType::kI64}) {
    const int64_t min = -(int64_t{1} << (BitsPerElement(dtype) - 2)) * 2;
    ExpectNear(RunInts("Div", dtype, {min}, {-1}), Ints(dtype, {1}, {min}), {0, 0}, "Div");
    ExpectNear(RunInts("Mod", dtype, {min}, {-1}), Ints(dtype, {1}, {0}), {0, 0}, "Mod");
  }
}

TEST(Mod, TakesTheDivisorsSignUnlessFmod) {
  const std::vector<int64_t> a = {-4, 7, 5, 4, -7, 8};
  const std::vector<int64_t> b = {2, -3, 8, -2, 3, 5};
  for (DType dtype : {DType::kI8, DType::kI16, DType::kI32, DType::kI64}) {
    ExpectNear(RunInts("Mod", dtype, a, b), Ints(dtype, {6}, {0, -2, 5, 0, 2, 3}), {0, 0}, "floor");
    ExpectNear(RunInts("Mod", dtype, a, b, {{"fmod", int64_t{1}}}),
               Ints(dtype, {6}, {0, 1, 5, 0, -1, 3}), {0, 0}, "fmod");
  }
}

TEST(FloatMod, IsExactOverTheWholeRange) {
  for (int i = 0; i < 200000; ++i) {
    const auto counter = static_cast<uint64_t>(i);
    const double a = std::bit_cast<double>(RandomBits(kSeed, 9, counter));
    double b = std::bit_cast<double>(RandomBits(kSeed, 10, counter));
    if (i % 3 == 0) b = std::ldexp(b, -1000);  // subnormal divisors too
    const double got = FloatMod(a, b);
    const double want = std::fmod(a, b);
    ASSERT_TRUE(std::bit_cast<uint64_t>(got) == std::bit_cast<uint64_t>(want) ||
                (std::isnan(got) && std::isnan(want)))
        << std::hexfloat << a << " mod " << b << ": got " << got << ", expected " << want;
  }
}

TEST(Pow, MixesTypesAndIsExactOnIntegers) {
  const auto pow = [](const Tensor& base, const Tensor& exponent) {
    return RunExact(
        {.op = "Pow", .inputs = {base, exponent}, .outputs = {{base.dtype(), base.shape()}}});
  };
  std::vector<DType> numbers = FloatTypes();
  numbers.insert(numbers.end(), IntTypes().begin(), IntTypes().end());
  for (DType base : numbers) {
    for (DType exponent : numbers) {
      ExpectNear(pow(Ints(base, {4}, {1, 2, 3, 0}), Ints(exponent, {4}, {4, 5, 2, 0})),
                 Ints(base, {4}, {1, 32, 9, 1}), {0, 0},
                 std::string(DTypeName(base)) + "^" + std::string(DTypeName(exponent)));
    }
  }
  ExpectNear(pow(Ints(DType::kI64, {1}, {3}), Ints(DType::kI64, {1}, {39})),
             Ints(DType::kI64, {1}, {4052555153018976267}), {0, 0}, "exact");
  ExpectNear(pow(Ints(DType::kI32, {4}, {1, -1, -1, 5}), Ints(DType::kI32, {4}, {-3, -3, -2, -1})),
             Ints(DType::kI32, {4}, {1, -1, 1, 0}), {0, 0}, "negative");
  ExpectNear(pow(Ints(DType::kI32, {1}, {4}), Doubles(DType::kF32, {1}, {0.5})),
             Ints(DType::kI32, {1}, {2}), {0, 0}, "root");
  for (const KernelDef* kernel : BinaryTactics("Pow")) {
    const KernelCall call{.op = "Pow",
                          .inputs = {Ints(DType::kI32, {1}, {0}), Ints(DType::kI32, {1}, {-1})},
                          .outputs = {{DType::kI32, {1}}}};
    EXPECT_FALSE(RunKernel(kernel->id, call).ok()) << kernel->id;
  }
}

TEST(Logical, HasItsTruthTable) {
  const Tensor a = Ints(DType::kBool, {2, 1}, {0, 1});
  const Tensor b = Ints(DType::kBool, {2}, {0, 1});
  const auto run = [&](const char* op) {
    return RunExact({.op = op, .inputs = {a, b}, .outputs = {{DType::kBool, {2, 2}}}});
  };
  ExpectNear(run("And"), Ints(DType::kBool, {2, 2}, {0, 0, 0, 1}), {0, 0}, "And");
  ExpectNear(run("Or"), Ints(DType::kBool, {2, 2}, {0, 1, 1, 1}), {0, 0}, "Or");
  ExpectNear(run("Xor"), Ints(DType::kBool, {2, 2}, {0, 1, 1, 0}), {0, 0}, "Xor");
  ExpectNear(run("Equal"), Ints(DType::kBool, {2, 2}, {1, 0, 0, 1}), {0, 0}, "Equal");
}

TEST(Bits, CombineAndShift) {
  for (DType dtype : IntTypes()) {
    ExpectNear(RunInts("BitwiseAnd", dtype, {12, 7}, {10, 0}), Ints(dtype, {2}, {8, 0}), {0, 0},
               "and");
    ExpectNear(RunInts("BitwiseOr", dtype, {12, 7}, {10, 0}), Ints(dtype, {2}, {14, 7}), {0, 0},
               "or");
    ExpectNear(RunInts("BitwiseXor", dtype, {12, 7}, {10, 7}), Ints(dtype, {2}, {6, 0}), {0, 0},
               "xor");
  }
  for (DType dtype : {DType::kU8, DType::kU16, DType::kU32, DType::kU64}) {
    const int64_t top = static_cast<int64_t>(uint64_t{1} << (BitsPerElement(dtype) - 1));
    ExpectNear(RunInts("BitShift", dtype, {16, 1, top, 1}, {1, 2, 1, 200}),
               Ints(dtype, {4}, {32, 4, 0, 0}), {0, 0}, "left");
    ExpectNear(
        RunInts("BitShift", dtype, {16, 1, top, 1}, {1, 2, 1, 200}, {{"direction", int64_t{1}}}),
        Ints(dtype, {4}, {8, 0, static_cast<int64_t>(static_cast<uint64_t>(top) >> 1), 0}), {0, 0},
        "right");
  }
}

TEST(Where, ChoosesInEveryTypeAndShape) {
  std::vector<DType> types = FloatTypes();
  types.insert(types.end(), IntTypes().begin(), IntTypes().end());
  types.push_back(DType::kBool);
  const std::vector<std::array<Shape, 3>> shapes = {{Shape{}, Shape{}, Shape{}},
                                                    {Shape{4}, Shape{4}, Shape{4}},
                                                    {Shape{3, 1}, Shape{4}, Shape{2, 1, 1}},
                                                    {Shape{2, 3, 4}, Shape{}, Shape{}},
                                                    {Shape{2, 3, 33}, Shape{1}, Shape{3, 33}},
                                                    {Shape{2, 1, 1}, Shape{2, 3, 9}, Shape{9}},
                                                    {Shape{33}, Shape{33}, Shape{1}},
                                                    {Shape{0}, Shape{1}, Shape{}}};
  for (DType dtype : types) {
    for (const auto& s : shapes) {
      const Tensor condition = Random(DType::kBool, s[0], 1, 0, 2);
      const Tensor a = Random(dtype, s[1], 2, 0, 100);
      const Tensor b = Random(dtype, s[2], 3, 0, 100);
      const Shape out = Broadcast({s[0], s[1], s[2]});
      const Tensor want = Make(dtype, out, [&](const TensorView& v) {
        for (int64_t i = 0; i < v.elements(); ++i) {
          const bool yes = IntAt(condition.view(), SourceIndex(out, s[0], i)) != 0;
          const Tensor& from = yes ? a : b;
          StoreDouble(v, i, DoubleAt(from.view(), SourceIndex(out, from.shape(), i)));
        }
      });
      const KernelCall call{.op = "Where", .inputs = {condition, a, b}, .outputs = {{dtype, out}}};
      ExpectNear(RunOne("where_ref.1", call), want, {0, 0}, Describe(dtype, out));
      const auto ran = CompareTactics(call, 0, 0);
      EXPECT_TRUE(ran.ok()) << ran.status().ToString();
    }
  }
}

}  // namespace
}  // namespace fusee::ops::pointwise
