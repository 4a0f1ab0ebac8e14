// Plans for a device, built with the fake one: selection, host steps, tuning, and rebuilds from the
// lockfile where the device is not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/build.h"
#include "compiler/difference.h"
#include "compiler/storage.h"
#include "compiler/target.h"
#include "compiler/testing.h"
#include "compiler/tuning.h"
#include "ops/timed_kernels_test_util.h"
#include "plan/encode.h"
#include "plan/print.h"

namespace fusee::compiler {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kChain = R"(graph "chain" {
  symbol batch in [1, 4]
  input %x : f32[batch,16]
  %a : f32[batch,16] = Relu(%x)
  %b : f32[batch,16] = Tanh(%a)
  %c : f32[batch,16] = Relu(%b)
  %d : f32[batch,16] = Relu(%c)
  output %d as "y"
})";

// The chain with two tuned points, ready to be selected for the fake device.
struct Chain {
  ImportedModel model;
  fusee::testing::FakeDevice device;
  ops::KernelLibrary kernels;
  SelectOptions select;
  SerialParallel serial;
  FakeClock clock;
  tune::TimingCache cache;

  explicit Chain(bool configured = false, std::string_view missing = "", bool is_static = false)
      : kernels(ops::TimedKernels("Relu", configured, missing)) {
    ops::Script() = {};
    std::string text(kChain);
    if (is_static) {
      for (size_t at = 0; (at = text.find("batch,", at)) != std::string::npos;)
        text.replace(at, 6, "4,");
      text.erase(text.find("  symbol"), text.find("  input") - text.find("  symbol"));
    }
    model.graph = ir::Parse(text).value();
    ProfilePoint low, high;
    if (!is_static) {
      model.symbols = {{"batch", 0, 0}};
      low.values["batch"] = 1;
      high.values["batch"] = 4;
      model.buckets = {low, high};
    } else {
      model.buckets = {high};
    }
    model.opt = high;
    EXPECT_TRUE(SeparateOutputs(*model.graph).ok());
    select.kernels = &kernels;
    select.compute_capability = 90;
  }

  tune::Environment where() { return {&device, &serial, &clock, 0, "fake"}; }

  Result<TuneOutcome> Tune(size_t* measured = nullptr) {
    FUSEE_TRY(auto selection, SelectKernels(*model.graph, select));
    tune::Tuner tuner(where(), &cache);
    FUSEE_TRY(TuneOutcome outcome, TuneSelection(model, *model.graph, selection, select, tuner));
    if (measured != nullptr) *measured = tuner.measured();
    return outcome;
  }

  // As a build goes on after tuning, or with a lockfile.
  Result<std::vector<SelectedNode>> Apply(const TuneOutcome& outcome) {
    SelectOptions locked = select;
    locked.locked = &outcome.kernels;
    FUSEE_TRY(auto selection, SelectKernels(*model.graph, locked));
    FUSEE_TRY(ApplyTuned(model, *model.graph, locked, outcome.tuned, &selection));
    return selection;
  }
};

TEST(SelectForDevice, NamesEveryStepThatNothingTakes) {
  Chain chain(false, "Tanh");
  const auto selection = SelectKernels(*chain.model.graph, chain.select);
  ASSERT_FALSE(selection.ok());
  EXPECT_EQ(selection.status().code(), StatusCode::kUnimplemented);
  EXPECT_THAT(selection.status().message(), HasSubstr("Tanh"));
  EXPECT_THAT(selection.status().message(), HasSubstr("f32"));
  EXPECT_THAT(selection.status().message(), HasSubstr("--allow-cpu-steps"));
  chain.select.compute_capability = 70;
  const auto older = SelectKernels(*chain.model.graph, chain.select);
  EXPECT_THAT(older.status().message(), HasSubstr("needs compute capability 75, target has 70"));
  for (const char* value : {"Relu", "Tanh"})
    EXPECT_THAT(older.status().message(), HasSubstr(value));
  EXPECT_EQ(std::ranges::count(older.status().message(), '\n'), 4) << older.status().message();
}

