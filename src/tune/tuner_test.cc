// The tuner on the fake device and on the CPU with a fake clock.
#include "tune/tuner.h"

#include <gtest/gtest.h>

#include "ops/timed_kernels_test_util.h"

namespace fusee::tune {
namespace {

using ops::KernelDef;

struct Rig {
  testing::FakeDevice device;
  SerialParallel serial;
  FakeClock clock;
  TimingCache cache;
  Attrs attrs;

  Rig() { ops::Script() = {}; }
  Environment OnDevice() { return {&device, &serial, &clock, 0, "fake"}; }

  Problem Relu(int64_t rows, std::vector<Candidate> candidates) {
    Problem problem;
    problem.op = "Relu";
    problem.attrs = &attrs;
    problem.inputs = {{DType::kF32, Shape{rows, 4}, true, nullptr}};
    problem.outputs = problem.inputs;
    problem.packings = {std::make_shared<const Packing>()};
    problem.candidates = std::move(candidates);
    return problem;
  }
};

const Candidate kTimed{ops::TimedDef("Relu"), 0, "", {}};
const Candidate kOther{ops::OtherDef("Relu"), 0, "", {}};

TEST(Tuner, TakesTheDevicesTimeOfOneExecution) {
  Rig rig;
  ops::Script().default_us = 10;
  ops::Script().other_us = 8;
  Tuner tuner(rig.OnDevice(), &rig.cache);
  const auto timings = tuner.Time(rig.Relu(2, {kTimed, kOther}));
  ASSERT_TRUE(timings.ok()) << timings.status().ToString();
  EXPECT_NEAR((*timings)[0].score.time_us, 10, 1e-9);
  EXPECT_NEAR((*timings)[1].score.time_us, 8, 1e-9);
  EXPECT_NEAR((*timings)[1].score.ratio, 0.8, 1e-9);
}

TEST(Tuner, EqualProblemsShareOneMeasurement) {
  Rig rig;
  Tuner tuner(rig.OnDevice(), &rig.cache);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(tuner.Time(rig.Relu(2, {kTimed, kOther})).ok());
  ASSERT_TRUE(tuner.Time(rig.Relu(3, {kTimed, kOther})).ok());
  EXPECT_EQ(tuner.measured(), 2u);
  EXPECT_EQ(tuner.reused(), 2u);
}

TEST(Tuner, AnotherCandidateTimesAllAnew) {
  Rig rig;
  Tuner tuner(rig.OnDevice(), &rig.cache);
  ASSERT_TRUE(tuner.Time(rig.Relu(2, {kTimed})).ok());
  ASSERT_TRUE(tuner.Time(rig.Relu(2, {kTimed, kOther})).ok());
  EXPECT_EQ(tuner.measured(), 2u);
}

TEST(Tuner, ACacheFromAnEarlierBuildIsBelieved) {
  Rig rig;
  ops::Script().other_us = 5;
  Tuner first(rig.OnDevice(), &rig.cache);
  const auto want = first.Time(rig.Relu(2, {kTimed, kOther})).value();
  TimingCache later = TimingCache::Parse(rig.cache.Text()).value();
  Tuner second(rig.OnDevice(), &later);
  ops::Script().other_us = 50;
  EXPECT_EQ(second.Time(rig.Relu(2, {kTimed, kOther})).value(), want);
  EXPECT_EQ(second.measured(), 0u);
}

TEST(Tuner, ACandidateThatDoesNotBindIsRefusedWithItsReason) {
  Rig rig;
  Candidate broken = kTimed;
  broken.config = {std::byte{1}};
  Tuner tuner(rig.OnDevice(), &rig.cache);
  const auto timings = tuner.Time(rig.Relu(2, {kOther, broken}));
  ASSERT_TRUE(timings.ok()) << timings.status().ToString();
  EXPECT_NE((*timings)[1].refusal.find("8 bytes"), std::string::npos) << (*timings)[1].refusal;
  EXPECT_TRUE((*timings)[0].refusal.empty());
}

// Writes another value at each run.
class Unsteady final : public ops::BoundKernel {
 public:
  Status CheckShapes(const ops::RunArgs&) const override { return OkStatus(); }
  Status Run(const ops::RunArgs& args) const override {
    *static_cast<float*>(args.outputs[0].data) = static_cast<float>(++runs_);
    return OkStatus();
  }

