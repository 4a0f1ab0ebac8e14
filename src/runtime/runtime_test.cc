#include "runtime/runtime.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/test_folder.h"
#include "device/thread_pool.h"
#include "plan/encode.h"
#include "plan/plan_test_util.h"
#include "runtime/golden.h"

namespace fusee::runtime {

int64_t AllocationsSoFar();  // counted_new_test.cc; -1 where it cannot count

namespace {

using plan::DimOp;
using plan::Plan;
using plan::Region;
using plan::testing::AlignedCopy;
using plan::testing::SmallPlan;

std::shared_ptr<const LoadedPlan> LoadOrDie(Plan plan, LoadOptions options = {}) {
  auto loaded = LoadedPlan::FromPlan(std::make_shared<const Plan>(std::move(plan)), options);
  EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
  return loaded.ok() ? *loaded : nullptr;
}

Status LoadStatus(Plan plan, LoadOptions options = {}) {
  auto loaded = LoadedPlan::FromPlan(std::make_shared<const Plan>(std::move(plan)), options);
  return loaded.ok() ? OkStatus() : loaded.status();
}

std::unique_ptr<Context> ContextOf(Plan plan, ContextOptions options = {}) {
  auto context = Context::Create(LoadOrDie(std::move(plan)), options);
  EXPECT_TRUE(context.ok()) << context.status().ToString();
  return std::move(context).value();
}

// What SmallPlan computes: y = -(|x| + w), w = 1 2 3 4.
float Expected(float x, size_t i) { return -(std::fabs(x) + static_cast<float>(i % 4 + 1)); }

void ExpectRight(const ConstTensorView& y, const float* x) {
  for (int64_t i = 0; i < y.elements(); ++i) {
    EXPECT_EQ(y.as<float>()[i], Expected(x[i], static_cast<size_t>(i))) << i;
  }
}

void FillX(const TensorView& x) { FillRandom(x, Fill::kUniform, 3, 0); }

// --- running ---

TEST(Context, StartsAtTheOptimumAndRuns) {
  auto context = ContextOf(SmallPlan());
  const TensorView x = context->input(0);
  EXPECT_EQ(x.shape, (Shape{4, 4}));
  FillX(x);
  ASSERT_TRUE(context->Run().ok());
  EXPECT_EQ(context->output(0).shape, (Shape{4, 4}));
  ExpectRight(context->output(0), x.as<float>());
}

TEST(Context, FollowsEveryShapeOfTheProfile) {
  auto context = ContextOf(SmallPlan());
  for (int64_t batch : {1, 8, 3, 8, 1}) {
    ASSERT_TRUE(context->SetInputShape(0, Shape{batch, 4}).ok());
    FillX(context->input(0));
    ASSERT_TRUE(context->Prepare().ok());
    EXPECT_EQ(context->output(0).shape, (Shape{batch, 4}));
    EXPECT_EQ(context->symbol_values()[0], batch);
    EXPECT_EQ(context->bucket(), batch == 1 ? 0u : 1u);
    ASSERT_TRUE(context->Run().ok());
    ExpectRight(context->output(0), context->input(0).as<float>());
  }
}

TEST(Context, NamesWhatLeavesTheProfile) {
  auto context = ContextOf(SmallPlan());
  const Status above = context->SetInputShape(0, Shape{9, 4});
  EXPECT_EQ(above.code(), StatusCode::kOutOfRange);
  for (const char* part : {"'x'", "batch = 9", "[1, 8]", "--maxShapes"}) {
    EXPECT_NE(above.message().find(part), std::string::npos) << above.message();
  }
  EXPECT_EQ(context->SetInputShape(0, Shape{0, 4}).code(), StatusCode::kOutOfRange);
  EXPECT_EQ(context->SetInputShape(0, Shape{4, 5}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(context->SetInputShape(0, Shape{4}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(context->SetInputShape(0, Shape{-1, 4}).code(), StatusCode::kOutOfRange);
  EXPECT_EQ(context->SetInputShape(0, Shape{INT64_MAX, 4}).code(), StatusCode::kOutOfRange);
  EXPECT_EQ(context->SetInputShape(1, Shape{4, 4}).code(), StatusCode::kInvalidArgument);
  FillX(context->input(0));  // still usable, at the shape it had
  EXPECT_TRUE(context->Run().ok());
}

TEST(Context, BindsAlignedMemoryWithoutACopyAndOtherMemoryWithOne) {
  auto context = ContextOf(SmallPlan());
  alignas(64) float in[4 * 4 + 1], out[4 * 4 + 1];
  FillRandom({DType::kF32, Shape{17}, in}, Fill::kUniform, 5, 0);
  for (int in_shift : {0, 1}) {
    for (int out_shift : {0, 1}) {
      std::fill(std::begin(out), std::end(out), 0.f);
      ASSERT_TRUE(context->BindInput(0, in + in_shift, 64).ok());
      ASSERT_TRUE(context->BindOutput(0, out + out_shift, 64).ok());
      ASSERT_TRUE(context->Run().ok());
      EXPECT_EQ(context->output(0).data, out + out_shift);
      ExpectRight(context->output(0), in + in_shift);
    }
  }
  // Unbound again: the context's own memory.
  ASSERT_TRUE(context->BindInput(0, nullptr, 0).ok());
  ASSERT_TRUE(context->BindOutput(0, nullptr, 0).ok());
  FillX(context->input(0));
  ASSERT_TRUE(context->Run().ok());
  ExpectRight(context->output(0), context->input(0).as<float>());
}

TEST(Context, RefusesBuffersThatAreTooSmall) {
  auto context = ContextOf(SmallPlan());
  alignas(64) float memory[16] = {};
  ASSERT_TRUE(context->BindInput(0, memory, 63).ok());
  EXPECT_EQ(context->Run().code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(context->BindInput(0, nullptr, 0).ok());
  ASSERT_TRUE(context->BindOutput(0, memory, 63).ok());
  EXPECT_EQ(context->Run().code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(context->BindOutput(0, memory, 64).ok());
  EXPECT_TRUE(context->Run().ok());
  ASSERT_TRUE(context->SetInputShape(0, Shape{5, 4}).ok());  // now it is too small again
  EXPECT_EQ(context->Run().code(), StatusCode::kInvalidArgument);
}

TEST(Context, RunsAllocateNothing) {
  if (AllocationsSoFar() < 0) GTEST_SKIP() << "a sanitizer owns the allocator";
  ThreadPool pool({.width = 2});
  auto context = ContextOf(SmallPlan(), {.parallel = &pool});
  alignas(64) float in[32] = {}, out[33];
  for (int64_t batch : {4, 8, 1}) {
    ASSERT_TRUE(context->SetInputShape(0, Shape{batch, 4}).ok());
    ASSERT_TRUE(context->Run().ok());
  }
  const int64_t before = AllocationsSoFar();
  for (int i = 0; i < 100; ++i) {
    const Shape shape{1 + i % 8, 4};
    const bool ok = context->SetInputShape(0, shape).ok() &&
                    context->BindInput(0, in, sizeof(in)).ok() &&
                    context->BindOutput(0, out + i % 2, 128).ok() && context->Run().ok() &&
                    context->Run().ok() && context->bucket().has_value();
    if (!ok) FAIL() << i;
  }
  EXPECT_EQ(AllocationsSoFar() - before, 0);
}

TEST(Context, ManyContextsOfOnePlanAgreeBitForBit) {
  auto loaded = LoadOrDie(SmallPlan());
  ThreadPool pool({.width = 3});
  std::vector<Sha256Digest> first;
  for (int i = 0; i < 4; ++i) {
    auto context = Context::Create(loaded, {.parallel = i % 2 == 0 ? nullptr : &pool}).value();
    const int64_t batch = 8;
    auto digests = RunGolden(*context, std::span(&batch, 1), Fill::kTiny, 99);
    ASSERT_TRUE(digests.ok()) << digests.status().ToString();
    if (i == 0) first = *digests;
    EXPECT_EQ(*digests, first);
  }
}

TEST(Context, ObservesStepsWithTheClockGiven) {
  struct Hook final : StepHook {
    FakeClock* clock;
    std::vector<size_t> steps;
    std::vector<float> first_output;
    void OnStep(const StepEvent& event) override {
      steps.push_back(event.step);
      EXPECT_EQ(event.nanoseconds, 0);  // a fake clock stands still while a step runs
      first_output.push_back(event.outputs[0].as<float>()[0]);
    }
  } hook;
  FakeClock clock;
  auto context = ContextOf(SmallPlan());
  context->input(0).as<float>()[0] = -2;
  context->SetStepHook(&hook, &clock);
  ASSERT_TRUE(context->Run().ok());
  EXPECT_EQ(hook.steps, (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(hook.first_output, (std::vector<float>{2, 3, -3}));
  context->SetStepHook(nullptr);
  ASSERT_TRUE(context->Run().ok());
  EXPECT_EQ(hook.steps.size(), 3u);
}

// --- outputs that no step writes in place ---

TEST(Context, OutputsMayBeInputsConstantsAndEachOther) {
  Plan plan = SmallPlan();
  plan.tensors.push_back({"x_view", DType::kF32, {0, 1}, Region::kIo, 0, 128});
  plan.outputs.push_back({"same", 5, {}, false});
  plan.outputs.push_back({"constant", plan::testing::kW, {}, false});
  plan.outputs.push_back({"y_again", plan::testing::kY, {}, false});
  plan.certificate.golden.clear();
  auto context = ContextOf(plan);
  alignas(64) float in[16], out[4][16] = {};
  FillRandom({DType::kF32, Shape{16}, in}, Fill::kUniform, 6, 0);
  ASSERT_TRUE(context->BindInput(0, in, sizeof(in)).ok());
  for (size_t i = 0; i < 4; ++i) ASSERT_TRUE(context->BindOutput(i, out[i], sizeof(out[i])).ok());
  ASSERT_TRUE(context->Run().ok());
  ExpectRight(context->output(0), in);
  EXPECT_TRUE(std::equal(in, in + 16, out[1]));
  EXPECT_EQ(out[2][3], 4.0f);
  EXPECT_TRUE(std::equal(out[0], out[0] + 16, out[3]));
}

// A view of an input that is larger than the caller's buffer must not be read through.
TEST(Context, KeepsViewsWithinBoundMemory) {
  Plan plan = SmallPlan();
  plan.tensors.push_back({"x_all", DType::kF32, {0, 2}, Region::kIo, 0, 128});
  plan.dims.push_back({DimOp::kConstant, 4, 0});
  plan.symbols[0].opt = 1;
  plan.dims.push_back({DimOp::kMax, 0, 1});  // max(batch, 4): more rows than given when batch is 1
  plan.tensors[5].shape = {3, 1};
  plan.outputs.push_back({"wide", 5, {}, false});
  auto context = ContextOf(plan);
  alignas(64) float in[16] = {};
  ASSERT_TRUE(context->BindInput(0, in, 16).ok());  // one row: enough for x
  EXPECT_EQ(context->Run().code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(context->BindInput(0, in, 64).ok());
  EXPECT_TRUE(context->Run().ok());
}

// --- pinned inputs, symbols in data ---

Plan PlanWithCount(bool pinned) {
  Plan plan = SmallPlan();  // and "n", an i64[2] whose element 1 is the symbol "count"
  plan.dims.push_back({DimOp::kConstant, 2, 0});
  plan.tensors.push_back({"n", DType::kI64, {2}, Region::kIo, 256, 64});
  plan.io_bytes = 320;
  plan::IoDef n{"n", 5, {}, pinned};
  if (pinned) {
    const int64_t values[2] = {7, 5};
    n.pinned.assign(std::as_bytes(std::span(values)).begin(),
                    std::as_bytes(std::span(values)).end());
  } else {
    plan.symbols.push_back({"count", 2, 3, 6, 1, -1, 1});
    for (auto& b : plan.buckets) b.symbol_values.push_back(b.symbol_values[0] == 8 ? 6 : 2);
    plan.certificate.corners.clear();
  }
  plan.inputs.push_back(n);
  return plan;
}

TEST(Context, PinnedInputsHoldTheirBytesAndRefuseOthers) {
  auto context = ContextOf(PlanWithCount(true));
  EXPECT_EQ(context->input(1).as<int64_t>()[1], 5);
  ASSERT_TRUE(context->Run().ok());
  const int64_t other[2] = {7, 6}, same[2] = {7, 5};
  ASSERT_TRUE(context->BindInput(1, other, sizeof(other)).ok());
  const Status refused = context->Run();
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("'n'"), std::string::npos);
  ASSERT_TRUE(context->BindInput(1, same, sizeof(same)).ok());
  EXPECT_TRUE(context->Run().ok());
  ASSERT_TRUE(context->BindInput(1, same, 8).ok());  // half of it
  EXPECT_FALSE(context->Run().ok());
}

TEST(Context, ReadsSymbolsFromData) {
  auto context = ContextOf(PlanWithCount(false));
  EXPECT_EQ(context->input(1).as<int64_t>()[1], 3) << "starts at the optimum";
  for (int64_t count : {2, 6, 4}) {
    context->input(1).as<int64_t>()[1] = count;
    ASSERT_TRUE(context->Run().ok());
    EXPECT_EQ(context->symbol_values()[1], count);
  }
  context->input(1).as<int64_t>()[1] = 7;
  EXPECT_EQ(context->Run().code(), StatusCode::kOutOfRange);
  context->input(1).as<int64_t>()[1] = INT64_MIN;
  EXPECT_EQ(context->Run().code(), StatusCode::kOutOfRange);
  context->input(1).as<int64_t>()[1] = 2;
  EXPECT_TRUE(context->Run().ok());
}

TEST(Context, ChecksConstraintsBetweenInputs) {
  Plan plan = SmallPlan();
  plan.symbols.push_back({"rows", 1, 4, 8, 1, 0, 0});
  plan.dims.push_back({DimOp::kSymbol, 1, 0});
  plan.tensors.push_back({"m", DType::kF32, {2, 1}, Region::kIo, 256, 128});
  plan.io_bytes = 384;
  plan.inputs.push_back({"m", 5, {}, false});
  plan.constraints = {{0, 2, "'Add_1' adds them"}};
  for (auto& b : plan.buckets) b.symbol_values.push_back(b.symbol_values[0]);
  plan.certificate.corners.clear();
  auto context = ContextOf(plan);
  EXPECT_TRUE(context->Run().ok());
  ASSERT_TRUE(context->SetInputShape(1, Shape{5, 4}).ok());
  const Status refused = context->Run();
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("Add_1"), std::string::npos);
  ASSERT_TRUE(context->SetInputShape(0, Shape{5, 4}).ok());
  EXPECT_TRUE(context->Run().ok());
}

// --- loading ---

TEST(LoadedPlan, RefusesKernelsItCannotTrust) {
  Plan plan = SmallPlan();
  plan.steps[0].kernel = "abs_ref.999";
  Status status = LoadStatus(plan);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("abs_0"), std::string::npos)
      << "names the ONNX node: " << status.message();
  EXPECT_NE(status.message().find("rebuild"), std::string::npos);
  plan = SmallPlan();
  plan.steps[0].kernel = "neg_ref.1";  // exists, but is another operator's
  EXPECT_EQ(LoadStatus(plan).code(), StatusCode::kInvalidArgument);
  plan = SmallPlan();
  plan.steps[1].inputs.pop_back();  // Add of one operand
  EXPECT_FALSE(LoadStatus(plan).ok());
  plan = SmallPlan();
  plan.tensors[plan::testing::kW]
      .shape = {};  // does broadcast; but then the result's shape is still right
  EXPECT_TRUE(LoadStatus(plan).ok());
  plan = SmallPlan();
  plan.dims.push_back({DimOp::kConstant, 3, 0});
  plan.tensors[plan::testing::kW].shape = {2};  // does not
  EXPECT_FALSE(LoadStatus(plan).ok());
  plan = SmallPlan();
  plan.target.device = "cuda";
  status = LoadStatus(plan);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("'cuda'"), std::string::npos) << status.message();
  EXPECT_EQ(status.message().find("--"), std::string::npos) << "names no option that is not there";
}

// The CPU's kernels with another add_ref.1.
ops::KernelLibrary WithAdd(const ops::KernelDef* add) {
  std::vector<const ops::KernelDef*> kernels;
  for (const ops::KernelDef* def : ops::AllKernels())
    kernels.push_back(def->id == add->id ? add : def);
  return ops::KernelLibrary(std::move(kernels));
}

TEST(LoadedPlan, RefusesInPlaceThatTheKernelDoesNotAllowAndInstructionsTheHostLacks) {
  ops::KernelDef not_in_place = *ops::FindKernel("add_ref.1");
  not_in_place.in_place_inputs = 0;
  const ops::KernelLibrary library = WithAdd(&not_in_place);
  EXPECT_EQ(LoadStatus(SmallPlan(), {.kernels = &library}).code(), StatusCode::kInvalidArgument);
  ops::KernelDef from_the_future = *ops::FindKernel("add_ref.1");
  from_the_future.isa = static_cast<Isa>(200);
  const ops::KernelLibrary future_library = WithAdd(&from_the_future);
  const Status future = LoadStatus(SmallPlan(), {.kernels = &future_library});
  EXPECT_EQ(future.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(future.message().find("fusee build --isa "), std::string::npos) << future.message();
}

TEST(LoadedPlan, KeepsTheHeaderAndBytesOfWhatItLoaded) {
  const auto bytes = plan::Encode(SmallPlan()).value();
  const TestFolder folder;
  const auto path = folder.path() / "small.plan";
  for (WeightsMemory weights : {WeightsMemory::kPrivate, WeightsMemory::kMapped}) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    auto loaded = LoadedPlan::Load(path.string(), {.weights = weights});
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    std::filesystem::remove(path);
    EXPECT_EQ((*loaded)->header().model_name, "small");
    EXPECT_EQ((*loaded)->header().file_bytes, bytes.size());
    EXPECT_TRUE(std::ranges::equal((*loaded)->file_bytes(), bytes));
  }
  EXPECT_TRUE(LoadOrDie(SmallPlan())->file_bytes().empty());
}

TEST(LoadedPlan, RefusesUnverifiedOnesWhenAsked) {
  Plan plan = SmallPlan();
  plan.certificate.verified = false;
  plan.certificate.reason = "--no-verify";
  EXPECT_TRUE(LoadStatus(plan).ok());
  const Status status = LoadStatus(plan, {.allow_unverified = false});
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("--no-verify"), std::string::npos);
}

TEST(LoadedPlan, ReplaysGoldenPoints) {
  Plan plan = SmallPlan();
  auto context = ContextOf(plan);
  const int64_t batch = 5;
  auto digests = RunGolden(*context, std::span(&batch, 1), Fill::kUniform, 42);
  ASSERT_TRUE(digests.ok());
  plan.certificate.golden = {{{5}, Fill::kUniform, 42, *digests}};
  EXPECT_TRUE(LoadStatus(plan).ok());
  plan.certificate.golden[0].seed = 43;
  const Status status = LoadStatus(plan);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("'y'"), std::string::npos);
  EXPECT_TRUE(LoadStatus(plan, {.replay_golden = false}).ok());
}

class PlanFile : public ::testing::Test {
 protected:
  void Write(std::span<const std::byte> bytes) {
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  TestFolder folder_;
  const std::string path_ = (folder_.path() / "small.plan").string();
};

TEST_F(PlanFile, LoadsEitherWayAndRunsAlike) {
  Write(plan::Encode(SmallPlan()).value());
  for (WeightsMemory weights : {WeightsMemory::kPrivate, WeightsMemory::kMapped}) {
    auto loaded = LoadedPlan::Load(path_, {.weights = weights});
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    EXPECT_EQ((*loaded)->FindInput("x"), 0u);
    EXPECT_EQ((*loaded)->FindOutput("x"), std::nullopt);
    auto context = Context::Create(*loaded).value();
    loaded->reset();  // the context keeps plan and weights
    FillX(context->input(0));
    ASSERT_TRUE(context->Run().ok());
    ExpectRight(context->output(0), context->input(0).as<float>());
  }
}

TEST_F(PlanFile, RefusesWhatIsNoPlan) {
  EXPECT_EQ(LoadedPlan::Load(path_ + ".absent").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(LoadedPlan::Load("/dev/null").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(LoadedPlan::Load(::testing::TempDir()).status().code(), StatusCode::kInvalidArgument);
  Write({});
  EXPECT_EQ(LoadedPlan::Load(path_).status().code(), StatusCode::kDataLoss);
  auto bytes = plan::Encode(SmallPlan()).value();
  bytes.resize(bytes.size() - 1);
  Write(bytes);
  const Status cut = LoadedPlan::Load(path_).status();
  EXPECT_EQ(cut.code(), StatusCode::kDataLoss);
  EXPECT_NE(cut.message().find(path_), std::string::npos) << cut.message();
}

TEST(LoadedPlan, TakesUnalignedBytes) {
  const auto bytes = plan::Encode(SmallPlan()).value();
  const Tensor shifted = AlignedCopy([&] {
    std::vector<std::byte> copy(1);
    copy.insert(copy.end(), bytes.begin(), bytes.end());
    return copy;
  }());
  auto loaded = LoadedPlan::FromBytes(shifted.bytes().subspan(1), nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  auto context = Context::Create(*loaded).value();
  EXPECT_TRUE(context->Run().ok());
}

}  // namespace
}  // namespace fusee::runtime