TEST(SelectForDevice, AllowedHostStepsRunByTheCpusKernels) {
  Chain chain(false, "Tanh");
  chain.select.allow_host_steps = true;
  const auto selection = SelectKernels(*chain.model.graph, chain.select);
  ASSERT_TRUE(selection.ok()) << selection.status().ToString();
  EXPECT_FALSE((*selection)[0].on_host);
  EXPECT_TRUE((*selection)[1].on_host);
  EXPECT_EQ((*selection)[1].kernel->device, DeviceKind::kCpu);
  const auto plan = EmitPlan(chain.model, *chain.model.graph, *selection,
                             {.in_place = true, .device = DeviceKind::kCuda});
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_EQ(plan->target.device, "cuda");
  EXPECT_EQ(plan::HostStepCount(*plan), 1u);
  EXPECT_EQ(plan->steps[0].device, 1);
  EXPECT_EQ(plan->steps[1].device, 0);
  EXPECT_TRUE(plan::Encode(*plan).ok());
}

TEST(SelectForDevice, HostStepsTakeNothingOverInPlace) {
  Chain chain(false, "Tanh");
  chain.select.allow_host_steps = true;
  const auto selection = SelectKernels(*chain.model.graph, chain.select).value();
  const auto storage = AssignStorage(*chain.model.graph, selection, true);
  ASSERT_TRUE(storage.ok());
  const auto of = [&](size_t node) {
    const ir::Node& n = chain.model.graph->node(selection[node].node);
    return storage->of_value[n.outputs[0].index()];
  };
  EXPECT_NE(of(0), of(1)) << "the host step's result";
  EXPECT_EQ(of(1), of(2)) << "the device step behind it";
}

TEST(Tune, NearTiesKeepTheListOrder) {
  Chain chain;
  ops::Script().other_us = 9.9;
  const auto outcome = chain.Tune();
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  const auto selection = chain.Apply(*outcome).value();
  EXPECT_EQ(selection[0].kernel->id, "timed.1");
  EXPECT_TRUE(selection[0].bucket_tactics.empty());
}

TEST(Tune, AClearlyFasterKernelTakesTheTunedPoints) {
  Chain chain;
  ops::Script().other_us = 5;
  const auto outcome = chain.Tune();
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  const auto selection = chain.Apply(*outcome).value();
  EXPECT_EQ(selection[0].kernel->id, "timed.1") << "serves shapes off the points";
  ASSERT_EQ(selection[0].bucket_tactics.size(), 2u);
  EXPECT_EQ(selection[0].bucket_tactics[1].kernel->id, "other.1");
  const auto& tried = selection[0].tried;
  const auto chosen = std::ranges::find_if(tried, [](const plan::TriedTactic& t) {
    return t.kernel == "other.1" && t.verdict == "chosen at batch=4";
  });
  ASSERT_NE(chosen, tried.end());
  EXPECT_NEAR(chosen->time_us, 5, 1e-9);
}

TEST(Tune, AStaticStepIsRunByTheWinnerItself) {
  Chain chain(true, "", true);
  ops::Script().configuration_us = {12, 4, 6};
  const auto outcome = chain.Tune();
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  const auto selection = chain.Apply(*outcome).value();
  EXPECT_EQ(selection[0].kernel->id, "timed.1");
  EXPECT_EQ(selection[0].config.size(), sizeof(double));
  EXPECT_EQ(selection[0].workspace_bytes, 4u) << "of the chosen configuration";
  EXPECT_TRUE(selection[0].bucket_tactics.empty());
}

TEST(Tune, EqualStepsShareMeasurementAndList) {
  Chain chain(true);
  ops::Script().configuration_us = {8, 4};
  size_t measured = 0;
  const auto outcome = chain.Tune(&measured);
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_EQ(outcome->tuned.size(), 3u) << "three Relus";
  EXPECT_EQ(measured, 2u) << "at two points";
  EXPECT_EQ(ops::Script().listed, 2);
}

