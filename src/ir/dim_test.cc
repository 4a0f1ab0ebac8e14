#include "ir/dim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>

#include "tensor/random.h"

namespace fusee::ir {
namespace {

Dim S(const char* name) { return Dim::Symbol(name); }

// --- brute force: random expressions, built as a Dim and evaluated directly at the same time ---

constexpr const char* kNames[] = {"a", "b", "c"};
constexpr int kAssignments = 6;

struct Sample {
  Dim dim;
  // Value per assignment; nullopt where a divisor was 0, which simplification does not respect.
  std::vector<std::optional<int64_t>> values;
};

class Generator {
 public:
  Generator(uint64_t seed, bool positive) : seed_(seed), positive_(positive) {
    for (int i = 0; i < kAssignments; ++i) {
      for (const char* name : kNames) assignments_[i][name] = positive ? Pick(1, 9) : Pick(-6, 9);
    }
  }
  int64_t Pick(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(RandomBits(seed_, 0, counter_++) %
                                      static_cast<uint64_t>(high - low + 1));
  }
  const SymbolValues& assignment(int i) const { return assignments_[i]; }

  Sample Make(int depth) {
    if (depth == 0 || Pick(0, 5) == 0) return Leaf();
    const Sample x = Make(depth - 1);
    const Sample y = Make(depth - 1);
    switch (Pick(0, 7)) {
      case 0:
        return Combine(x, y, x.dim + y.dim,
                       [](int64_t p, int64_t q) { return std::optional(p + q); });
      case 1:
        return Combine(x, y, x.dim - y.dim,
                       [](int64_t p, int64_t q) { return std::optional(p - q); });
      case 2:
        return Combine(x, y, x.dim * y.dim,
                       [](int64_t p, int64_t q) { return std::optional(p * q); });
      case 3: return Combine(x, y, FloorDiv(x.dim, y.dim), Floor);
      case 4:
        return Combine(x, y, Mod(x.dim, y.dim), [](int64_t p, int64_t q) -> std::optional<int64_t> {
          if (q == 0) return std::nullopt;
          return p - q * *Floor(p, q);
        });
      case 5:
        return Combine(x, y, CeilDiv(x.dim, y.dim),
                       [](int64_t p, int64_t q) -> std::optional<int64_t> {
                         if (q == 0) return std::nullopt;
                         return -*Floor(-p, q);
                       });
      case 6:
        return Combine(x, y, Min(x.dim, y.dim),
                       [](int64_t p, int64_t q) { return std::optional(std::min(p, q)); });
      default:
        return Combine(x, y, Max(x.dim, y.dim),
                       [](int64_t p, int64_t q) { return std::optional(std::max(p, q)); });
    }
  }

 private:
  static std::optional<int64_t> Floor(int64_t p, int64_t q) {
    if (q == 0) return std::nullopt;
    // The largest whole number that is not above p / q.
    int64_t quotient = p / q + 1;
    while (q > 0 ? quotient * q > p : quotient * q < p) --quotient;
    return quotient;
  }
  Sample Leaf() {
    Sample s;
    if (Pick(0, 2) == 0) {
      const int64_t value = positive_ ? Pick(1, 8) : Pick(-4, 8);
      s.dim = value;
      s.values.assign(kAssignments, value);
    } else {
      const char* name = kNames[Pick(0, 2)];
      s.dim = S(name);
      for (int i = 0; i < kAssignments; ++i)
        s.values.emplace_back(assignments_[i].find(name)->second);
    }
    return s;
  }
  template <typename F>
  Sample Combine(const Sample& x, const Sample& y, Dim dim, F&& f) {
    Sample s;
    s.dim = std::move(dim);
    for (int i = 0; i < kAssignments; ++i) {
      s.values.push_back(x.values[i] && y.values[i] ? f(*x.values[i], *y.values[i]) : std::nullopt);
    }
    return s;
  }