 private:
  mutable int runs_ = 0;
};

TEST(Tuner, TwoRunsWithDifferentBitsAreRefused) {
  Rig rig;
  static const KernelDef unsteady = {
      .id = "unsteady_relu.1",
      .op = "Relu",
      .bind = [](const ops::StepSpec&) -> Result<std::unique_ptr<ops::BoundKernel>> {
        return std::unique_ptr<ops::BoundKernel>(std::make_unique<Unsteady>());
      }};
  Tuner tuner({nullptr, &rig.serial, &rig.clock, 0, "cpu"}, &rig.cache);
  const auto timings = tuner.Time(rig.Relu(2, {{&unsteady, 0, "", {}}}));
  ASSERT_TRUE(timings.ok()) << timings.status().ToString();
  EXPECT_EQ((*timings)[0].refusal, "two runs give different bits");
}

// A CPU kernel during whose run the clock moves.
class Ticking final : public ops::BoundKernel {
 public:
  Ticking(FakeClock& clock, Duration time) : clock_(clock), time_(time) {}
  Status CheckShapes(const ops::RunArgs&) const override { return OkStatus(); }
  Status Run(const ops::RunArgs&) const override {
    clock_.Advance(time_);
    return OkStatus();
  }

 private:
  FakeClock& clock_;
  Duration time_;
};
FakeClock* ticking_clock = nullptr;

TEST(Tuner, OnTheCpuTimeIsTheClocks) {
  Rig rig;
  ticking_clock = &rig.clock;
  static const KernelDef ticking = {
      .id = "ticking_relu.1",
      .op = "Relu",
      .bind = [](const ops::StepSpec&) -> Result<std::unique_ptr<ops::BoundKernel>> {
        return std::unique_ptr<ops::BoundKernel>(
            std::make_unique<Ticking>(*ticking_clock, std::chrono::microseconds(7)));
      }};
  Tuner tuner({nullptr, &rig.serial, &rig.clock, 0, "cpu"}, &rig.cache);
  const auto timings = tuner.Time(rig.Relu(2, {{&ticking, 0, "", {}}}));
  ASSERT_TRUE(timings.ok()) << timings.status().ToString();
  EXPECT_NEAR((*timings)[0].score.time_us, 7, 1e-9);
}

TEST(Tuner, WeightsAreRotatedBeyondTheCache) {
  Rig rig;
  const Tensor weights = Tensor::Of<float>({4}, {1, 2, 3, 4});
  Environment where = rig.OnDevice();
  where.cache_bytes = 1000;
  Problem problem = rig.Relu(2, {});
  problem.op = "Add";
  problem.inputs.push_back({DType::kF32, Shape{4}, true, weights.bytes().data()});
  problem.candidates = {{ops::FakeKernels().For("Add")[0], 0, "", {}}};
  const auto before = rig.device.allocated_bytes();
  Tuner tuner(where, &rig.cache);
  const auto timings = tuner.Time(problem);
  ASSERT_TRUE(timings.ok()) << timings.status().ToString();
  // Sets are padded to 256 bytes; 2 * 1000 / 256 + 2 of them.
  EXPECT_GE(rig.device.allocated_bytes() - before, 9u * 256);
  EXPECT_EQ(rig.device.live_memory(), 0) << "the tuner gives everything back";
}

TEST(Signature, TellsWorkApart) {
  Rig rig;
  const Problem base = rig.Relu(2, {kTimed});
  EXPECT_EQ(Signature(base), Signature(rig.Relu(2, {kOther}))) << "candidates are not the work";
  EXPECT_NE(Signature(base), Signature(rig.Relu(3, {kTimed})));
  Problem other = base;
  other.inputs[0].dtype = DType::kF16;
  EXPECT_NE(Signature(base), Signature(other));
  const Tensor one = Tensor::Of<float>({}, {1}), two = Tensor::Of<float>({}, {2});
  other = base;
  other.inputs.push_back({DType::kF32, Shape{}, true, one.bytes().data()});
  Problem another = other;
  another.inputs[1].data = two.bytes().data();
  EXPECT_NE(Signature(other), Signature(another)) << "small constants' values matter";
  Attrs axis({{"axis", int64_t{1}}});
  other = base;
  other.attrs = &axis;
  EXPECT_NE(Signature(base), Signature(other));
}

}  // namespace
}  // namespace fusee::tune
