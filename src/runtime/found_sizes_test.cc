// Sizes that a run finds: results, what comes after them, and memory.
#include <gtest/gtest.h>

#include "plan/plan_test_util.h"
#include "runtime/runtime.h"

namespace fusee::runtime {

int64_t AllocationsSoFar();  // counted_new_test.cc; -1 where it cannot count

namespace {

using plan::Plan;
using plan::testing::CountingPlan;

std::unique_ptr<Context> ContextOf(Plan plan) {
  auto loaded = LoadedPlan::FromPlan(std::make_shared<const Plan>(std::move(plan)));
  EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
  auto context = Context::Create(*loaded);
  EXPECT_TRUE(context.ok()) << context.status().ToString();
  return std::move(context).value();
}

// The first `count` elements are not zero.
void FillX(Context& context, int64_t batch, int64_t count) {
  ASSERT_TRUE(context.SetInputShape(0, Shape{batch, 4}).ok());
  const TensorView x = context.input(0);
  for (int64_t i = 0; i < x.elements(); ++i) x.as<float>()[i] = i < count ? 1.0f : 0.0f;
}

void ExpectPositions(const ConstTensorView& y, int64_t count) {
  ASSERT_EQ(y.shape, (Shape{2, count}));
  for (int64_t i = 0; i < count; ++i) {
    EXPECT_EQ(y.as<int64_t>()[i], i / 4);
    EXPECT_EQ(y.as<int64_t>()[count + i], i % 4);
  }
}

TEST(FoundSizes, FollowEveryRun) {
  auto context = ContextOf(CountingPlan());
  for (const auto& [batch, count] : std::vector<std::pair<int64_t, int64_t>>{
           {8, 32}, {8, 3}, {8, 0}, {1, 4}, {8, 31}, {3, 12}}) {
    FillX(*context, batch, count);
    ASSERT_TRUE(context->Run().ok());
    ExpectPositions(context->output(0), count);
    // Before the next run it may be anything up to the bound.
    ASSERT_TRUE(context->Prepare().ok());
    EXPECT_EQ(context->output(0).shape, (Shape{2, 32}));
  }
}

TEST(FoundSizes, AskNothingOfTheHeap) {
  auto context = ContextOf(CountingPlan());
  FillX(*context, 8, 20);
  ASSERT_TRUE(context->Run().ok());
  const int64_t before = AllocationsSoFar();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(context->Run().ok());
  EXPECT_EQ(AllocationsSoFar(), before);
}

TEST(FoundSizes, AboveTheBoundEndTheRunAndNoMore) {
  auto context = ContextOf(CountingPlan(8, 5));
  FillX(*context, 8, 6);
  const Status status = context->Run();
  EXPECT_EQ(status.code(), StatusCode::kOutOfRange) << status.ToString();
  EXPECT_NE(status.message().find("--bound"), std::string::npos) << status.ToString();
  FillX(*context, 8, 5);
  ASSERT_TRUE(context->Run().ok());
  ExpectPositions(context->output(0), 5);
}

TEST(FoundSizes, BoundBuffersHaveRoomForTheMost) {
  auto context = ContextOf(CountingPlan());
  FillX(*context, 8, 2);
  std::vector<int64_t> y(2 * 32 + 8, -7);
  ASSERT_TRUE(context->BindOutput(0, y.data(), 2 * 31 * sizeof(int64_t)).ok());
  EXPECT_EQ(context->Run().code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(context->BindOutput(0, y.data(), 2 * 32 * sizeof(int64_t)).ok());
  ASSERT_TRUE(context->Run().ok());
  ExpectPositions(context->output(0), 2);
  EXPECT_EQ(context->output(0).data, y.data());
  // After a run that found little, too.
  ASSERT_TRUE(context->BindOutput(0, y.data(), 2 * 31 * sizeof(int64_t)).ok());
  EXPECT_EQ(context->Run().code(), StatusCode::kInvalidArgument);
}

TEST(FoundSizes, HooksSeeWhatWasFound) {
  struct Hook final : StepHook {
    void OnStep(const StepEvent& event) override {
      if (event.step == 0) found = event.counts[0];
      shapes.push_back(event.outputs[0].shape);
    }
    int64_t found = -1;
    std::vector<Shape> shapes;
  } hook;
  auto context = ContextOf(CountingPlan());
  FillX(*context, 8, 7);
  context->SetStepHook(&hook);
  ASSERT_TRUE(context->Run().ok());
  EXPECT_EQ(hook.found, 7);
  EXPECT_EQ(hook.shapes, (std::vector<Shape>{Shape{2, 7}, Shape{2, 7}}));
}

// A size that is found twice over, and must be the same.
TEST(FoundSizes, ConstraintsWaitForThem) {
  Plan plan = CountingPlan();
  plan.dims.push_back({plan::DimOp::kConstant, 3, 0});
  plan.constraints = {{3, 4, "three are expected"}};
  auto context = ContextOf(std::move(plan));
  FillX(*context, 8, 3);
  EXPECT_TRUE(context->Run().ok());
  FillX(*context, 8, 4);
  const Status status = context->Run();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("three are expected"), std::string::npos) << status.ToString();
}

}  // namespace
}  // namespace fusee::runtime
