// A module's device as a worker's, over the fake device: loads a plan, gathers and scatters in the
// slab, reports what it is.
#include "worker/module_device.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "base/test_folder.h"
#include "device/fake_device_test_util.h"
#include "ops/fake_kernels_test_util.h"
#include "plan/encode.h"
#include "runtime/device_plan_test_util.h"
#include "runtime/golden.h"
#include "runtime/runtime.h"

namespace fusee::worker {
namespace {

using runtime::testing::DevicePlan;

class ModuleDeviceTest : public ::testing::Test {
 protected:
  std::string Save(const plan::Plan& plan) {
    const auto bytes = plan::Encode(plan);
    EXPECT_TRUE(bytes.ok()) << bytes.status().ToString();
    const std::string path = (folder_.path() / "model.plan").string();
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes->data()),
               static_cast<std::streamsize>(bytes->size()));
    return path;
  }
  const TestFolder folder_;
  testing::FakeDevice fake_;
  ModuleDevice device_{&fake_, &ops::FakeKernels()};
};

TEST_F(ModuleDeviceTest, RunsABatchInTheSlab) {
  std::vector<float> in(1024), out(1024);
  ASSERT_TRUE(
      device_
          .BindRequestMemory(std::as_bytes(std::span(in)), std::as_writable_bytes(std::span(out)))
          .ok());
  auto model = device_.Load(Save(DevicePlan()), "small", 3);
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  EXPECT_EQ((*model)->info().version, 3);
  EXPECT_EQ((*model)->info().memory_bytes, fake_.allocated_bytes());

  for (size_t i = 0; i < 12; ++i) in[100 + i] = static_cast<float>(i) - 5.0f;
  const ConstTensorView x[] = {{DType::kF32, Shape{2, 4}, &in[100]},
                               {DType::kF32, Shape{1, 4}, &in[108]}};
  TensorView y[] = {{DType::kF32, Shape{2, 4}, &out[7]}, {DType::kF32, Shape{1, 4}, &out[500]}};
  std::vector<ipc::BatchItem> items = {{std::span(x).first(1), std::span(y).first(1)},
                                       {std::span(x).last(1), std::span(y).last(1)}};
  ipc::BatchResult times;
  for (size_t count : {size_t{2}, size_t{1}}) {
    std::fill(out.begin(), out.end(), 0.0f);
    const Status status = (*model)->Run(std::span(items).first(count), SteadyClock(), &times);
    ASSERT_TRUE(status.ok()) << status.ToString();
    for (size_t i = 0; i < 4 * (count + 1); ++i) {
      const float got = i < 8 ? out[7 + i] : out[500 + i - 8];
      EXPECT_EQ(got, -(std::fabs(in[100 + i]) + static_cast<float>(i % 4 + 1))) << i;
    }
  }
  EXPECT_TRUE(device_.Health().ok());
}

TEST_F(ModuleDeviceTest, ReplaysGoldenRunsOnTheContextThatServes) {
  plan::Plan plan = DevicePlan();
  plan.certificate.golden = {{{8}, Fill::kUniform, 7, {Sha256({})}}};
  const auto model = device_.Load(Save(plan), "small", 1);
  ASSERT_TRUE(model.ok()) << "it can be loaded: " << model.status().ToString();
  const auto difference = (*model)->ReplayGolden(SteadyClock());
  ASSERT_TRUE(difference.ok() && *difference);
  EXPECT_NE((*difference)->where.find("golden point 0: output 'y'"), std::string::npos)
      << (*difference)->where;
  EXPECT_TRUE((*difference)->repeats) << "no device errs twice alike";
  EXPECT_FALSE((*model)->can_probe());
}

TEST_F(ModuleDeviceTest, ProbesBetweenBatchesWithoutTakingMemory) {
  // The right bits, by the reference kernels.
  auto loaded = runtime::LoadedPlan::FromPlan(
      std::make_shared<plan::Plan>(plan::testing::SmallPlan()), {.replay_golden = false});
  ASSERT_TRUE(loaded.ok());
  auto reference = runtime::Context::Create(*loaded, {});
  ASSERT_TRUE(reference.ok());
  const auto digests = runtime::RunGolden(**reference, std::vector<int64_t>{3}, Fill::kUniform, 7);
  ASSERT_TRUE(digests.ok());
  plan::Plan plan = DevicePlan();
  plan.certificate.golden = {{{3}, Fill::kUniform, 7, *digests}};

  std::vector<float> in(64, 1.0f), out(64);
  ASSERT_TRUE(
      device_
          .BindRequestMemory(std::as_bytes(std::span(in)), std::as_writable_bytes(std::span(out)))
          .ok());
  auto model = device_.Load(Save(plan), "small", 1);
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  const auto difference = (*model)->ReplayGolden(SteadyClock());
  ASSERT_TRUE(difference.ok()) << difference.status().ToString();
  ASSERT_FALSE(*difference);
  const uint64_t taken = fake_.allocated_bytes();
  const ConstTensorView x{DType::kF32, Shape{2, 4}, in.data()};
  TensorView y{DType::kF32, Shape{2, 4}, out.data()};
  ipc::BatchItem item{{&x, 1}, {&y, 1}};
  ipc::BatchResult times;
  for (int i = 0; i < 3; ++i) {
    const auto probe = (*model)->ProbeGolden();
    ASSERT_TRUE(probe.ok()) << probe.status().ToString();
    EXPECT_FALSE(*probe);
    std::fill(out.begin(), out.end(), 0.0f);
    ASSERT_TRUE((*model)->Run({&item, 1}, SteadyClock(), &times).ok());
    for (size_t k = 0; k < 8; ++k) EXPECT_EQ(out[k], -(1 + static_cast<float>(k % 4 + 1))) << k;
    for (size_t k = 8; k < 64; ++k) EXPECT_EQ(out[k], 0) << "a probe writes nowhere else";
  }
  EXPECT_EQ(fake_.allocated_bytes(), taken);
}

TEST_F(ModuleDeviceTest, MarksBatchesForAProfilerWhenAsked) {
  for (bool marks : {false, true}) {
    fake_.marks.clear();
    ModuleDevice device(&fake_, &ops::FakeKernels(), marks);
    ASSERT_TRUE(device.Load(Save(DevicePlan()), "small", 1).ok());
    EXPECT_EQ(fake_.marks.empty(), !marks);
  }
}

TEST_F(ModuleDeviceTest, RefusesAPlanForAnotherDevice) {
  EXPECT_EQ(device_.Load(Save(plan::testing::SmallPlan()), "small", 1).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_NE(device_.description().find("fake GPU"), std::string::npos);
}

TEST(OpenDevice, SaysWhichDevicesAreAbsent) {
  const auto cuda = OpenDevice("cuda:99", {});
  EXPECT_EQ(cuda.status().code(), StatusCode::kNotFound) << cuda.status().ToString();
  EXPECT_EQ(OpenDevice("tpu", {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(OpenDevice("cpu", {.threads = 1}).ok());
}

}  // namespace
}  // namespace fusee::worker
