#include "plan/verify.h"

#include <gtest/gtest.h>

#include <functional>

#include "plan/dims.h"
#include "plan/plan_test_util.h"

namespace fusee::plan {
namespace {

using namespace testing;  // NOLINT: SmallPlan and its tensor names

// What Verify says of the small plan after a change.
std::string Refusal(const std::function<void(Plan&)>& change) {
  Plan plan = SmallPlan();
  change(plan);
  const Status status = Verify(plan);
  return status.ok() ? "" : status.message();
}

#define EXPECT_REFUSED(part, ...)                                                \
  EXPECT_NE(Refusal([](Plan& p) { __VA_ARGS__; }).find(part), std::string::npos) \
      << Refusal([](Plan& p) { __VA_ARGS__; })

TEST(Verify, AcceptsTheSmallPlanWithItsInPlaceStep) {
  EXPECT_TRUE(Verify(SmallPlan()).ok()) << Verify(SmallPlan()).ToString();
  EXPECT_TRUE(Verify(RichPlan()).ok()) << Verify(RichPlan()).ToString();
  const auto pairs = InPlacePairs(SmallPlan());
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].step, 1u);
  EXPECT_EQ(pairs[0].input, 0u);
}

TEST(Verify, RefusesIndicesOutOfRange) {
  EXPECT_REFUSED("dimension index", p.tensors[0].shape[0] = 2);
  EXPECT_REFUSED("input index", p.steps[0].inputs[0] = 5);
  EXPECT_REFUSED("output index", p.steps[0].outputs[0] = 5);
  EXPECT_REFUSED("dimension index", p.steps[0].dims = {2});
  EXPECT_REFUSED("no tensor", p.inputs[0].tensor = 5);
  EXPECT_REFUSED("no tensor", p.outputs[0].tensor = kNoTensor);
  EXPECT_REFUSED("no input", p.symbols[0].input = 1);
  EXPECT_REFUSED("constraint", p.constraints = {{0, 2, ""}});
}

TEST(Verify, RefusesDisorderedDims) {
  EXPECT_REFUSED("dimension expression", p.dims.push_back({DimOp::kAdd, 0, 2}));  // itself
  EXPECT_REFUSED("dimension expression", p.dims.push_back({DimOp::kMax, -1, 0}));
  EXPECT_REFUSED("dimension expression", p.dims[0].a = 1);  // no such symbol
  EXPECT_REFUSED("dimension expression", p.dims.push_back({static_cast<DimOp>(9), 0, 0}));
}

// Like EXPECT_REFUSED, of a plan in which a run finds a size, and of one with guards.
#define EXPECT_COUNTS_REFUSED(text, ...) EXPECT_PLAN_REFUSED(CountingPlan(), text, __VA_ARGS__)
#define EXPECT_GUARDS_REFUSED(text, ...) EXPECT_PLAN_REFUSED(GuardedPlan(), text, __VA_ARGS__)
#define EXPECT_PLAN_REFUSED(plan, text, ...)                                        \
  {                                                                                 \
    Plan p = plan;                                                                  \
    __VA_ARGS__;                                                                    \
    const Status status = Verify(p);                                                \
    EXPECT_FALSE(status.ok());                                                      \
    EXPECT_NE(status.message().find(text), std::string::npos) << status.ToString(); \
  }

TEST(Verify, RefusesSizesThatNothingFindsInTime) {
  EXPECT_TRUE(Verify(CountingPlan()).ok()) << Verify(CountingPlan()).ToString();
  EXPECT_COUNTS_REFUSED("found by no step", p.steps[0].counts.clear());
  EXPECT_COUNTS_REFUSED("found by two steps", p.steps[1].counts = {0});
  EXPECT_COUNTS_REFUSED("count index", p.steps[0].counts = {1});
  EXPECT_COUNTS_REFUSED("none of the plan's", p.dims[3].a = 1);
  EXPECT_COUNTS_REFUSED("none of the plan's", p.dims[3].b = 31);
  EXPECT_COUNTS_REFUSED("negative", p.counts[0].max = p.dims[3].b = -1);
  EXPECT_COUNTS_REFUSED("its name is empty", p.counts[0].name.clear());
  EXPECT_COUNTS_REFUSED("found later", p.steps[0].dims = {3});
  EXPECT_COUNTS_REFUSED("found later", p.steps[0].counts.clear(); p.steps[1].counts = {0});
  EXPECT_COUNTS_REFUSED("exact shapes", p.steps[1].bucket_tactics = {{0, "copy_ref.1", {}}});
  EXPECT_COUNTS_REFUSED("CPU only", p.target.device = "cuda"; p.target.gpu = GpuPlan().target.gpu);
  EXPECT_COUNTS_REFUSED("input 'x' is sized", p.tensors[0].shape = {0, 3});
  EXPECT_COUNTS_REFUSED("set aside", p.tensors[2].capacity_bytes -= 64);
}

