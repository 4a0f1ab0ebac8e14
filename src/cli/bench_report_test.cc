// What `fusee bench` makes of its measurements: percentiles, averages, remarks, trtexec's lines,
// --memPoolSize.
#include "cli/bench_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/memory_pool_size.h"
#include "cli/step_profile.h"

namespace fusee::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A quiet measurement of `runs` runs of one millisecond.
BenchReport Report(size_t runs) {
  BenchReport report;
  report.subject = "m.plan";
  report.verified = true;
  report.percentiles = ReportedPercentiles({});
  report.measured.latency_ns.assign(runs, 1'000'000);
  for (size_t i = 0; i < runs; ++i)
    report.measured.start_ns.push_back(static_cast<int64_t>(i) * 1'000'000);
  report.measured.seconds = static_cast<double>(runs) / 1e3;
  report.measured.canary = Distribution(std::vector<int64_t>(100, 1'000'000));
  return report;
}

TEST(BenchReport, PercentilesAreAscendingAndUnique) {
  EXPECT_THAT(ReportedPercentiles({}), ElementsAre(50, 90, 95, 99, 99.9));
  EXPECT_THAT(ReportedPercentiles({99.99, 80, 90}), ElementsAre(50, 80, 90, 95, 99, 99.9, 99.99));
}

TEST(BenchReport, RollingAveragesLeaveOutAShortRest) {
  EXPECT_THAT(RollingAveragesMs({1'000'000, 3'000'000, 5'000'000, 7'000'000, 9'000'000}, 2),
              ElementsAre(2, 6));
  EXPECT_THAT(RollingAveragesMs({1'000'000}, 2), IsEmpty());
  EXPECT_THAT(RollingAveragesMs({1'000'000}, 0), IsEmpty());
}

