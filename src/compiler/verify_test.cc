#include "compiler/verify.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/difference.h"
#include "compiler/testing.h"

namespace fusee::compiler {
namespace {

using testing::HasSubstr;

std::shared_ptr<const plan::Plan> PlanOf(const std::string& text, EmitTextOptions options = {}) {
  auto e = EmitText(text, options);
  EXPECT_TRUE(e.ok()) << e.status().ToString();
  return std::make_shared<const plan::Plan>(std::move(e->plan));
}

// y = tanh(x * k + 1), row by row.
std::string Rows(double k) {
  return fmt::format(R"(graph "rows" {{
  symbol batch in [1, 6]
  input %x : f32[batch,4]
  const %k : f32[4] = {{{0}, {0}, {0}, {0}}}
  const %one : f32[] = {{1}}
  %scaled : f32[batch,4] = Mul(%x, %k)
  %moved : f32[batch,4] = Add(%scaled, %one)
  %y : f32[batch,4] = Tanh(%moved)
  output %y as "y"
}})",
                     k);
}

TEST(ReducedPrecision, IsWhatIsComputedInAndNotTheFormOfInputsAndOutputs) {
  const auto net = [](const char* type, const char* border_in, const char* border_out) {
    return PlanOf(fmt::format(R"(graph "net" {{
  input %x : f16[2,3,4]
  %t : f16[2,4,3] = Transpose(%x) {{perm = [0, 2, 1]}}
  {1}
  %m : {0}[2,4,3] = Tanh(%a)
  {2}
  %y : f16[2,3,4] = Transpose(%b) {{perm = [0, 2, 1]}}
  output %y as "y"
}})",
                              type, border_in, border_out));
  };
  const auto full =
      net("f32", "%a : f32[2,4,3] = Cast(%t) {to = 1}", "%b : f16[2,4,3] = Cast(%m) {to = 10}");
  const auto half = net("f16", "%a : f16[2,4,3] = Neg(%t)", "%b : f16[2,4,3] = Neg(%m)");
  EXPECT_EQ(ReducedPrecision(*full, *full), Reduced::kNone);
  EXPECT_EQ(ReducedPrecision(*half, *full), Reduced::kF16);
  EXPECT_EQ(ReducedPrecision(*half, *half), Reduced::kNone);
  // Rounded in between.
  const auto between = PlanOf(R"(graph "net" {
  input %x : f32[2]
  %h : f16[2] = Cast(%x) {to = 10}
  %y : f32[2] = Cast(%h) {to = 1}
  output %y as "y"
})");
  EXPECT_EQ(ReducedPrecision(*between, *full), Reduced::kF16);
}

TEST(ReducedPrecision, Tf32IsWhereAStepAllowsIt) {
  const auto net = [](const char* attrs) {
    return PlanOf(fmt::format(R"(graph "net" {{
  input %x : f32[2,2]
  const %w : f32[2,2] = {{1, 2, 3, 4}}
  %y : f32[2,2] = MatMul(%x, %w){}
  output %y as "y"
}})",
                              attrs));
  };
  const auto plain = net(""), tf32 = net(R"( {math = "tf32"})");
  EXPECT_EQ(ReducedPrecision(*tf32, *plain), Reduced::kTf32);
  EXPECT_EQ(ReducedPrecision(*plain, *plain), Reduced::kNone);
  EXPECT_EQ(ReducedPrecision(tf32->steps[0].attrs), Reduced::kTf32);
  EXPECT_EQ(NormTolerance(Reduced::kTf32), kVerifyF16Tol);
  // Values beyond f16's range still count.
  const float got[] = {2e6f}, want[] = {1e6f};
  const Shape shape{1};
  EXPECT_EQ(
      CompareWithReference({DType::kF32, shape, got}, {DType::kF32, shape, want}, Reduced::kTf32)
          .mismatches,
      1);
}

class Verify : public testing::Test {
 protected:
  Result<VerifyOutcome> Run(const std::string& candidate, const std::string& reference,
                            double budget_s = 60) {
    return VerifyPlan(PlanOf(candidate),
                      PlanOf(reference, {.in_place = false, .reference_only = true}), budget_s,
                      clock_, &serial_);
  }
  FakeClock clock_;
  SerialParallel serial_;
};

TEST_F(Verify, AcceptsAPlanThatAgreesEverywhere) {
  auto outcome = Run(Rows(0.5), Rows(0.5));
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_TRUE(outcome->passed) << outcome->failure;
  EXPECT_EQ(outcome->corners.size(), 15u);  // smallest, largest and a middle batch; five fills
  EXPECT_TRUE(outcome->batch_checked);
  EXPECT_TRUE(outcome->batch_invariant);
}

TEST_F(Verify, NamesTheFirstStepThatDiffers) {
  auto outcome = Run(Rows(0.5), Rows(0.75));
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_FALSE(outcome->passed);
  EXPECT_THAT(outcome->failure, HasSubstr("output 'y' differs"));
  EXPECT_THAT(outcome->failure, HasSubstr("first step that differs is Mul 'scaled'"));
}

TEST_F(Verify, SeesADifferenceOfAThousandth) {
  auto outcome = Run(Rows(0.5), Rows(0.503));
  ASSERT_TRUE(outcome.ok());
  EXPECT_FALSE(outcome->passed);
}

