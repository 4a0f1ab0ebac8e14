// Steps that a run leaves out.
#include <gtest/gtest.h>

#include "plan/plan_test_util.h"
#include "runtime/runtime.h"

namespace fusee::runtime {

int64_t AllocationsSoFar();  // counted_new_test.cc; -1 where it cannot count

namespace {

using plan::Plan;
using plan::testing::GuardedPlan;

std::unique_ptr<Context> ContextOf(Plan plan) {
  auto loaded = LoadedPlan::FromPlan(std::make_shared<const Plan>(std::move(plan)));
  EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
  auto context = Context::Create(*loaded);
  EXPECT_TRUE(context.ok()) << context.status().ToString();
  return std::move(context).value();
}

void Fill(Context& context, bool condition, int64_t batch = 8) {
  ASSERT_TRUE(context.SetInputShape(0, Shape{batch, 4}).ok());
  const TensorView x = context.input(0);
  for (int64_t i = 0; i < x.elements(); ++i) x.as<float>()[i] = static_cast<float>(i - 3);
  *context.input(1).as<bool>() = condition;
}

void ExpectResult(const ConstTensorView& y, bool condition) {
  for (int64_t i = 0; i < y.elements(); ++i) {
    const auto x = static_cast<float>(i - 3);
    EXPECT_EQ(y.as<float>()[i], condition && x > 0 ? x : -x) << i;
  }
}

TEST(GuardedSteps, FollowTheConditionOfEachRun) {
  auto context = ContextOf(GuardedPlan());
  for (const bool condition : {true, false, false, true, true, false}) {
    for (const int64_t batch : {8, 1}) {
      Fill(*context, condition, batch);
      ASSERT_TRUE(context->Run().ok());
      ExpectResult(context->output(0), condition);
    }
  }
}

TEST(GuardedSteps, ReadTheConditionWhereTheCallerHasIt) {
  auto context = ContextOf(GuardedPlan());
  alignas(64) bool conditions[64] = {true};
  Fill(*context, false);
  ASSERT_TRUE(context->BindInput(1, &conditions[0], 1).ok());
  ASSERT_TRUE(context->Run().ok());
  ExpectResult(context->output(0), true);
  ASSERT_TRUE(context->BindInput(1, &conditions[1], 1).ok());  // not aligned: copied
  ASSERT_TRUE(context->Run().ok());
  ExpectResult(context->output(0), false);
}

TEST(GuardedSteps, AskNothingOfTheHeap) {
  auto context = ContextOf(GuardedPlan());
  for (const bool condition : {true, false}) {
    Fill(*context, condition);
    ASSERT_TRUE(context->Run().ok());
  }
  const int64_t before = AllocationsSoFar();
  for (int i = 0; i < 10; ++i) {
    *context->input(1).as<bool>() = i % 2 == 0;
    ASSERT_TRUE(context->Run().ok());
  }
  EXPECT_EQ(AllocationsSoFar(), before);
}

TEST(GuardedSteps, AreSeenByHooksOnlyWhereTheyRan) {
  struct Hook final : StepHook {
    void OnStep(const StepEvent& event) override { steps.push_back(event.step); }
    std::vector<size_t> steps;
  } hook;
  auto context = ContextOf(GuardedPlan());
  context->SetStepHook(&hook);
  for (const bool condition : {true, false}) {
    hook.steps.clear();
    Fill(*context, condition);
    ASSERT_TRUE(context->Run().ok());
    EXPECT_EQ(hook.steps, (std::vector<size_t>{condition ? 0u : 1u, 2u}));
    ExpectResult(context->output(0), condition);
  }
}

// All guards must hold; a later one is not looked at where one before it does not.
TEST(GuardedSteps, NeedAllTheirGuards) {
  Plan plan = GuardedPlan();
  plan.steps[1].guards = {{1, true}, {1, false}};
  plan.steps[2].inputs = {1, 2, 0};
  struct Hook final : StepHook {
    void OnStep(const StepEvent& event) override { ran |= event.step == 1; }
    bool ran = false;
  } hook;
  auto context = ContextOf(std::move(plan));
  context->SetStepHook(&hook);
  for (const bool condition : {true, false}) {
    Fill(*context, condition);
    ASSERT_TRUE(context->Run().ok());
  }
  EXPECT_FALSE(hook.ran);
}

}  // namespace
}  // namespace fusee::runtime
