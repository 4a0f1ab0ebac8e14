// The count of driver calls that `fusee bench` prints, over the fake device.
#include "cli/driver_report.h"

#include <gmock/gmock.h>

#include "cli/fake_gpu_test_util.h"

namespace fusee::cli {
namespace {

TEST(DriverReport, RunsOfAReadyPlanAskForNothing) {
  testing::FakeGpu gpu;
  ASSERT_NE(gpu.session, nullptr);
  ASSERT_TRUE(gpu.session->SetShape(0, Shape{8, 4}).ok());
  const int64_t launches = gpu.device().last_queue()->launches();
  const auto report = WatchDriverDuringRuns(*gpu.session, 20);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_TRUE(report->watched.ok());
  EXPECT_EQ(report->runs, 20u);
  EXPECT_EQ(report->calls(), 0u);
  EXPECT_EQ(gpu.device().last_queue()->launches(), launches + 21);
}

TEST(DriverReport, CountsWhatARunAsksForAndNotWhatWasBefore) {
  testing::FakeGpu gpu;
  ASSERT_NE(gpu.session, nullptr);
  ASSERT_TRUE(gpu.session->SetShape(0, Shape{8, 4}).ok());
  gpu.device().last_queue()->on_launch = [&] { (void)gpu.device().Allocate(16); };
  const auto report = WatchDriverDuringRuns(*gpu.session, 20);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->allocations, 20u);
  EXPECT_EQ(report->frees, 20u);
}

TEST(DriverReport, SaysWhyADriverCannotBeWatched) {
  testing::FakeGpu gpu;
  ASSERT_NE(gpu.session, nullptr);
  gpu.device().watch_status = Unavailable("CUPTI is absent");
  const auto report = WatchDriverDuringRuns(*gpu.session, 20);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->watched.message(), "CUPTI is absent");
  EXPECT_EQ(report->runs, 0u);
}

}  // namespace
}  // namespace fusee::cli