// Rotating rows commutes with a maximum over the batch, so only other neighbours show that rows
// mix.
TEST_F(Verify, PromisesNothingOfRowsThatTheModelMixes) {
  for (const char* op : {"ReduceMean", "ReduceMax"}) {
    for (int smallest : {0, 1, 2}) {
      SCOPED_TRACE(fmt::format("{} from {}", op, smallest));
      const std::string mixing = fmt::format(R"(graph "mix" {{
  symbol batch in [{}, 6]
  input %x : f32[batch,4]
  %all : f32[1,4] = {}(%x) {{axes = [0], keepdims = 1}}
  %y : f32[batch,4] = Sub(%x, %all)
  output %y as "y"
}})",
                                             smallest, op);
      auto outcome = Run(mixing, mixing);
      ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
      EXPECT_TRUE(outcome->passed) << outcome->failure;
      EXPECT_FALSE(outcome->batch_checked);
      EXPECT_THAT(outcome->batch_note, HasSubstr("mixes rows"));
    }
  }
}

// A last-bit difference before a Floor is a whole one behind it: few elements may, if every step
// agrees.
TEST_F(Verify, LeavesAmplifiedRoundingToTheSteps) {
  const auto floor = [](double k) {
    return fmt::format(R"(graph "floor" {{
  symbol batch in [1, 512]
  input %x : f32[batch,4]
  const %k : f32[] = {{{}}}
  %scaled : f32[batch,4] = Mul(%x, %k)
  %y : f32[batch,4] = Floor(%scaled)
  output %y as "y"
}})",
                       k);
  };
  auto outcome = Run(floor(20.002), floor(20));
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_TRUE(outcome->passed) << outcome->failure;
  EXPECT_FALSE(outcome->to_sample.empty());
  auto wrong = Run(floor(25), floor(20));
  ASSERT_TRUE(wrong.ok());
  EXPECT_FALSE(wrong->passed);
}

TEST_F(Verify, WithoutBudgetEveryOrdinaryCornerIsLeftToTheSteps) {
  auto outcome = Run(Rows(0.5), Rows(0.5), 0);
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->passed);
  EXPECT_TRUE(outcome->corners.empty());
  EXPECT_EQ(outcome->to_sample.size(), 3u);
  EXPECT_EQ(outcome->skipped, 15u);
}

// Ordinary integers hold zeros; plan and reference refuse them alike, and ones are compared
// instead.
TEST_F(Verify, AModelThatRefusesItsInputsIsVerifiedOnOthers) {
  const std::string division = R"(graph "division" {
  input %x : i32[8]
  input %d : i32[8]
  %y : i32[8] = Div(%x, %d)
  output %y as "y"
})";
  auto outcome = Run(division, division);
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_TRUE(outcome->passed) << outcome->failure;
  EXPECT_FALSE(outcome->corners.empty());
  EXPECT_THAT(outcome->refused_alike, HasSubstr("division by zero"));
  auto golden = RecordGolden(PlanOf(division), &serial_);
  ASSERT_TRUE(golden.ok()) << golden.status().ToString();
  EXPECT_EQ((*golden)[0].fill, Fill::kConstant);
}

TEST_F(Verify, RecordsGoldenDigestsOfBothEnds) {
  auto golden = RecordGolden(PlanOf(Rows(0.5)), &serial_);
  ASSERT_TRUE(golden.ok());
  ASSERT_EQ(golden->size(), 2u);
  EXPECT_EQ((*golden)[0].symbol_values, std::vector<int64_t>{1});
  EXPECT_EQ((*golden)[1].symbol_values, std::vector<int64_t>{6});
  EXPECT_NE((*golden)[0].output_digests, (*golden)[1].output_digests);
}

TEST(CompareWithReference, AllowsRoundingBesideLargeElementsOnly) {
  const Tensor want = Tensor::Of<float>({3}, {1000.f, 0.f, 1.f});
  const Tensor near = Tensor::Of<float>({3}, {1000.5f, 0.01f, 1.02f});
  EXPECT_EQ(CompareWithReference(near.view(), want.view()).mismatches, 0);
  const Tensor off = Tensor::Of<float>({3}, {1002.f, 0.f, 1.f});
  EXPECT_EQ(CompareWithReference(off.view(), want.view()).first, 0);
  const Tensor nan = Tensor::Of<float>({3}, {1000.f, 0.f, NAN});
  EXPECT_EQ(CompareWithReference(nan.view(), want.view()).first, 2);
}

TEST(CompareWithReference, TellsTheScaleOfItsErrors) {
  const Tensor want = Tensor::Of<float>({4}, {-1000.f, 0.f, 1.f, INFINITY});
  const Tensor got = Tensor::Of<float>({4}, {-1000.5f, 0.f, 1.f, INFINITY});
  EXPECT_EQ(CompareWithReference(got.view(), want.view()).max_abs, 0.5);
  EXPECT_EQ(CompareWithReference(got.view(), want.view()).max_abs_want, 1000);
}

TEST(CompareWithReference, InfinitiesKeepTheirSign) {
  const Tensor want = Tensor::Of<float>({1}, {INFINITY});
  const Tensor near = Tensor::Of<float>({1}, {3e38f});
  const Tensor minus = Tensor::Of<float>({1}, {-INFINITY});
  const Tensor nan = Tensor::Of<float>({1}, {NAN});
  EXPECT_EQ(CompareWithReference(near.view(), want.view()).mismatches, 0);
  EXPECT_EQ(CompareWithReference(minus.view(), want.view()).mismatches, 1);
  EXPECT_EQ(CompareWithReference(nan.view(), want.view()).mismatches, 1);
}

TEST(CompareWithReference, IntegersAreExact) {
  const Tensor want = Tensor::Of<int64_t>({2}, {int64_t{1} << 62, 7});
  const Tensor off = Tensor::Of<int64_t>({2}, {(int64_t{1} << 62) + 1, 7});
  EXPECT_EQ(CompareWithReference(off.view(), want.view()).mismatches, 1);
}

}  // namespace
}  // namespace fusee::compiler