  uint64_t seed_;
  bool positive_;
  uint64_t counter_ = 0;
  SymbolValues assignments_[kAssignments];
};

class DimBruteForce : public testing::TestWithParam<bool> {};

TEST_P(DimBruteForce, EvaluatesSubstitutesBoundsAndPrintsLikeTheDefinition) {
  int checked = 0;
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Generator generator(seed, GetParam());
    const Sample s = generator.Make(4);
    if (s.dim.is_unknown()) continue;
    SCOPED_TRACE(s.dim.ToString());

    const auto parsed = Dim::Parse(s.dim.ToString());
    ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
    EXPECT_EQ(*parsed, s.dim) << parsed->ToString();

    SymbolRanges ranges;
    for (const char* name : kNames) ranges[name] = GetParam() ? DimRange{1, 9} : DimRange{-6, 9};
    const DimRange range = s.dim.Range(ranges);
    for (int i = 0; i < kAssignments; ++i) {
      if (!s.values[i]) continue;
      ++checked;
      const auto value = s.dim.Evaluate(generator.assignment(i));
      ASSERT_TRUE(value.ok()) << value.status().ToString();
      ASSERT_EQ(*value, *s.values[i]);
      ASSERT_LE(range.min, *value);
      ASSERT_GE(range.max, *value);
      // All at once, and one symbol after the other.
      ASSERT_EQ(s.dim.Substitute(generator.assignment(i)).AsConstant(), std::optional(*value));
    }
  }
  EXPECT_GT(checked, 15000);
}
INSTANTIATE_TEST_SUITE_P(PositiveAndSigned, DimBruteForce, testing::Bool());

// Two ways to write one function, both random, that the ring axioms make equal.
TEST(Dim, RingAxiomsHoldAsTextOnRandomExpressions) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Generator generator(seed, true);
    const Dim x = generator.Make(2).dim, y = generator.Make(2).dim, z = generator.Make(2).dim;
    const auto expect_equal = [](const Dim& p, const Dim& q) {
      if (p.is_unknown() || q.is_unknown()) return;
      EXPECT_EQ(p, q) << p.ToString() << " and " << q.ToString();
      EXPECT_EQ(p.ToString(), q.ToString());
    };
    expect_equal(x + y, y + x);
    expect_equal(x * y, y * x);
    expect_equal((x + y) + z, x + (y + z));
    expect_equal((x * y) * z, x * (y * z));
    expect_equal(x * (y + z), x * y + x * z);
    expect_equal(x - x, Dim(0));
    expect_equal(Min(x, Min(y, z)), Min(Min(z, x), y));
    expect_equal(Max(x, Max(y, z)), Max(Max(z, x), y));
    expect_equal(FloorDiv(x * 6, 6), x);
    expect_equal(FloorDiv(x * 6 + 5, 6), x);
    expect_equal(Mod(x * 6 + 5, 6), Dim(5));
    const Dim plain = generator.Make(0).dim * generator.Make(0).dim + generator.Make(0).dim;
    expect_equal(FloorDiv(FloorDiv(plain, 2), 3), FloorDiv(plain, 6));
    expect_equal(6 * FloorDiv(x, 6) + Mod(x, 6) - Mod(x, 6), 6 * FloorDiv(x, 6));
  }
}