TEST(Verify, RefusesGuardsThatAreNoKnownBoolOfTheCpu) {
  EXPECT_TRUE(Verify(GuardedPlan()).ok()) << Verify(GuardedPlan()).ToString();
  EXPECT_GUARDS_REFUSED("guard index 5", p.steps[0].guards[0].tensor = 5);
  EXPECT_GUARDS_REFUSED("guard index", p.steps[0].guards[0].tensor = kNoTensor);
  EXPECT_GUARDS_REFUSED("not one bool", p.steps[0].guards[0].tensor = 0);
  EXPECT_GUARDS_REFUSED("not one bool", p.tensors[1].shape = {1});
  EXPECT_GUARDS_REFUSED("not one bool", p.tensors[1].shape = {0});
  EXPECT_GUARDS_REFUSED("not one bool", p.tensors[1].dtype = DType::kU8);
  EXPECT_GUARDS_REFUSED("at most 64", p.steps[0].guards.assign(65, {1, true}));
  EXPECT_GUARDS_REFUSED("CPU only", p.target.device = "cuda"; p.target.gpu = GpuPlan().target.gpu);
  EXPECT_GUARDS_REFUSED("finds sizes", p.counts = {{"n", 3}}; p.steps[0].counts = {0});
}

// What a step that did not run would have written lies in memory as the run before left it.
TEST(Verify, RefusesReadingWhatMayNotHaveBeenWritten) {
  const char* const refusal = "may not have been written";
  EXPECT_GUARDS_REFUSED(refusal, p.steps[2].op = "Add"; p.steps[2].inputs = {2, 3});
  EXPECT_GUARDS_REFUSED(refusal, p.steps[2].op = "Select");
  EXPECT_GUARDS_REFUSED(refusal, p.steps[2].inputs = {1, 3, 2});  // each where the other ran
  EXPECT_GUARDS_REFUSED(refusal, p.steps[2].inputs = {1, 2, 2});
  EXPECT_GUARDS_REFUSED(refusal, p.steps[1].inputs = {2});
  EXPECT_GUARDS_REFUSED(refusal, p.steps[0].guards = {{1, true}, {1, true}});
  EXPECT_GUARDS_REFUSED(refusal, p.outputs.push_back({"a", 2, {}, false}));
  // Under the same guards, and those that come after, it was.
  Plan chain = GuardedPlan();
  chain.steps[1].inputs = {2};
  chain.steps[1].guards = {{1, true}, {1, false}};
  chain.steps[2].inputs = {1, 2, 0};
  EXPECT_TRUE(Verify(chain).ok()) << Verify(chain).ToString();
  // A guard that another step writes: before its use, and whenever the guards before it hold.
  Plan computed = GuardedPlan();
  computed.tensors.push_back({"d", DType::kBool, {}, Region::kActivations, 256, 64});
  computed.activation_bytes += 64;
  Step copy;
  copy.op = "Copy";
  copy.kernel = "copy_ref.1";
  copy.inputs = {1};
  copy.outputs = {5};
  copy.guards = {{1, true}};
  computed.steps.insert(computed.steps.begin(), copy);
  computed.steps[1].guards = {{1, true}, {5, true}};
  computed.steps[3].inputs = {1, 0, 3};
  EXPECT_TRUE(Verify(computed).ok()) << Verify(computed).ToString();
  EXPECT_PLAN_REFUSED(computed, refusal, p.steps[1].guards = {{5, true}});
  EXPECT_PLAN_REFUSED(computed, refusal, p.steps[1].guards = {{5, true}, {1, true}});
  EXPECT_PLAN_REFUSED(computed, refusal, p.steps[1].guards = {{1, false}, {5, true}});
  EXPECT_PLAN_REFUSED(computed, "before step", std::swap(p.steps[0], p.steps[1]));
  EXPECT_PLAN_REFUSED(computed, "before step", p.steps[0].guards = {{5, true}});
}

