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

// y = f32[64 - count]: more is found, less is written.
Plan ShrinkingPlan() {
  Plan plan = CountingPlan();
  plan.dims.push_back({plan::DimOp::kConstant, -1, 0});
  plan.dims.push_back({plan::DimOp::kMul, 3, 4});
  plan.dims.push_back({plan::DimOp::kConstant, 64, 0});
  plan.dims.push_back({plan::DimOp::kAdd, 5, 6});
  plan.dims.push_back({plan::DimOp::kConstant, 1, 0});
  plan.tensors.push_back({"one", DType::kF32, {8}, plan::Region::kWeights, 0, 4});
  plan.tensors[2] = {"y", DType::kF32, {7}, plan::Region::kIo, 128, 256};
  plan.io_bytes = 128 + 256;
  plan::Step& expand = plan.steps[1];
  expand.op = "Expand";
  expand.kernel = "expand_ref.1";
  expand.inputs = {3};
  expand.dims = {7};
  return plan;
}

TEST(FoundSizes, ThatShrinkAnOutputNeverLeaveTheCallersBuffer) {
  auto context = ContextOf(ShrinkingPlan());
  std::vector<float> y(64 + 16, -7.0f);
  ASSERT_TRUE(context->BindOutput(0, y.data(), 40 * sizeof(float)).ok());
  FillX(*context, 8, 30);  // 34 of them
  ASSERT_TRUE(context->Run().ok());
  EXPECT_EQ(context->output(0).shape, (Shape{34}));
  FillX(*context, 8, 0);
  const Status status = context->Run();  // 64 would be too many
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.ToString();
  for (size_t i = 40; i < y.size(); ++i) ASSERT_EQ(y[i], -7.0f) << i;
  // Not aligned, so copied to where it is wanted.
  ASSERT_TRUE(context->BindOutput(0, y.data() + 1, 40 * sizeof(float)).ok());
  EXPECT_EQ(context->Run().code(), StatusCode::kInvalidArgument);
  for (size_t i = 41; i < y.size(); ++i) ASSERT_EQ(y[i], -7.0f) << i;
}

TEST(FoundSizes, OfARunThatEndedHalfWayAreForgotten) {
  Plan plan = CountingPlan();
  plan.counts = {{"a", 10}, {"b", 10}};
  plan.dims = {{plan::DimOp::kConstant, 2, 0},
               {plan::DimOp::kCount, 0, 10},
               {plan::DimOp::kCount, 1, 10},
               {plan::DimOp::kConstant, 1, 0}};
  plan.symbols.clear();
  plan.certificate.corners.clear();
  plan.tensors = {{"x", DType::kI64, {0}, plan::Region::kIo, 0, 64},
                  {"sizes", DType::kI64, {0}, plan::Region::kActivations, 0, 64},
                  {"y", DType::kF32, {1, 2}, plan::Region::kIo, 64, 448},
                  {"one", DType::kF32, {3}, plan::Region::kWeights, 0, 4}};
  plan.io_bytes = 512;
  plan.activation_bytes = 64;
  plan.buckets = {{{}, 64, {}}};
  plan.steps[0].op = "Sizes";
  plan.steps[0].kernel = "sizes_ref.1";
  plan.steps[0].counts = {0, 1};
  plan.steps[1].op = "Expand";
  plan.steps[1].kernel = "expand_ref.1";
  plan.steps[1].inputs = {3};
  plan.steps[1].dims = {1, 2};
  auto context = ContextOf(std::move(plan));
  int64_t* x = context->input(0).as<int64_t>();
  x[0] = 3, x[1] = 100;
  EXPECT_EQ(context->Run().code(), StatusCode::kOutOfRange);
  x[0] = 5, x[1] = 5;
  const Status status = context->Run();
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(context->output(0).shape, (Shape{5, 5}));
}

TEST(FoundSizes, OutputsOfThemAreBoundWhole) {
  auto context = ContextOf(CountingPlan());
  std::vector<std::byte> y(512);
  const OutputPiece piece(y);
  EXPECT_EQ(context->BindOutputPieces(0, std::span(&piece, 1)).code(),
            StatusCode::kInvalidArgument);
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