TEST(BenchReport, TextHasTrtexecsLines) {
  const std::string text = BenchText(Report(1000));
  EXPECT_THAT(text, HasSubstr("\nThroughput: 1000.00 qps\n"));
  EXPECT_THAT(text, HasSubstr("\nLatency: min = 1 ms, max = 1 ms, mean = 1 ms, median = 1 ms, "
                              "percentile(50%) = 1 ms, "));
  EXPECT_THAT(text, HasSubstr("percentile(99.9%) = 1 ms\n"));
  EXPECT_THAT(text, HasSubstr("\nAllocations: 0 in 1000 runs (0 bytes); page faults: 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("Remark:")));
}

TEST(BenchReport, RemarksNameWhatSpoilsTheFigures) {
  EXPECT_THAT(Remarks(Report(1000)), IsEmpty());
  EXPECT_THAT(Remarks(Report(999)), ElementsAre(HasSubstr("too few for P99.9")));
  BenchReport unverified = Report(1000);
  unverified.verified = false;
  unverified.unverified_reason = "built with --no-verify";
  EXPECT_THAT(Remarks(unverified), ElementsAre(HasSubstr("built with --no-verify")));
  BenchReport heap = Report(1000);
  heap.measured.heap_calls = 3;
  EXPECT_THAT(Remarks(heap),
              ElementsAre(AllOf(HasSubstr("heap 3 times"), HasSubstr("--trace-allocations"))));
  heap.measured.heap_calls_elsewhere = 3;
  EXPECT_THAT(Remarks(heap), ElementsAre(HasSubstr("heap 3 times"))) << "threads of a run";
  heap.on_device = true;
  EXPECT_THAT(Remarks(heap), ElementsAre()) << "threads of the driver";
  heap.on_device = false;
  heap.measured.heap_traces = {{.bytes = 88, .same_thread = false, .frames = {"malloc", "other"}}};
  EXPECT_THAT(Remarks(heap), ElementsAre(Not(HasSubstr("--trace-allocations"))));
  EXPECT_THAT(BenchText(heap), HasSubstr("\nAllocation 1: 88 bytes, on another thread\n    malloc\n"
                                         "    other\n"));
  EXPECT_THAT(BenchJson(heap), HasSubstr("\"timed_thread\": false"));
  BenchReport uneven = Report(1000);
  uneven.measured.latency_ns[0] = 5'000'000;
  EXPECT_THAT(Remarks(uneven), ElementsAre(HasSubstr("vary")));
  // A noisy machine explains uneven times, so only it is named.
  uneven.measured.canary = Distribution(std::vector<int64_t>{1, 1, 1, 9});
  EXPECT_THAT(Remarks(uneven), ElementsAre(HasSubstr("noisy")));
}

TEST(BenchReport, TimesOfHostAndDeviceStandApartWithTheirSpread) {
  BenchReport report = Report(1000);
  report.measured.latency_ns.back() = 3'000'000;
  EXPECT_THAT(BenchText(report), HasSubstr("\nLatency spread: P99.9 / P50 = 1.000, max / P50 = "
                                           "3.000\n"));
  EXPECT_THAT(BenchText(report), Not(HasSubstr("GPU")));
  report.on_device = true;
  report.device_ns.assign(1000, 500'000);
  report.device_ns[0] = 1'000'000;
  const std::string text = BenchText(report);
  EXPECT_THAT(text, HasSubstr("\nGPU Compute Time: min = 0.5 ms, max = 1 ms, "));
  EXPECT_THAT(text,
              HasSubstr("\nGPU Compute Time spread: P99.9 / P50 = 1.000, max / P50 = 2.000\n"));
  const std::string json = BenchJson(report);
  EXPECT_THAT(json, HasSubstr("\"max_over_p50\": 3.0"));
  EXPECT_THAT(json, HasSubstr("\"max_over_p50\": 2.0"));
}

TEST(BenchReport, ThroughputIsOfAllStreams) {
  BenchReport report = Report(1000);
  report.streams = 3;
  report.other_runs = 3000;
  report.other_seconds = 1.5;  // warm-up and canaries of the first included
  EXPECT_THAT(BenchText(report), HasSubstr("\nThroughput: 3000.00 qps\n"));
}

TEST(BenchReport, SaysWhatTheDriverWasAskedFor) {
  BenchReport report = Report(1000);
  EXPECT_THAT(BenchText(report), Not(HasSubstr("Driver:"))) << "on the CPU there is none";
  report.on_device = true;
  EXPECT_THAT(BenchText(report), HasSubstr("\nDriver: not watched: not asked to\n"));
  EXPECT_THAT(BenchJson(report), HasSubstr("\"reason\": \"not asked to\""));
  report.driver = {OkStatus(), 1000, 0, 0, 0};
  EXPECT_THAT(BenchText(report), HasSubstr("\nDriver: device allocations 0, frees 0, modules "
                                           "loaded 0 in 1000 runs of their own\n"));
  EXPECT_THAT(Remarks(report), IsEmpty());
  report.driver.allocations = 2;
  EXPECT_THAT(BenchJson(report), HasSubstr("\"device_allocations\": 2"));
  EXPECT_THAT(Remarks(report), ElementsAre(HasSubstr("driver for memory or code 2 times")));
}

TEST(BenchReport, SaysWhetherBitsAreTheSame) {
  BenchReport report = Report(1000);
  EXPECT_THAT(BenchText(report), Not(HasSubstr("Bits:")));
  report.bits = {.checked = true, .runs = 12, .same = 12};
  EXPECT_THAT(BenchText(report), HasSubstr("\nBits: the same in 12 of 12 runs, those not timed "
                                           "included\n"));
  EXPECT_THAT(BenchText(report), HasSubstr("not checked: not asked to\n"));
  EXPECT_TRUE(report.bits.all_same());
  report.bits.positions = {
      .not_checked = "", .rows = 8, .positions = 8, .same = 7, .difference = "position 3"};
  EXPECT_THAT(BenchText(report), HasSubstr("in 7 of 8 positions of a batch of 8; first difference: "
                                           "position 3\n"));
  EXPECT_THAT(BenchJson(report), HasSubstr("\"same_positions\": 7"));
  EXPECT_FALSE(report.bits.all_same());
}

TEST(BenchReport, TimesAreOneEntryARun) {
  EXPECT_EQ(TimesJson(Report(2).measured),
            "[\n  {\"startMs\": 0, \"latencyMs\": 1},\n  {\"startMs\": 1, \"latencyMs\": 1}\n]\n");
  EXPECT_EQ(TimesJson(Measurement()), "[\n]\n");
}

TEST(StepProfile, JsonIsTrtexecs) {
  const StepProfile profile{2,
                            {{"Conv 'c' (k)", 3, 1.5, 1.5, 75}, {"Relu 'r' (k)", 1, 0.5, 0.5, 25}}};
  const std::string json = ProfileJson(profile);
  EXPECT_THAT(json, HasSubstr("\"count\": 2"));
  EXPECT_THAT(json, HasSubstr("\"averageMs\": 1.5"));
  EXPECT_THAT(ProfileText(profile), HasSubstr("total"));
}

TEST(MemPoolSize, WorkspaceInUnits) {
  EXPECT_EQ(ParseMemPoolSize("workspace:64").value(), uint64_t{64} << 20);
  EXPECT_EQ(ParseMemPoolSize("workspace:0.5").value(), uint64_t{512} << 10);
  EXPECT_EQ(ParseMemPoolSize("workspace:10B").value(), 10U);
  EXPECT_EQ(ParseMemPoolSize("workspace:2K").value(), 2048U);
  EXPECT_EQ(ParseMemPoolSize("workspace:2M").value(), uint64_t{2} << 20);
  EXPECT_EQ(ParseMemPoolSize("workspace:2G").value(), uint64_t{2} << 30);
  EXPECT_EQ(ParseMemPoolSize("workspace:0").value(), 0U);
}

TEST(MemPoolSize, EverythingElseIsRefused) {
  for (const char* bad :
       {"", "64", "workspace", "workspace:", "workspace:M", "workspace:-1", "workspace:1T",
        "workspace:nan", "workspace:99999999999G", "workspace:1e3", "workspace:1 M"}) {
    EXPECT_EQ(ParseMemPoolSize(bad).status().code(), StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_THAT(ParseMemPoolSize("dlaSRAM:1").status().message(), HasSubstr("dlaSRAM"));
}

}  // namespace
}  // namespace fusee::cli