TEST(Verify, AGuardIsAUseAndStepsWithOneTakeNothingInPlace) {
  // The condition in the arena, over what a step before its last use writes.
  Plan plan = GuardedPlan();
  plan.tensors.push_back({"d", DType::kBool, {}, Region::kActivations, 256, 64});
  plan.activation_bytes += 64;
  Step copy;
  copy.op = "Copy";
  copy.kernel = "copy_ref.1";
  copy.inputs = {1};
  copy.outputs = {5};
  plan.steps.insert(plan.steps.begin(), copy);
  plan.steps[2].guards = {{5, false}};
  plan.steps[3].inputs = {1, 2, 0};
  ASSERT_TRUE(Verify(plan).ok()) << Verify(plan).ToString();
  plan.tensors[2].offset = 256;  // of Abs, which lies before Neg's guard
  plan.activation_bytes += 64;
  EXPECT_NE(Verify(plan).message().find("alive until step 2"), std::string::npos)
      << Verify(plan).ToString();
  Plan in_place = GuardedPlan();
  in_place.steps[1].inputs = {2};
  in_place.steps[1].guards = {{1, true}};
  in_place.steps[2].inputs = {1, 3, 0};
  ASSERT_TRUE(Verify(in_place).ok()) << Verify(in_place).ToString();
  in_place.tensors[3].offset = 0;
  EXPECT_NE(Verify(in_place).message().find("over tensor 2"), std::string::npos)
      << Verify(in_place).ToString();
}

TEST(Verify, RefusesTensorsOutsideTheirRegion) {
  EXPECT_REFUSED("offset", p.tensors[kA].offset = 32);
  EXPECT_REFUSED("offset", p.tensors[kA].offset = 64);
  EXPECT_REFUSED("offset", p.tensors[kA].offset = UINT64_MAX - 63);
  EXPECT_REFUSED("offset", p.tensors[kA].capacity_bytes = UINT64_MAX);
  EXPECT_REFUSED("offset", p.tensors[kW].capacity_bytes = 65);
  EXPECT_REFUSED("set aside", p.tensors[kA].capacity_bytes = 127);
  EXPECT_REFUSED("holds no tensors", p.tensors[kA].region = Region::kWorkspace);
  EXPECT_REFUSED("holds no tensors", p.tensors[kA].region = static_cast<Region>(17));
  EXPECT_REFUSED("dtype", p.tensors[kA].dtype = static_cast<DType>(8));
  EXPECT_REFUSED("rank", p.tensors[kA].shape.assign(9, 1));
  EXPECT_REFUSED("region", p.activation_bytes = UINT64_MAX);
  EXPECT_REFUSED("workspace", p.steps[0].workspace_bytes = 1);
  EXPECT_REFUSED("overflow", p.dims[1].a = INT64_MAX);
  EXPECT_REFUSED("at least 0", p.dims[1].a = -1);
}

TEST(Verify, RefusesLiveOverlap) {
  // a is needed by step 2 too, so b may not lie on it.
  EXPECT_REFUSED("over", p.steps[2].inputs = {kA}; p.steps[2].op = "Add";
                 p.steps[2].inputs.push_back(kB));
  // Not the operand's own place, but half of it.
  EXPECT_REFUSED("over", p.tensors[kB].offset = 64; p.activation_bytes = 256);
  // Two results of one step at one place.
  EXPECT_REFUSED("over", p.tensors.push_back(p.tensors[kB]); p.steps[1].outputs.push_back(5));
  // Larger than what it replaces.
  EXPECT_REFUSED("over", p.activation_bytes = 256; p.tensors[kB].capacity_bytes = 192);
  // A result over a model input, even in place: the caller's memory is const.
  EXPECT_REFUSED("over", p.tensors[kA].region = Region::kIo);
}

TEST(Verify, RefusesWrongWritersAndReaders) {
  EXPECT_REFUSED("written already", p.steps[1].outputs = {kA});
  EXPECT_REFUSED("written already", p.steps[1].outputs = {kX});
  EXPECT_REFUSED("written already", p.steps[1].outputs = {kW});
  EXPECT_REFUSED("before step", p.steps[0].inputs = {kB});
  EXPECT_REFUSED("before step", p.steps[0].inputs = {kA});  // its own result
  EXPECT_REFUSED("nothing before wrote it",
                 p.tensors.push_back({"v", DType::kF32, {1}, Region::kIo, 128, 16});
                 p.steps[0].inputs = {5});
}

