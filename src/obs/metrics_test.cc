#include "obs/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <thread>

namespace fusee::obs {
namespace {

using std::chrono::microseconds;
using testing::HasSubstr;
using testing::Not;

TEST(Metrics, CountersCarryModelAndVersion) {
  Registry registry;
  registry.Model("digits", 3)->Add(MetricId::kRequestSuccess, 2);
  EXPECT_THAT(registry.Serialize(),
              HasSubstr("\nnv_inference_request_success{model=\"digits\",version=\"3\"} 2\n"));
}

TEST(Metrics, AReloadedVersionKeepsItsCounters) {
  Registry registry;
  registry.Model("digits", 1)->Add(MetricId::kRequestSuccess);
  registry.Model("digits", 1)->Add(MetricId::kRequestSuccess);
  EXPECT_EQ(registry.Model("digits", 1)->Value(MetricId::kRequestSuccess), 2u);
}

TEST(Metrics, ReasonsAreSplitBetweenTritonsMetricAndOurs) {
  Registry registry;
  registry.Model("m", 1)->Add(MetricId::kRejections, Reason::kLate);
  const std::string text = registry.Serialize();
  EXPECT_THAT(
      text,
      HasSubstr("fusee_rejected_requests_total{model=\"m\",version=\"1\",reason=\"late\"} 1\n"));
  EXPECT_THAT(
      text,
      HasSubstr("nv_inference_request_failure{model=\"m\",version=\"1\",reason=\"REJECTED\"} 0\n"));
  EXPECT_THAT(
      text,
      Not(HasSubstr("nv_inference_request_failure{model=\"m\",version=\"1\",reason=\"late\"}")));
}

TEST(Metrics, DeathsOfDevicesHaveReasonsOfTheirOwn) {
  Registry registry;
  auto device = registry.Device("cpu:0");
  device->Add(MetricId::kWorkerDeaths, Reason::kGoldenMismatch);
  device->Add(MetricId::kWorkerDeaths, Reason::kSignal, 2);
  const std::string text = registry.Serialize();
  EXPECT_THAT(
      text,
      HasSubstr("fusee_worker_deaths_total{device=\"cpu:0\",reason=\"golden_mismatch\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("device=\"cpu:0\",reason=\"late\"")));
  EXPECT_EQ(device->Total(MetricId::kWorkerDeaths), 3u);
}

TEST(Metrics, HistogramBucketsAreCumulativeAndInSeconds) {
  Registry registry;
  auto metrics = registry.Model("m", 1);
  metrics->Observe(MetricId::kTotalSeconds, microseconds(1000));  // on a bound: belongs below it
  metrics->Observe(MetricId::kTotalSeconds, microseconds(1001));
  metrics->Observe(MetricId::kTotalSeconds, std::chrono::seconds(60));
  const std::string text = registry.Serialize();
  EXPECT_THAT(
      text,
      HasSubstr("fusee_request_total_seconds_bucket{model=\"m\",version=\"1\",le=\"0.001\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("le=\"0.002\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("fusee_request_total_seconds_count{model=\"m\",version=\"1\"} 3\n"));
  EXPECT_THAT(text,
              HasSubstr("fusee_request_total_seconds_sum{model=\"m\",version=\"1\"} 60.002001\n"));
}

TEST(Metrics, EveryFamilyIsAnnouncedOnceAndNamesAreUnique) {
  Registry registry;
  registry.Model("m", 1);
  std::istringstream lines(registry.Serialize());
  std::set<std::string> seen;
  std::string line, current;
  while (std::getline(lines, line)) {
    if (line.starts_with("# HELP ")) {
      current = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(seen.insert(current).second) << current;
    } else if (!line.starts_with("#")) {
      EXPECT_TRUE(line.starts_with(current)) << line;
    }
  }
  EXPECT_EQ(seen.size(), kMetricCount);
}

TEST(Metrics, EscapesLabelValues) {
  Registry registry;
  registry.Model("a\"b\\c\nd", 1);
  EXPECT_THAT(registry.Serialize(), HasSubstr("model=\"a\\\"b\\\\c\\nd\""));
}

TEST(Metrics, CountsFromManyThreads) {
  Registry registry;
  auto metrics = registry.Model("m", 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        metrics->Add(MetricId::kRequestSuccess);
        metrics->ObserveSize(MetricId::kBatchRows, 8);
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(metrics->Value(MetricId::kRequestSuccess), 4000u);
  EXPECT_EQ(metrics->Read(MetricId::kBatchRows).buckets[3], 4000u);
}

}  // namespace
}  // namespace fusee::obs
