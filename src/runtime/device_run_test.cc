// Contexts on a device, driven by the fake one: graphs, filled-up batches, pieces, host steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "device/fake_device_test_util.h"
#include "ops/fake_kernels_test_util.h"
#include "runtime/device_plan_test_util.h"
#include "runtime/runtime.h"

namespace fusee::runtime {
namespace {

using plan::Plan;
using testing::DevicePlan;

struct Rig {
  fusee::testing::FakeDevice device;
  std::shared_ptr<const LoadedPlan> plan;
  std::unique_ptr<Context> context;

  Status Load(Plan from, ContextOptions options = {}) {
    FUSEE_TRY(plan, LoadedPlan::FromPlan(std::make_shared<const Plan>(std::move(from)),
                                         {.device = &device, .kernels = &ops::FakeKernels()}));
    FUSEE_TRY(context, Context::Create(plan, options));
    return OkStatus();
  }
  fusee::testing::FakeQueue& queue() { return *device.last_queue(); }
};

float Expected(float x, size_t i) { return -(std::fabs(x) + static_cast<float>(i % 4 + 1)); }

std::vector<float> Ramp(size_t count, float start) {
  std::vector<float> x(count);
  for (size_t i = 0; i < count; ++i) x[i] = start + static_cast<float>(i) * -0.5f;
  return x;
}

void ExpectRight(std::span<const float> y, std::span<const float> x) {
  ASSERT_EQ(y.size(), x.size());
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(y[i], Expected(x[i], i)) << "element " << i;
}

TEST(DeviceContext, LaunchesOneGraphAtABucketsShapes) {
  Rig rig;
  {
    const Status status = rig.Load(DevicePlan());
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  for (int64_t batch : {8, 1, 8}) {
    const auto x = Ramp(static_cast<size_t>(batch) * 4, 3);
    std::vector<float> y(x.size());
    ASSERT_TRUE(rig.context->SetInputShape(0, Shape{batch, 4}).ok());
    ASSERT_TRUE(rig.context->BindInput(0, x.data(), x.size() * 4).ok());
    ASSERT_TRUE(rig.context->BindOutput(0, y.data(), y.size() * 4).ok());
    const int64_t launches = rig.queue().launches(), direct = rig.queue().direct();
    ASSERT_TRUE(rig.context->Run().ok());
    EXPECT_EQ(rig.queue().launches(), launches + 1);
    EXPECT_EQ(rig.queue().direct(), direct) << "nothing beside the graph";
    ExpectRight(y, x);
  }
}

TEST(DeviceContext, FillsABatchBetweenBucketsUpToTheNext) {
  Rig rig;
  {
    const Status status = rig.Load(DevicePlan());
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  for (int64_t batch = 2; batch <= 7; ++batch) {
    const auto x = Ramp(static_cast<size_t>(batch) * 4, 1);
    ASSERT_TRUE(rig.context->SetInputShape(0, Shape{batch, 4}).ok());
    ASSERT_TRUE(rig.context->BindInput(0, x.data(), x.size() * 4).ok());
    const int64_t direct = rig.queue().direct();
    ASSERT_TRUE(rig.context->Run().ok());
    EXPECT_EQ(rig.queue().direct(), direct);
    const ConstTensorView y = rig.context->output(0);
    EXPECT_EQ(y.shape, (Shape{batch, 4}));
    ExpectRight({y.as<float>(), x.size()}, x);
  }
}

TEST(DeviceContext, LaunchesStepByStepWhereRowsWereNotVerified) {
  Plan plan = DevicePlan();
  plan.certificate.verified = false;
  Rig rig;
  {
    const Status status = rig.Load(plan);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  const auto x = Ramp(3 * 4, 2);
  ASSERT_TRUE(rig.context->SetInputShape(0, Shape{3, 4}).ok());
  ASSERT_TRUE(rig.context->BindInput(0, x.data(), x.size() * 4).ok());
  const int64_t launches = rig.queue().launches();
  ASSERT_TRUE(rig.context->Run().ok());
  EXPECT_EQ(rig.queue().launches(), launches);
  ExpectRight({rig.context->output(0).as<float>(), x.size()}, x);
}

// A plan can be verified and mix rows: its certificate then does not say that rows were checked.
TEST(DeviceContext, FillsUpNoBatchOfAModelThatMixesRowsOrHasHostSteps) {
  Plan mixes = DevicePlan();
  mixes.certificate.batch_checked = false;
  Plan host_step = DevicePlan();
  host_step.steps[1].kernel = "add_ref.1";
  host_step.steps[1].device = static_cast<uint8_t>(DeviceKind::kCpu);
  for (const Plan& plan : {mixes, host_step}) {
    Rig rig;
    ASSERT_TRUE(rig.Load(plan).ok());
    const auto x = Ramp(3 * 4, 2);
    ASSERT_TRUE(rig.context->SetInputShape(0, Shape{3, 4}).ok());
    ASSERT_TRUE(rig.context->BindInput(0, x.data(), x.size() * 4).ok());
    const int64_t launches = rig.queue().launches();
    ASSERT_TRUE(rig.context->Run().ok());
    EXPECT_EQ(rig.queue().launches(), launches) << "no graph of another shape";
    ExpectRight({rig.context->output(0).as<float>(), x.size()}, x);
  }
}

TEST(DeviceContext, GathersAndScattersPieces) {
  Rig rig;
  {
    const Status status = rig.Load(DevicePlan());
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  EXPECT_EQ(rig.context->pieces_max(), 8u);
  const auto a = Ramp(4, 5), b = Ramp(8, -3);  // one row and two
  std::vector<float> ya(4), yb(8);
  ASSERT_TRUE(rig.context->SetInputShape(0, Shape{3, 4}).ok());
  const InputPiece in[] = {std::as_bytes(std::span(a)), std::as_bytes(std::span(b))};
  const OutputPiece out[] = {std::as_writable_bytes(std::span(ya)),
                             std::as_writable_bytes(std::span(yb))};
  ASSERT_TRUE(rig.context->BindInputPieces(0, in).ok());
  ASSERT_TRUE(rig.context->BindOutputPieces(0, out).ok());
  ASSERT_TRUE(rig.context->Run().ok());
  ExpectRight(ya, a);
  ExpectRight(yb, b);
  // A shape that the pieces do not fill is refused, and one piece too many.
  ASSERT_TRUE(rig.context->SetInputShape(0, Shape{4, 4}).ok());
  EXPECT_EQ(rig.context->Run().code(), StatusCode::kInvalidArgument);
  const std::vector<InputPiece> many(9, in[0]);
  EXPECT_EQ(rig.context->BindInputPieces(0, many).code(), StatusCode::kResourceExhausted);
}

TEST(DeviceContext, WritesRegisteredMemoryInPlace) {
  Rig rig;
  std::vector<float> slab(64);
  auto memory = rig.device.RegisterHost(slab.data(), slab.size() * 4);
  ASSERT_TRUE(memory.ok());
  const DeviceMemory* const registered[] = {memory->get()};
  {
    const Status status = rig.Load(DevicePlan(), {.host_memory = registered});
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  const auto x = Ramp(4, 7);
  std::copy(x.begin(), x.end(), slab.begin());
  ASSERT_TRUE(rig.context->SetInputShape(0, Shape{1, 4}).ok());
  ASSERT_TRUE(rig.context->BindInput(0, slab.data(), 16).ok());
  ASSERT_TRUE(rig.context->BindOutput(0, slab.data() + 32, 16).ok());
  ASSERT_TRUE(rig.context->Run().ok());
  ExpectRight({slab.data() + 32, 4}, x);
}

// Without transfers a run moves nothing; what it works on and gives is moved when asked.
TEST(DeviceContext, MovesInputsAndOutputsOnceWhereRunsDoNot) {
  Rig rig;
  {
    const Status status = rig.Load(DevicePlan(), {.transfers = false});
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  for (int64_t batch : {8, 5}) {  // 5: filled up to 8
    auto x = Ramp(static_cast<size_t>(batch) * 4, 3);
    const auto moved = x;
    std::vector<float> y(x.size());
    ASSERT_TRUE(rig.context->SetInputShape(0, Shape{batch, 4}).ok());
    ASSERT_TRUE(rig.context->BindInput(0, x.data(), x.size() * 4).ok());
    ASSERT_TRUE(rig.context->BindOutput(0, y.data(), y.size() * 4).ok());
    ASSERT_TRUE(rig.context->MoveInputs().ok());
    x.assign(x.size(), 77);  // no run reads this
    ASSERT_TRUE(rig.context->Run().ok());
    ASSERT_TRUE(rig.context->Run().ok());
    EXPECT_EQ(y, std::vector<float>(y.size())) << "no run writes it";
    ASSERT_TRUE(rig.context->MoveOutputs().ok());
    ExpectRight(y, moved);
  }
}

TEST(DeviceContext, MovesNothingApartWhereRunsDo) {
  Rig rig;
  ASSERT_TRUE(rig.Load(DevicePlan()).ok());
  const int64_t direct = rig.queue().direct();
  EXPECT_TRUE(rig.context->MoveInputs().ok());
  EXPECT_TRUE(rig.context->MoveOutputs().ok());
  EXPECT_EQ(rig.queue().direct(), direct);
}

TEST(DeviceContext, RunsHostStepsBetweenGraphs) {
  Plan plan = DevicePlan();
  plan.steps[1].kernel = "add_ref.1";
  plan.steps[1].device = static_cast<uint8_t>(DeviceKind::kCpu);
  Rig rig;
  {
    const Status status = rig.Load(plan);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  const auto x = Ramp(8 * 4, 3);
  ASSERT_TRUE(rig.context->SetInputShape(0, Shape{8, 4}).ok());
  ASSERT_TRUE(rig.context->BindInput(0, x.data(), x.size() * 4).ok());
  const int64_t launches = rig.queue().launches();
  ASSERT_TRUE(rig.context->Run().ok());
  EXPECT_EQ(rig.queue().launches(), launches + 2);
  ExpectRight({rig.context->output(0).as<float>(), x.size()}, x);
}

// Keeps what it saw.
class Recorder final : public StepHook {
 public:
  void OnStep(const StepEvent& event) override {
    steps.push_back(event.step);
    first_result.push_back(event.outputs[0].as<float>()[0]);
    nanoseconds.push_back(event.nanoseconds);
  }
  std::vector<size_t> steps;
  std::vector<float> first_result;
  std::vector<int64_t> nanoseconds;
};

TEST(DeviceContext, ShowsHooksEveryStepsResultOnTheHost) {
  Rig rig;
  {
    const Status status = rig.Load(DevicePlan());
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  const auto x = Ramp(4, -3);
  ASSERT_TRUE(rig.context->SetInputShape(0, Shape{1, 4}).ok());
  ASSERT_TRUE(rig.context->BindInput(0, x.data(), 16).ok());
  Recorder recorder;
  rig.context->SetStepHook(&recorder, &SteadyClock());
  ASSERT_TRUE(rig.context->Run().ok());
  EXPECT_THAT(recorder.steps, ::testing::ElementsAre(0, 1, 2));
  EXPECT_THAT(recorder.first_result, ::testing::ElementsAre(3, 4, -4));
  EXPECT_THAT(recorder.nanoseconds, ::testing::ElementsAre(1000, 1000, 1000));
}

TEST(DeviceContext, MarksCapturesRunsAndStepsForAProfiler) {
  Rig rig;
  ASSERT_TRUE(rig.Load(DevicePlan(), {.marks = true}).ok());
  const std::vector<std::string> steps = {"  step 0 'Abs' (abs_0)",
                                          "  step 1 'Add' (add_1, bias_2)", "  step 2 'Neg'"};
  std::vector<std::string> want;
  for (const char* bucket : {"small, bucket batch=1", "small, bucket batch=8"}) {
    want.emplace_back(bucket);
    for (int turn = 0; turn < 2; ++turn)  // once as a trial, once recorded
      want.insert(want.end(), steps.begin(), steps.end());
  }
  EXPECT_EQ(rig.device.marks, want);

  rig.device.marks.clear();
  ASSERT_TRUE(rig.context->SetInputShape(0, Shape{8, 4}).ok());
  ASSERT_TRUE(rig.context->Run().ok());
  EXPECT_THAT(rig.device.marks, ::testing::ElementsAre("small, bucket batch=8"));

  rig.device.marks.clear();
  Recorder recorder;
  rig.context->SetStepHook(&recorder);
  ASSERT_TRUE(rig.context->Run().ok());
  want.assign(1, "small, step by step");
  want.insert(want.end(), steps.begin(), steps.end());
  EXPECT_EQ(rig.device.marks, want);
  EXPECT_EQ(rig.device.open_marks(), 0u);
}

TEST(DeviceContext, MarksNothingUnlessAsked) {
  Rig rig;
  ASSERT_TRUE(rig.Load(DevicePlan()).ok());
  ASSERT_TRUE(rig.context->Run().ok());
  EXPECT_THAT(rig.device.marks, ::testing::IsEmpty());
}

TEST(DeviceContext, TakesExactlyWhatThePlanDeclares) {
  Rig rig;
  {
    const Status status = rig.Load(DevicePlan());
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  EXPECT_EQ(rig.device.allocated_bytes(),
            rig.plan->context_bytes() + rig.plan->plan().weights.size());
  EXPECT_EQ(rig.device.allocations(), 2) << "weights and one arena";
  const int64_t allocations = rig.device.allocations();
  ASSERT_TRUE(rig.context->Run().ok());
  EXPECT_EQ(rig.device.allocations(), allocations);
  rig.context.reset();
  rig.plan.reset();
  EXPECT_EQ(rig.device.live_memory(), 0);
}

TEST(DeviceContext, RefusesADeviceThatDoesNotFit) {
  const auto status = [](auto&& change) {
    Rig rig;
    Plan plan = DevicePlan();
    change(plan, rig.device.mutable_info());
    return rig.Load(std::move(plan));
  };
  const auto expect = [&](auto&& change, std::string_view what) {
    const Status s = status(change);
    EXPECT_EQ(s.code(), StatusCode::kFailedPrecondition) << s.ToString();
    EXPECT_NE(s.message().find(what), std::string::npos) << s.message();
  };
  expect([](Plan&, DeviceInfo& info) { info.compute_capability = 80; }, "compute capability 90");
  expect([](Plan& p, DeviceInfo&) { p.target.gpu.driver_min = 13010; }, "driver version 13010");
  expect([](Plan& p, DeviceInfo&) { p.target.gpu.libraries = {{"cudnn", 91900}}; }, "cudnn 91900");
  expect([](Plan& p, DeviceInfo&) { p = plan::testing::SmallPlan(); }, "for device 'cpu'");
  expect([](Plan& p, DeviceInfo&) { p.steps[0].kernel = "abs_ref.1"; }, "abs_ref.1");
}

TEST(DeviceContext, RunsABucketsOwnTacticAtItsShapes) {
  Plan plan = DevicePlan();
  plan.steps[0].bucket_tactics = {{0, "fake_abs_ref.1", {}}};
  Rig rig;
  {
    const Status status = rig.Load(plan);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  const auto x = Ramp(4, 3);
  ASSERT_TRUE(rig.context->SetInputShape(0, Shape{1, 4}).ok());
  ASSERT_TRUE(rig.context->BindInput(0, x.data(), 16).ok());
  ASSERT_TRUE(rig.context->Run().ok());
  ExpectRight({rig.context->output(0).as<float>(), 4}, x);
}

TEST(CpuContext, GathersAndScattersPiecesToo) {
  auto plan = LoadedPlan::FromPlan(std::make_shared<const Plan>(plan::testing::SmallPlan()));
  ASSERT_TRUE(plan.ok());
  auto context = Context::Create(*plan);
  ASSERT_TRUE(context.ok());
  const auto a = Ramp(4, 5), b = Ramp(4, -3);
  std::vector<float> ya(4), yb(4);
  ASSERT_TRUE((*context)->SetInputShape(0, Shape{2, 4}).ok());
  const InputPiece in[] = {std::as_bytes(std::span(a)), std::as_bytes(std::span(b))};
  const OutputPiece out[] = {std::as_writable_bytes(std::span(ya)),
                             std::as_writable_bytes(std::span(yb))};
  ASSERT_TRUE((*context)->BindInputPieces(0, in).ok());
  ASSERT_TRUE((*context)->BindOutputPieces(0, out).ok());
  ASSERT_TRUE((*context)->Run().ok());
  ExpectRight(ya, a);
  ExpectRight(yb, b);
}

}  // namespace
}  // namespace fusee::runtime