TEST(Verify, ViewsShareTheirStorage) {
  // v: the same bytes as a, as f32[batch*4]; used by step 1 instead of a: still in place over a.
  Plan plan = SmallPlan();
  plan.dims.push_back({DimOp::kMul, 0, 1});
  plan.tensors.push_back({"v", DType::kF32, {2}, Region::kActivations, 0, 128});
  plan.steps[1].inputs = {5, kW};
  EXPECT_TRUE(Verify(plan).ok()) << Verify(plan).ToString();
  EXPECT_EQ(InPlacePairs(plan).size(), 1u);
  // Used by step 2 as well, it keeps a alive over b.
  plan.steps[2].inputs = {5};
  EXPECT_FALSE(Verify(plan).ok());
  // Elsewhere in a there is nothing to be a view of.
  plan = SmallPlan();
  plan.tensors.push_back({"v", DType::kF32, {1}, Region::kActivations, 64, 16});
  plan.steps[2].inputs = {5};
  EXPECT_FALSE(Verify(plan).ok());
}

TEST(Verify, AnOutputMayBeAViewOfAnInputOrAWeight) {
  Plan plan = SmallPlan();
  plan.tensors.push_back({"x_again", DType::kF32, {0, 1}, Region::kIo, 0, 128});
  plan.outputs.push_back({"same", 5, {}, false});
  plan.outputs.push_back({"constant", kW, {}, false});
  EXPECT_TRUE(Verify(plan).ok()) << Verify(plan).ToString();
}

TEST(Verify, RefusesIoTensorsOutsideSlots) {
  EXPECT_REFUSED("overlap", p.tensors[kY].offset = 64);
  EXPECT_REFUSED("outside every", p.io_bytes = 512; p.tensors[kA].region = Region::kIo;
                 p.tensors[kA].offset = 256; p.tensors[kB].region = Region::kIo;
                 p.tensors[kB].offset = 256);
  EXPECT_REFUSED("not in the io region", p.inputs[0].tensor = kA);
}

TEST(Verify, RefusesSymbolsThatCannotBeRead) {
  EXPECT_REFUSED("no axis", p.symbols[0].axis = 2);
  EXPECT_REFUSED("is not this symbol", p.symbols[0].axis = 1);
  EXPECT_REFUSED("cannot be read", p.symbols[0].axis = -1);
  EXPECT_REFUSED("ascending", p.symbols[0].opt = 9);
  EXPECT_REFUSED("is not this symbol", p.symbols[0].min = -1);
  EXPECT_REFUSED("taken", p.symbols.push_back(p.symbols[0]));
}

TEST(Verify, RefusesFiguresOutsideTheProfile) {
  EXPECT_REFUSED("outside", p.buckets[0].symbol_values = {9});
  EXPECT_REFUSED("symbol values", p.buckets[0].symbol_values = {});
  EXPECT_REFUSED("maximum", p.buckets.pop_back());
  EXPECT_REFUSED("arena bytes", p.buckets[0].arena_bytes = 129);
  EXPECT_REFUSED("golden", p.certificate.golden = {{{2}, Fill::kUniform, 7, {}}});
  EXPECT_REFUSED("golden", p.certificate.golden = {{{2}, static_cast<Fill>(9), 7, {Sha256({})}}});
  EXPECT_REFUSED("pinned", p.inputs[0].is_pinned = true; p.inputs[0].pinned.resize(5));
  EXPECT_REFUSED("pinned", p.inputs[0].pinned.resize(5));
  EXPECT_REFUSED("channels last in rank 2", p.inputs[0].channels_last = true);
  EXPECT_REFUSED("channels last in rank 2", p.outputs[0].channels_last = true);
}

// What Verify says of the plan for a GPU after a change.
std::string GpuRefusal(const std::function<void(Plan&)>& change) {
  Plan plan = GpuPlan();
  change(plan);
  const Status status = Verify(plan);
  return status.ok() ? "" : status.message();
}
#define EXPECT_GPU_REFUSED(part, ...)                                               \
  EXPECT_NE(GpuRefusal([](Plan& p) { __VA_ARGS__; }).find(part), std::string::npos) \
      << GpuRefusal([](Plan& p) { __VA_ARGS__; })

TEST(Verify, StepsRunOnTheTargetOrTheHost) {
  EXPECT_TRUE(Verify(GpuPlan()).ok()) << Verify(GpuPlan()).ToString();
  EXPECT_EQ(HostStepCount(GpuPlan()), 1u);
  EXPECT_EQ(HostStepCount(SmallPlan()), 0u);
  EXPECT_REFUSED("device 1", p.steps[0].device = 1);
  EXPECT_GPU_REFUSED("device 2", p.steps[0].device = 2);
  EXPECT_GPU_REFUSED("knows cpu and cuda", p.target.device = "npu");
}

