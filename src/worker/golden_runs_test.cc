#include "worker/golden_runs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ipc/messages.h"
#include "plan/plan_test_util.h"
#include "runtime/golden.h"

namespace fusee::worker {
namespace {

// y = neg(abs(x) + w), f32[batch,4], with golden runs at batch 8 and 1.
class GoldenRunsTest : public testing::Test {
 protected:
  GoldenRunsTest() {
    plan::Plan plan = plan::testing::SmallPlan();
    plan.certificate.golden.clear();
    auto bare = Make(plan);
    for (int64_t batch : {8, 1}) {
      auto digests = runtime::RunGolden(*bare, std::vector<int64_t>{batch}, Fill::kUniform, 7);
      FUSEE_CHECK(digests.ok(), "golden run");
      plan.certificate.golden.push_back({{batch}, Fill::kUniform, 7, *digests});
    }
    context_ = Make(plan);
    runs_.emplace(context_.get());
  }
  ~GoldenRunsTest() override { fault::Disarm(); }

  static std::unique_ptr<runtime::Context> Make(const plan::Plan& plan) {
    auto loaded =
        runtime::LoadedPlan::FromPlan(std::make_shared<plan::Plan>(plan), {.replay_golden = false});
    FUSEE_CHECK(loaded.ok(), "the plan loads");
    auto context = runtime::Context::Create(*loaded, {});
    FUSEE_CHECK(context.ok(), "a context");
    return std::move(*context);
  }
  std::optional<GoldenDifference> Replay() {
    const auto difference = runs_->ReplayAll(clock_);
    EXPECT_TRUE(difference.ok()) << difference.status().message();
    return difference.ok() ? *difference : std::nullopt;
  }

  FakeClock clock_;
  std::unique_ptr<runtime::Context> context_;
  std::optional<GoldenRuns> runs_;
};

TEST_F(GoldenRunsTest, RightBitsHaveNoDifferenceAndCanBeProbed) {
  EXPECT_FALSE(runs_->can_probe());
  EXPECT_EQ(Replay(), std::nullopt);
  ASSERT_TRUE(runs_->can_probe());
  for (int i = 0; i < 3; ++i) {
    const auto probe = runs_->Probe();
    ASSERT_TRUE(probe.ok());
    EXPECT_EQ(*probe, std::nullopt);
  }
}

TEST_F(GoldenRunsTest, ADeviceThatErrsOnceIsFoundToTheElement) {
  ASSERT_TRUE(fault::Arm("golden:wrong@2").ok());
  const auto difference = Replay();
  ASSERT_TRUE(difference);
  EXPECT_EQ(difference->point, 1u);
  EXPECT_EQ(difference->output, "y");
  EXPECT_EQ(difference->element, 0);
  EXPECT_FALSE(difference->repeats);
  EXPECT_FALSE(runs_->can_probe());
}

// The plan names digests that no run gives; the fault changes the first run only.
TEST_F(GoldenRunsTest, TwoRunsThatAreWrongInTwoWaysDoNotRepeat) {
  plan::Plan plan = context_->plan().plan();
  plan.certificate.golden[0].output_digests[0][0] ^= std::byte{1};
  const auto context = Make(plan);
  GoldenRuns runs(context.get());
  ASSERT_TRUE(fault::Arm("golden:wrong").ok());
  const auto difference = runs.ReplayAll(clock_);
  ASSERT_TRUE(difference.ok() && *difference);
  EXPECT_FALSE((*difference)->repeats);
  EXPECT_EQ((*difference)->element, std::nullopt);
}

TEST_F(GoldenRunsTest, WhereNoRunIsRightTheElementIsUnknown) {
  ASSERT_TRUE(fault::Arm("golden:wrongx0").ok());
  const auto difference = Replay();
  ASSERT_TRUE(difference);
  EXPECT_EQ(difference->element, std::nullopt);
  EXPECT_TRUE(difference->repeats);
  EXPECT_THAT(difference->Text(), testing::HasSubstr("golden point 0: output 'y'"));
}

TEST_F(GoldenRunsTest, AProbeFindsTheElementHoweverOftenItIsWrong) {
  ASSERT_EQ(Replay(), std::nullopt);
  ASSERT_TRUE(fault::Arm("probe:wrong@2x0").ok());
  EXPECT_EQ(*runs_->Probe(), std::nullopt);
  for (int i = 0; i < 2; ++i) {
    const auto probe = runs_->Probe();
    ASSERT_TRUE(probe.ok() && *probe);
    EXPECT_EQ((*probe)->element, 0);
  }
}

TEST_F(GoldenRunsTest, OtherShapesBetweenProbesDoNotMatter) {
  ASSERT_EQ(Replay(), std::nullopt);
  for (int64_t batch : {8, 1, 3}) {
    ASSERT_TRUE(runtime::FillInputs(*context_, std::vector<int64_t>{batch}, Fill::kTiny, 3).ok());
    ASSERT_TRUE(context_->Run().ok());
    EXPECT_EQ(*runs_->Probe(), std::nullopt) << batch;
  }
}

// Every look at this clock takes time.
class SlowClock final : public Clock {
 public:
  explicit SlowClock(Duration step) : step_(step) {}
  TimePoint Now() const override { return now_ += step_; }

 private:
  const Duration step_;
  mutable TimePoint now_{};
};

TEST_F(GoldenRunsTest, ARunThatTakesTooLongIsNotProbed) {
  ASSERT_TRUE(runs_->ReplayAll(SlowClock(ipc::kProbeTimeMax)).ok());
  EXPECT_TRUE(runs_->can_probe());
  ASSERT_TRUE(runs_->ReplayAll(SlowClock(ipc::kProbeTimeMax + Duration(1))).ok());
  EXPECT_FALSE(runs_->can_probe());
}

TEST_F(GoldenRunsTest, APlanWithoutGoldenRunsHasNoneToProbe) {
  const auto context = Make(plan::testing::SmallPlan());
  GoldenRuns runs(context.get());
  const auto difference = runs.ReplayAll(clock_);
  ASSERT_TRUE(difference.ok());
  EXPECT_EQ(*difference, std::nullopt);
  EXPECT_FALSE(runs.can_probe());
}

}  // namespace
}  // namespace fusee::worker