TEST(Tune, OnTheCpuOneKernelServesEveryPoint) {
  Chain chain;
  chain.select = {.max_isa = Isa::kAvx2};
  const auto selection = SelectKernels(*chain.model.graph, chain.select).value();
  tune::Tuner tuner({nullptr, &chain.serial, &SteadyClock(), 0, "cpu"}, &chain.cache);
  const auto outcome =
      TuneSelection(chain.model, *chain.model.graph, selection, chain.select, tuner);
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  for (const auto& [name, tuned] : outcome->tuned) EXPECT_TRUE(tuned.buckets.empty()) << name;
}

TEST(ApplyTuned, RefusesWhatDoesNotFitAnyMore) {
  Chain chain;
  TuneOutcome outcome;
  outcome.tuned["a"].buckets = {{0, "gone.1", {}}};
  EXPECT_THAT(chain.Apply(outcome).status().message(), HasSubstr("'gone.1'"));
  outcome.tuned["a"].buckets = {{7, "other.1", {}}};
  EXPECT_EQ(chain.Apply(outcome).status().code(), StatusCode::kFailedPrecondition);
  outcome.tuned["a"].buckets = {{0, "timed.1", {std::byte{1}}}};
  EXPECT_THAT(chain.Apply(outcome).status().message(), HasSubstr("8 bytes"));
}

// --- whole builds of the digits model ---

const std::string kDigits = std::string(FUSEE_SOURCE_DIR) + "/examples/digits/digits.onnx";

struct DigitsBuild {
  fusee::testing::FakeDevice device;
  ops::KernelLibrary kernels = ops::TimedKernels("Gemm", true);
  BuildOptions options;

  DigitsBuild() {
    ops::Script() = {};
    ops::Script().configuration_us = {900, 300};  // one copy a region: the fake really computes
    device.mutable_info().cublaslt_version = 130100;
    options.device = "cuda";
    options.profiles["image"].shapes = {{1, 1, 8, 8}, {2, 1, 8, 8}};
    options.threads = 1;
    options.timing_budget_s = 0;
    options.device_override = RunTarget{&device, &kernels};
  }
};

TEST(BuildForDevice, TunedPlanIsVerifiedAndRebuiltWithoutTheDevice) {
  DigitsBuild build;
  const auto first = Build(kDigits, build.options);
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  const plan::Plan& plan = *first->plan;
  EXPECT_TRUE(plan.certificate.verified);
  EXPECT_EQ(plan.target.device, "cuda");
  EXPECT_EQ(plan.target.gpu.name, "fake GPU");
  EXPECT_EQ(plan.target.gpu.driver_min, 13000);
  ASSERT_EQ(plan.target.gpu.libraries.size(), 1u);
  EXPECT_EQ(plan.target.gpu.libraries[0].version, 130100u);
  const auto tuned = std::ranges::count_if(
      plan.steps, [](const plan::Step& s) { return s.bucket_tactics.size() == 2; });
  EXPECT_GT(tuned, 0);
  EXPECT_GT(first->report.problems_timed, 0u);

  build.options.lockfile = first->lockfile;
  build.options.device_override->device = nullptr;
  const auto second = Build(kDigits, build.options);
  ASSERT_TRUE(second.ok()) << second.status().ToString();
  EXPECT_EQ(second->bytes, first->bytes);
  EXPECT_EQ(second->lockfile, first->lockfile);
  EXPECT_THAT(second->report.verdict, HasSubstr("not run"));
  build.options.device_override->device = &build.device;
  const auto third = Build(kDigits, build.options);
  ASSERT_TRUE(third.ok()) << third.status().ToString();
  EXPECT_EQ(third->bytes, first->bytes) << "also where the device is, and is run";
}

TEST(BuildForDevice, WithoutTheDeviceOnlyALockfileHelps) {
  DigitsBuild build;
  build.options.device_override->device = nullptr;
  const auto result = Build(kDigits, build.options);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(result.status().message(), HasSubstr("--locked"));
}

TEST(BuildForDevice, TheTimingCacheSavesTheSecondBuildItsMeasurements) {
  DigitsBuild build;
  const auto first = Build(kDigits, build.options).value();
  build.options.timings = first.timings;
  const auto second = Build(kDigits, build.options);
  ASSERT_TRUE(second.ok()) << second.status().ToString();
  EXPECT_EQ(second->report.problems_timed, 0u);
  EXPECT_EQ(second->report.problems_reused, first.report.problems_timed);
  EXPECT_EQ(second->timings, first.timings);
}