TEST(Verify, BucketTacticsAscendAndNameABucket) {
  EXPECT_GPU_REFUSED("bucket 2 of 2", p.steps[0].bucket_tactics[1].bucket = 2);
  EXPECT_GPU_REFUSED("bucket 0 of 2", p.steps[0].bucket_tactics[1].bucket = 0);
  EXPECT_GPU_REFUSED("kernel", p.steps[0].bucket_tactics[1].kernel = "");
}

TEST(Verify, ConfigurationsHaveALimit) {
  EXPECT_GPU_REFUSED("configuration",
                     p.steps[0].config = std::vector<std::byte>(kMaxConfigBytes + 1));
  EXPECT_GPU_REFUSED("configuration", p.steps[0].bucket_tactics[0].config =
                                          std::vector<std::byte>(kMaxConfigBytes + 1));
}

TEST(Verify, PinnedLibrariesAreInOrder) {
  EXPECT_GPU_REFUSED("ascending", std::swap(p.target.gpu.libraries[0], p.target.gpu.libraries[1]));
  EXPECT_GPU_REFUSED("ascending", p.target.gpu.libraries[1].version = 0);
  EXPECT_GPU_REFUSED("libraries", p.target.gpu.libraries.resize(kMaxLibraries + 1));
  EXPECT_GPU_REFUSED("negative", p.target.gpu.driver_min = -1);
  EXPECT_REFUSED("for the CPU", p.target.gpu.driver_min = 13000);
}

// --- dims ---

TEST(Dims, EvaluatesAsSpecified) {
  const std::vector<DimExpr> dims = {
      {DimOp::kSymbol, 0, 0},   {DimOp::kConstant, 3, 0}, {DimOp::kAdd, 0, 1},
      {DimOp::kMul, 0, 1},      {DimOp::kFloorDiv, 0, 1}, {DimOp::kMod, 0, 1},
      {DimOp::kMin, 0, 1},      {DimOp::kMax, 0, 1},      {DimOp::kConstant, -3, 0},
      {DimOp::kFloorDiv, 0, 8}, {DimOp::kMod, 0, 8},      {DimOp::kConstant, 0, 0},
      {DimOp::kFloorDiv, 0, 11}};
  std::vector<int64_t> out(dims.size());
  ASSERT_TRUE(EvaluateDims(dims, std::vector<int64_t>{7}, out).ok());
  EXPECT_EQ(out, (std::vector<int64_t>{7, 3, 10, 21, 2, 1, 3, 7, -3, -3, -2, 0, 0}));
}

TEST(Dims, OverflowIsAnError) {
  const std::vector<DimExpr> dims = {{DimOp::kConstant, INT64_MAX, 0}, {DimOp::kAdd, 0, 0}};
  std::vector<int64_t> out(2);
  EXPECT_EQ(EvaluateDims(dims, {}, out).code(), StatusCode::kOutOfRange);
}

TEST(Dims, BoundsHoldEveryValue) {
  // Every pair of small intervals under every operation, against brute force.
  for (DimOp op :
       {DimOp::kAdd, DimOp::kMul, DimOp::kFloorDiv, DimOp::kMod, DimOp::kMin, DimOp::kMax}) {
    for (int64_t a = -3; a <= 3; ++a) {
      for (int64_t b = -3; b <= 3; ++b) {
        for (int64_t length = 0; length <= 4; ++length) {
          const std::vector<Symbol> symbols = {{"a", a, a, a + length, 0, 0, 0},
                                               {"b", b, b, b + 2, 0, 0, 0}};
          const std::vector<DimExpr> dims = {
              {DimOp::kSymbol, 0, 0}, {DimOp::kSymbol, 1, 0}, {op, 0, 1}};
          const DimBounds bounds = BoundDims(dims, symbols)[2];
          std::vector<int64_t> out(3);
          for (int64_t x = a; x <= a + length; ++x) {
            for (int64_t y = b; y <= b + 2; ++y) {
              ASSERT_TRUE(EvaluateDims(dims, std::vector<int64_t>{x, y}, out).ok());
              ASSERT_LE(bounds.min, out[2]) << static_cast<int>(op) << " " << x << " " << y;
              ASSERT_GE(bounds.max, out[2]) << static_cast<int>(op) << " " << x << " " << y;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace fusee::plan