TEST(Dim, CanonicalFormsOfWhatModelsCompute) {
  const Dim n = S("n"), batch = S("batch"), seq = S("seq");
  struct Case {
    Dim got;
    const char* want;
  } cases[] = {
      {2 * (n + 1), "2*n + 2"},
      {FloorDiv(4 * n, 2), "2*n"},
      {FloorDiv(4 * n + 3, 2), "2*n + 1"},
      {FloorDiv(2 * n, 4), "n floordiv 2"},
      {FloorDiv(6 * n + 4, 4), "n floordiv 2 + n + 1"},
      {FloorDiv(n, -2), "(-n) floordiv 2"},
      {FloorDiv(seq - 1, 2) + 1, "(seq + 1) floordiv 2"},
      {CeilDiv(seq, 2), "(seq + 1) floordiv 2"},
      {FloorDiv(FloorDiv(n, 2) + 1, 2), "(n + 2) floordiv 4"},
      {FloorDiv(batch * seq * 768, batch * seq), "768"},
      {FloorDiv(batch * seq * 768, batch * 12), "64*seq"},
      {FloorDiv(batch * seq, batch * 12), "seq floordiv 12"},
      {FloorDiv((n + 1) * (seq + 2) * 3, n + 1), "3*seq + 6"},
      {FloorDiv((n + 1) * (n + 1), n + 1), "n + 1"},
      {FloorDiv(n, seq), "n floordiv seq"},
      {Mod(4 * n + 1, 2), "1"},
      {Mod(2 * n + 1, 4), "2*(n mod 2) + 1"},
      {Mod(n, 1), "0"},
      {Mod(n * seq, n), "0"},
      {Mod(n, -3), "-((2*n) mod 3)"},
      {Min(n, n + 1), "n"},
      {Max(n, n + 1), "n + 1"},
      {Max(n, n), "n"},
      {Max(seq, 4), "max(4, seq)"},
      {Min(Min(n, 7), 5), "min(5, n)"},
      {Max(Dim(3), 4), "4"},
      {n - 1, "n - 1"},
      {1 - n, "-n + 1"},
      {n * n, "n*n"},
      {seq - FloorDiv(n, 2), "seq - (n floordiv 2)"},
      {0 - FloorDiv(n, 3), "-(n floordiv 3)"},
      {Dim::Symbol("past_sequence + 1") * 2, "2*\"past_sequence + 1\""},
      {S("min") + S("floordiv"), "\"floordiv\" + \"min\""},
      {Dim::Symbol("quo\"te\\\n"), "\"quo\\\"te\\\\\\x0a\""},
      {Dim(std::numeric_limits<int64_t>::min()), "-9223372036854775808"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(c.got.ToString(), c.want);
    const auto parsed = Dim::Parse(c.want);
    ASSERT_TRUE(parsed.ok()) << c.want << ": " << parsed.status().ToString();
    EXPECT_EQ(*parsed, c.got) << c.want;
  }
}

TEST(Dim, ReadsWhatPeopleWrite) {
  EXPECT_EQ(*Dim::Parse(" ( seq-1 )floordiv 2+1 "), FloorDiv(S("seq") - 1, 2) + 1);
  EXPECT_EQ(*Dim::Parse("2*3 - -4"), Dim(10));
  EXPECT_EQ(*Dim::Parse("7 mod 4 * 2"), Dim(6));
  EXPECT_EQ(*Dim::Parse("max(a,min(b , 3))"), Max(S("a"), Min(S("b"), 3)));
  EXPECT_TRUE(Dim::Parse("?").value().is_unknown());
}

TEST(Dim, RefusesTextWithTheColumn) {
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"", "column 1: expected a number, a symbol or '(', got the end"},
      {"a +", "column 4: expected a number"},
      {"(a", "column 3: expected ')'"},
      {"a b", "column 3: expected an operator or the end, got 'b'"},
      {"min(a)", "column 6: expected ','"},
      {"floordiv", "column 1: expected a number, a symbol or '('"},
      {"9223372036854775808", "expected an integer of 64 bits"},
      {"\"open", "expected '\"', got the end"},
      {"\"\"", "expected a symbol's name"},
      {"\"\\q\"", "expected an escape"},
      {"3x", "column 2: expected an operator or the end, got 'x'"},
  };
  for (const auto& c : cases) {
    const auto result = Dim::Parse(c.text);
    ASSERT_FALSE(result.ok()) << c.text;
    EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(result.status().message(), testing::HasSubstr(c.message)) << c.text;
  }
  EXPECT_FALSE(Dim::Parse(std::string(5000, '(')).ok());
  EXPECT_FALSE(Dim::Parse(std::string(20000, ' ')).ok());
}

TEST(Dim, OverflowMakesItUnknownInsteadOfWrong) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  const Dim unknowns[] = {Dim(kMax) + 1,           Dim(kMin) - 1,          Dim(kMax) * 2,
                          FloorDiv(Dim(kMin), -1), S("n") * kMax + S("n"), S("n") * kMax * 2,
                          Dim(0) - kMin,           CeilDiv(Dim(kMin), -1)};
  for (const Dim& d : unknowns) {
    EXPECT_TRUE(d.is_unknown()) << d.ToString();
    EXPECT_FALSE(d.is_constant());
    EXPECT_FALSE(d == d);
    EXPECT_EQ(d.ToString(), "?");
    EXPECT_EQ(d.Evaluate({{"n", 1}}).status().code(), StatusCode::kOutOfRange);
    EXPECT_EQ(d.Range({}), (DimRange{kMin, kMax}));
    for (const Dim& e :
         {d + 1, d - d, d * 0, FloorDiv(d, 2), Mod(4, d), Min(d, 1), Max(1, d), d.Substitute({})}) {
      EXPECT_TRUE(e.is_unknown());
    }
  }
  // The coefficients fit, one value does not.
  EXPECT_EQ((S("n") * 4).Evaluate({{"n", kMax / 2}}).status().code(), StatusCode::kOutOfRange);
}