TEST(BuildForDevice, WithoutTuningTheListOrderStands) {
  DigitsBuild build;
  build.options.tune = false;
  const auto result = Build(kDigits, build.options);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->report.problems_timed, 0u);
  for (const plan::Step& s : result->plan->steps) EXPECT_TRUE(s.bucket_tactics.empty());
  EXPECT_EQ(result->lockfile.find("\"tuned\""), std::string::npos);
}

TEST(BuildForDevice, HostStepsAreReported) {
  DigitsBuild build;
  build.kernels = ops::TimedKernels("Gemm", true, "MaxPool");
  EXPECT_EQ(Build(kDigits, build.options).status().code(), StatusCode::kUnimplemented);
  build.options.allow_cpu_steps = true;
  const auto result = Build(kDigits, build.options);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  ASSERT_FALSE(result->report.host_steps.empty());
  EXPECT_THAT(result->report.host_steps[0], HasSubstr("MaxPool"));
  EXPECT_TRUE(result->plan->certificate.verified);
}

TEST(BuildForDevice, OptionsWithoutEffectAreErrors) {
  DigitsBuild build;
  build.options.reference_tactics = true;
  EXPECT_EQ(Build(kDigits, build.options).status().code(), StatusCode::kInvalidArgument);
  BuildOptions cpu;
  cpu.allow_cpu_steps = true;
  EXPECT_EQ(Build(kDigits, cpu).status().code(), StatusCode::kInvalidArgument);
  cpu = {};
  cpu.allow_tf32 = true;
  EXPECT_EQ(Build(kDigits, cpu).status().code(), StatusCode::kInvalidArgument);
}

TEST(BuildForDevice, Tf32IsOnEveryProductOfThePlanWhenAllowedAndOnNoneElse) {
  const auto marked = [](const plan::Plan& plan) {
    return std::ranges::count_if(
        plan.steps, [](const plan::Step& s) { return s.attrs.Str("math", "").value() == "tf32"; });
  };
  DigitsBuild build;
  const auto plain = Build(kDigits, build.options);
  ASSERT_TRUE(plain.ok()) << plain.status().ToString();
  EXPECT_EQ(marked(*plain->plan), 0);
  EXPECT_EQ(plain->plan->provenance.options.find("tf32"), std::string::npos);

  build.options.allow_tf32 = true;
  const auto allowed = Build(kDigits, build.options);
  ASSERT_TRUE(allowed.ok()) << allowed.status().ToString();
  EXPECT_EQ(marked(*allowed->plan), 6);  // four convolutions, two products
  EXPECT_THAT(allowed->plan->provenance.options, HasSubstr("allow-tf32;"));
  EXPECT_TRUE(allowed->plan->certificate.verified);
  EXPECT_EQ(allowed->plan->certificate.atol, kVerifyF16Tol);
  EXPECT_THAT(plan::PlanText(*allowed->plan), HasSubstr("math=\"tf32\""));

  build.options.lockfile = allowed->lockfile;
  EXPECT_EQ(Build(kDigits, build.options)->bytes, allowed->bytes);
  build.options.allow_tf32 = false;
  EXPECT_EQ(Build(kDigits, build.options).status().code(), StatusCode::kFailedPrecondition);
}

TEST(OpenTarget, ADeviceOtherThanTheLockfilesCountsAsAbsent) {
  DigitsBuild build;
  plan::GpuTarget want{"fake GPU", 90, 132, 13000, {{"cublaslt", 130100}}};
  EXPECT_NE(OpenTarget(build.options, &want)->device, nullptr);
  want.libraries[0].version = 130200;
  EXPECT_EQ(OpenTarget(build.options, &want)->device, nullptr);
  want.libraries[0].version = 130100;
  want.compute_capability = 80;
  const auto target = OpenTarget(build.options, &want);
  EXPECT_EQ(target->device, nullptr);
  EXPECT_THAT(target->absent, HasSubstr("compute capability"));
}

}  // namespace
}  // namespace fusee::compiler
