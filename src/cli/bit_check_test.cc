// Same bits in every run and in every position of a batch, on the CPU and on the fake device.
#include "cli/bit_check.h"

#include <gmock/gmock.h>

#include "cli/fake_gpu_test_util.h"
#include "tensor/random.h"

namespace fusee::cli {
namespace {

using testing::FakeGpu;
using ::testing::HasSubstr;

std::unique_ptr<Session> CpuSession(const plan::Plan& plan) {
  auto session = Session::OpenBytes(plan::Encode(plan).value(), {.threads = 1});
  EXPECT_TRUE(session.ok()) << session.status().ToString();
  return session.ok() ? std::move(*session) : nullptr;
}

void Fill(Session& session, int64_t rows, uint64_t seed = 1) {
  ASSERT_TRUE(session.SetShape(0, Shape{rows, 4}).ok());
  FillRandom(session.Input(0).value(), Fill::kUniform, seed, 0, 0, 1);
  ASSERT_TRUE(session.MoveInputs().ok());
}

void RunAndCheck(Session& session, BitCheck* check, int runs) {
  for (int i = 0; i < runs; ++i) {
    ASSERT_TRUE(session.Run().ok());
    ASSERT_TRUE(check->AfterRun().ok());
  }
}

// y = neg(abs(x) + w) with a w for each of the four rows of a batch: a row's result depends on
// where it is, whatever the certificate says.
plan::Plan PositionDependent(plan::Plan plan) {
  plan.tensors[plan::testing::kW].shape = {1, 1};
  plan.tensors[plan::testing::kW].capacity_bytes = 64;
  plan.buckets.erase(plan.buckets.begin());
  plan.certificate.golden.clear();
  return plan;
}

TEST(BitCheck, RunsOnTheSameInputsGiveTheSameBits) {
  const auto session = CpuSession(plan::testing::SmallPlan());
  ASSERT_NE(session, nullptr);
  Fill(*session, 4);
  BitCheck check(*session);
  RunAndCheck(*session, &check, 5);
  EXPECT_TRUE(check.report().checked);
  EXPECT_EQ(check.report().runs, 5u);
  EXPECT_EQ(check.report().same, 5u);
  EXPECT_TRUE(check.report().all_same());
}

TEST(BitCheck, NamesTheFirstDifference) {
  const auto session = CpuSession(plan::testing::SmallPlan());
  ASSERT_NE(session, nullptr);
  Fill(*session, 4);
  BitCheck check(*session);
  RunAndCheck(*session, &check, 2);
  session->Input(0).value().as<float>()[3] = 7;
  RunAndCheck(*session, &check, 2);
  EXPECT_EQ(check.report().runs, 4u);
  EXPECT_EQ(check.report().same, 2u);
  EXPECT_FALSE(check.report().all_same());
  EXPECT_THAT(check.report().difference, HasSubstr("run 3: output 'y', byte 1"));
  EXPECT_THAT(check.report().difference, HasSubstr("of 64"));
}

TEST(BitCheck, AnotherShapeIsADifference) {
  const auto session = CpuSession(plan::testing::SmallPlan());
  ASSERT_NE(session, nullptr);
  Fill(*session, 4);
  BitCheck check(*session);
  RunAndCheck(*session, &check, 1);
  Fill(*session, 2);
  RunAndCheck(*session, &check, 1);
  EXPECT_THAT(check.report().difference, HasSubstr("run 2: output 'y' is [2,4], was [4,4]"));
}

TEST(BitCheck, SeesADeviceWhoseResultsStayThere) {
  for (bool no_transfers : {false, true}) {
    FakeGpu gpu({.no_transfers = no_transfers});
    ASSERT_NE(gpu.session, nullptr);
    Fill(*gpu.session, 8);
    BitCheck check(*gpu.session);
    RunAndCheck(*gpu.session, &check, 3);
    EXPECT_EQ(check.report().same, 3u);
    EXPECT_LT(gpu.session->Output(0)->as<float>()[0], 0) << "fetched";
    Fill(*gpu.session, 8, /*seed=*/2);
    RunAndCheck(*gpu.session, &check, 1);
    EXPECT_EQ(check.report().same, 3u);
  }
}

TEST(CheckPositions, ARowsBitsAreTheSameInEveryPosition) {
  const auto cpu = CpuSession(plan::testing::SmallPlan());
  ASSERT_NE(cpu, nullptr);
  for (bool no_transfers : {false, true}) {
    FakeGpu gpu({.no_transfers = no_transfers});
    ASSERT_NE(gpu.session, nullptr);
    for (Session* session : {cpu.get(), gpu.session.get()}) {
      for (int64_t rows : {8, 5}) {  // a bucket, and a batch that a device fills up to it
        Fill(*session, rows);
        const auto input = session->Input(0)->bytes();
        const std::vector<std::byte> before(input.begin(), input.end());
        const auto report = CheckPositions(*session);
        ASSERT_TRUE(report.ok()) << report.status().ToString();
        EXPECT_EQ(report->not_checked, "");
        EXPECT_EQ(report->rows, rows);
        EXPECT_EQ(report->positions, static_cast<size_t>(rows));
        EXPECT_EQ(report->same, static_cast<size_t>(rows)) << report->difference;
        EXPECT_TRUE(std::ranges::equal(before, session->Input(0)->bytes()));
      }
    }
  }
}

TEST(CheckPositions, FindsAPlanWhoseRowsKnowWhereTheyAre) {
  const auto cpu = CpuSession(PositionDependent(plan::testing::SmallPlan(4)));
  ASSERT_NE(cpu, nullptr);
  FakeGpu gpu({}, PositionDependent(runtime::testing::DevicePlan(4)));
  ASSERT_NE(gpu.session, nullptr);
  for (Session* session : {cpu.get(), gpu.session.get()}) {
    Fill(*session, 4);
    const auto report = CheckPositions(*session);
    ASSERT_TRUE(report.ok()) << report.status().ToString();
    EXPECT_EQ(report->positions, 4u);
    EXPECT_EQ(report->same, 1u) << "w is 1 2 3 4 for the first row, 0 for the others";
    EXPECT_THAT(report->difference, HasSubstr("position 1 of 0 to 3: output 'y', byte"));
  }
}

TEST(CheckPositions, SaysWhyThereIsNothingToCheck) {
  const auto why = [](const plan::Plan& plan, int64_t rows) {
    const auto session = CpuSession(plan);
    if (session == nullptr) return std::string();
    Fill(*session, rows);
    const auto report = CheckPositions(*session);
    EXPECT_TRUE(report.ok() && report->positions == 0);
    return report.ok() ? report->not_checked : std::string();
  };
  EXPECT_THAT(why(plan::testing::SmallPlan(), 1), HasSubstr("one row"));
  plan::Plan mixes = plan::testing::SmallPlan();
  mixes.certificate.batch_checked = false;
  EXPECT_THAT(why(mixes, 4), HasSubstr("certificate"));
}

}  // namespace
}  // namespace fusee::cli