TEST(Dim, ExpressionsThatOutgrowTheLimitBecomeUnknown) {
  Dim sum = 1;
  for (int i = 0; i < 12; ++i)
    sum = sum * (S(("s" + std::to_string(i)).c_str()) + 1);  // 4096 terms
  EXPECT_TRUE(sum.is_unknown());
  Dim nested = S("n");
  for (int i = 0; i < 2000 && !nested.is_unknown(); ++i) nested = Max(nested * S("m"), nested);
  EXPECT_TRUE(nested.is_unknown());
  Dim deep = S("n");
  Dim last = deep;
  for (int i = 0; i < 5000 && !deep.is_unknown(); ++i) {
    last = deep;
    deep = Mod(deep + 1, S("m"));
  }
  EXPECT_TRUE(deep.is_unknown());
  ASSERT_TRUE(Dim::Parse(last.ToString()).ok());  // whatever can be printed can be read
  EXPECT_EQ(*Dim::Parse(last.ToString()), last);
}

TEST(Dim, EvaluateNamesTheMissingSymbol) {
  const auto result = (S("batch") * FloorDiv(S("seq"), 2)).Evaluate({{"batch", 2}});
  EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(result.status().message(), testing::HasSubstr("symbol seq has no value"));
}

TEST(Dim, RangesAreTightWhereProfilesNeedThem) {
  const SymbolRanges ranges{{"batch", {1, 32}}, {"seq", {1, 512}}};
  const Dim batch = S("batch"), seq = S("seq");
  EXPECT_EQ((batch * seq * 768).Range(ranges), (DimRange{768, 32 * 512 * 768}));
  EXPECT_EQ((FloorDiv(seq - 1, 2) + 1).Range(ranges), (DimRange{1, 256}));
  EXPECT_EQ(Max(seq, 4).Range(ranges), (DimRange{4, 512}));
  EXPECT_EQ(Mod(seq, 8).Range(ranges), (DimRange{0, 7}));
  EXPECT_EQ(S("other").Range(ranges), (DimRange{0, (int64_t{1} << 31) - 1}));
  EXPECT_EQ(Dim(-3).Range(ranges), (DimRange{-3, -3}));
}

TEST(Dim, VisitsTheCanonicalForm) {
  const Dim d = 3 * S("a") * S("b") - 5;
  ASSERT_EQ(d.terms().size(), 2u);
  EXPECT_EQ(d.terms()[0].coefficient, -5);
  EXPECT_TRUE(d.terms()[0].factors.empty());
  EXPECT_EQ(d.terms()[1].coefficient, 3);
  ASSERT_EQ(d.terms()[1].factors.size(), 2u);
  EXPECT_EQ(d.terms()[1].factors[0].symbol, "a");
  std::set<std::string> symbols;
  (d + FloorDiv(S("c"), S("e"))).CollectSymbols(&symbols);
  EXPECT_THAT(symbols, testing::ElementsAre("a", "b", "c", "e"));
  EXPECT_EQ(S("a").AsSymbol(), std::optional<std::string>("a"));
  EXPECT_EQ((2 * S("a")).AsSymbol(), std::nullopt);
  EXPECT_EQ(Dim(4).AsSymbol(), std::nullopt);
}

TEST(SymShape, EvaluatesAndRefusesNegativeDimensions) {
  const SymShape shape{S("batch"), Dim(3), S("batch") - 2};
  EXPECT_EQ(ToString(shape), "[batch,3,batch - 2]");
  EXPECT_EQ(*Evaluate(shape, {{"batch", 4}}), (Shape{4, 3, 2}));
  const auto negative = Evaluate(shape, {{"batch", 1}});
  EXPECT_EQ(negative.status().code(), StatusCode::kOutOfRange);
  EXPECT_THAT(negative.status().message(),
              testing::HasSubstr("dimension 2 of shape [batch,3,batch - 2] is -1"));
  EXPECT_FALSE(IsStatic(shape));
  EXPECT_EQ(ElementCount(shape).ToString(), "3*batch*batch - 6*batch");
  EXPECT_EQ(ToShape(ToSymShape(Shape{2, 0, 5})), (Shape{2, 0, 5}));
  EXPECT_FALSE(Evaluate(SymShape(9, Dim(1)), {}).ok());
}

}  // namespace
}  // namespace fusee::ir
