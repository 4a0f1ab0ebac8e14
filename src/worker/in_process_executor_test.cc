#include "worker/in_process_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <future>

#include "plan/plan_test_util.h"
#include "worker/plan_metadata.h"

namespace fusee::worker {
namespace {

using plan::DimOp;
using plan::Plan;
using plan::Region;
using testing::HasSubstr;

constexpr int64_t kWidth = 5;
constexpr int64_t kBatchMax = 4;

// y = relu(x), f32[batch, 5], batch 1..4, by the reference kernel.
std::shared_ptr<Plan> ReluPlan() {
  auto plan = std::make_shared<Plan>();
  plan->symbols = {{.name = "batch", .min = 1, .opt = 2, .max = kBatchMax, .input = 0, .axis = 0}};
  plan->dims = {{DimOp::kSymbol, 0, 0}, {DimOp::kConstant, kWidth, 0}};
  const uint64_t bytes = 128;  // 4 * 5 * 4, rounded up to 64
  plan->tensors = {{.name = "x",
                    .dtype = DType::kF32,
                    .shape = {0, 1},
                    .region = Region::kIo,
                    .offset = 0,
                    .capacity_bytes = bytes},
                   {.name = "y",
                    .dtype = DType::kF32,
                    .shape = {0, 1},
                    .region = Region::kIo,
                    .offset = bytes,
                    .capacity_bytes = bytes}};
  plan->inputs = {{.name = "x", .tensor = 0, .pinned = {}}};
  plan->outputs = {{.name = "y", .tensor = 1, .pinned = {}}};
  const auto kernels = ops::KernelsFor("Relu");
  FUSEE_CHECK(!kernels.empty(), "no relu kernel");
  plan->steps = {{.op = "Relu",
                  .kernel = std::string(kernels.back()->id),
                  .attrs = {},
                  .inputs = {0},
                  .outputs = {1}}};
  plan->buckets = {
      {.symbol_values = {1}, .latency = {.count = 10, .p50_us = 1, .p99_us = 2}},
      {.symbol_values = {kBatchMax}, .latency = {.count = 10, .p50_us = 3, .p99_us = 4}}};
  plan->io_bytes = 2 * bytes;
  plan->certificate = {.verified = true, .batch_invariant = true, .batch_checked = true};
  return plan;
}

class Waiter final : public ipc::BatchListener {
 public:
  void OnBatchDone(ipc::BatchResult result) override { promise_.set_value(std::move(result)); }
  ipc::BatchResult Wait() { return promise_.get_future().get(); }

 private:
  std::promise<ipc::BatchResult> promise_;
};

TEST(PlanMetadata, BatchesOnlyWhatTheCertificateAllows) {
  auto plan = ReluPlan();
  EXPECT_EQ(DescribePlan(*plan, "m", 1).batch_symbol, 0);
  plan->certificate.batch_invariant = false;
  EXPECT_THAT(DescribePlan(*plan, "m", 1).not_batched_because,
              HasSubstr("depends on its neighbours"));
  plan->certificate.batch_checked = false;
  EXPECT_EQ(DescribePlan(*plan, "m", 1).batch_symbol, -1);
}

TEST(PlanMetadata, BatchesOnlyAlongDimensionZeroOfEverything) {
  auto plan = ReluPlan();
  plan->tensors[1].shape = {1, 0};
  EXPECT_THAT(DescribePlan(*plan, "m", 1).not_batched_because,
              HasSubstr("dimension 0 of 'y' is not batch"));
  plan->tensors[1].shape = {0, 0};
  EXPECT_THAT(DescribePlan(*plan, "m", 1).not_batched_because,
              HasSubstr("dimension 1 of 'y' also depends on batch"));
  plan->tensors[1].shape = {0, 1};
  plan->inputs[0].is_pinned = true;
  EXPECT_THAT(DescribePlan(*plan, "m", 1).not_batched_because, HasSubstr("fixed to one value"));
}

TEST(PlanMetadata, OfSizesThatARunFindsTheMostIsToldAndNothingIsBatched) {
  plan::Plan plan = plan::testing::CountingPlan();
  plan.dims.push_back({DimOp::kConstant, 3, 0});
  plan.constraints = {{3, 4, "three are expected"}};
  const ipc::ModelInfo info = DescribePlan(plan, "m", 1);
  EXPECT_EQ(info.outputs[0].shape, (std::vector<int64_t>{2, ipc::kDynamicDim}));
  const ipc::ShapeProgram program = DescribeShapes(plan);
  EXPECT_TRUE(ipc::CheckModel(info, program).ok());
  // Only the run can say whether the constraint holds.
  Shape out;
  const Shape in = {8, 4};
  const Status status = ipc::OutputShapes(info, program, std::span(&in, 1), std::span(&out, 1));
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(out, (Shape{2, 32}));
  // A batch on axis 0 all the same.
  plan.constraints.clear();
  plan.tensors[1].shape = plan.tensors[2].shape = {0, 3};
  EXPECT_THAT(DescribePlan(plan, "m", 1).not_batched_because,
              HasSubstr("'y' is as large as the data makes it"));
}

TEST(PlanMetadata, OutputShapesAreCheckedAgainstTheProfile) {
  const auto plan = ReluPlan();
  Shape out[1];
  const auto shapes = [&](const Shape& in) {
    return ipc::OutputShapes(DescribePlan(*plan, "m", 1), DescribeShapes(*plan), std::span(&in, 1),
                             out);
  };
  EXPECT_TRUE(shapes(Shape{3, kWidth}).ok());
  EXPECT_EQ(out[0], (Shape{3, kWidth}));
  EXPECT_EQ(shapes(Shape{0, kWidth}).code(), StatusCode::kOutOfRange);
  EXPECT_THAT(shapes(Shape{kBatchMax + 1, kWidth}).message(),
              HasSubstr("batch = 5 is outside the plan's profile [1, 4]"));
  EXPECT_EQ(shapes(Shape{1, kWidth + 1}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(shapes(Shape{1}).code(), StatusCode::kInvalidArgument);
}

TEST(InProcessExecutor, GathersRunsAndScatters) {
  auto loaded = runtime::LoadedPlan::FromPlan(ReluPlan());
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  InProcessExecutor executor;
  auto model = executor.Adopt(*loaded, "relu", 1);
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_GT((*model)->info().memory_bytes, 0u);

  // Requests of 1, 2 and 1 rows, at odd addresses: a body's tensors lie where they lie.
  const int64_t rows[] = {1, 2, 1};
  std::vector<std::vector<std::byte>> in(3), out(3);
  std::vector<ConstTensorView> inputs(3);
  std::vector<TensorView> outputs(3);
  std::vector<ipc::BatchItem> items;
  float next = -7;
  for (size_t k = 0; k < 3; ++k) {
    const size_t bytes = static_cast<size_t>(rows[k] * kWidth) * 4;
    in[k].resize(bytes + 1);
    out[k].resize(bytes);
    for (size_t i = 0; i < bytes; i += 4, next += 1) std::memcpy(in[k].data() + 1 + i, &next, 4);
    inputs[k] = {DType::kF32, Shape{rows[k], kWidth}, in[k].data() + 1};
    outputs[k] = {DType::kF32, Shape{rows[k], kWidth}, out[k].data()};
    items.push_back({.inputs = {&inputs[k], 1}, .outputs = {&outputs[k], 1}});
  }
  for (int round = 0; round < 2;
       ++round) {  // the second finds the context in the shape of the first
    Waiter waiter;
    executor.Execute({.id = 7, .model = model->get(), .items = items}, &waiter);
    const ipc::BatchResult result = waiter.Wait();
    ASSERT_TRUE(result.status.ok()) << result.status.message();
    EXPECT_EQ(result.id, 7u);
    float want = -7;
    for (const auto& bytes : out) {
      for (size_t i = 0; i < bytes.size(); i += 4, want += 1) {
        float got;
        std::memcpy(&got, bytes.data() + i, 4);
        EXPECT_EQ(got, std::max(want, 0.0f));
      }
    }
  }
}

TEST(InProcessExecutor, AMissingPlanIsAnError) {
  InProcessExecutor executor;
  EXPECT_EQ(executor.Load("/nonexistent/model.plan", "m", 1).status().code(),
            StatusCode::kNotFound);
}

}  // namespace
}  // namespace fusee::worker
