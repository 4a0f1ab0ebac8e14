// Metrics: counters, gauges and histograms as relaxed atomics, and their text in Prometheus'
// exposition format.
//
// metrics.inc lists them; nothing is registered at run time. They are our own sixty lines rather
// than prometheus-cpp's because its histograms take a mutex per observation (release 1.0, the one
// Debian 12 carries): two event loops and a worker thread would meet there for every request. An
// observation here is two or three uncontended atomic adds.
//
// Thread-safety: every method may be called from any thread. A scrape that runs beside updates sees
// each number as of some moment during the scrape; a histogram's count equals the sum of its
// buckets in every scrape.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"

namespace fusee::obs {

enum class MetricId : uint8_t {
#define FUSEE_METRIC(id, kind, name, labels, help) id,
#include "obs/metrics.inc"
#undef FUSEE_METRIC
};
inline constexpr size_t kMetricCount = 0
#define FUSEE_METRIC(id, kind, name, labels, help) +1
#include "obs/metrics.inc"
#undef FUSEE_METRIC
    ;

enum class Reason : uint8_t {
#define FUSEE_REASON(id, group, text) id,
#include "obs/reasons.inc"
#undef FUSEE_REASON
};
inline constexpr size_t kReasonCount = 0
#define FUSEE_REASON(id, group, text) +1
#include "obs/reasons.inc"
#undef FUSEE_REASON
    ;

// Upper bounds of latency buckets, microseconds: fine where a 1 to 100 ms promise lives.
inline constexpr std::array<uint64_t, 29> kLatencyBoundsUs = {
    100,    250,    500,     1'000,   2'000,   3'000,   4'000,   5'000,     6'000,    8'000,
    10'000, 12'500, 15'000,  20'000,  25'000,  30'000,  40'000,  50'000,    60'000,   70'000,
    80'000, 90'000, 100'000, 125'000, 150'000, 250'000, 500'000, 1'000'000, 5'000'000};
inline constexpr std::array<uint64_t, 11> kSizeBounds = {1, 2, 4, 8, 12, 16, 24, 32, 64, 128, 256};

// Counts of values at or below each bound, and their sum. Values are in the bounds' unit.
class Histogram {
 public:
  static constexpr size_t kBoundsMax = 32;
  void Observe(std::span<const uint64_t> bounds, uint64_t value);
  struct Snapshot {
    std::array<uint64_t, kBoundsMax + 1>
        buckets{};  // not cumulative; the one after the last bound is +Inf
    uint64_t sum = 0;
  };
  Snapshot Read() const;

 private:
  std::array<std::atomic<uint64_t>, kBoundsMax + 1> buckets_{};
  std::atomic<uint64_t> sum_{0};
};

// The metrics of one label set: of the server, of one model version, or of one device.
class Metrics {
 public:
  void Add(MetricId id, uint64_t n = 1) { cell(id).fetch_add(n, std::memory_order_relaxed); }
  void Add(MetricId id, Reason reason, uint64_t n = 1);
  void AddUs(MetricId id, Duration d) { Add(id, Microseconds(d)); }
  // Gauges; a kSecondsGauge is set in microseconds.
  void Set(MetricId id, uint64_t value) { cell(id).store(value, std::memory_order_relaxed); }
  void Subtract(MetricId id, uint64_t n = 1) { cell(id).fetch_sub(n, std::memory_order_relaxed); }
  void Observe(MetricId id, Duration d);      // kLatencyHistogram
  void ObserveSize(MetricId id, uint64_t n);  // kSizeHistogram

  uint64_t Value(MetricId id) const {
    return cells_[static_cast<size_t>(id)].load(std::memory_order_relaxed);
  }
  uint64_t Value(MetricId id, Reason reason) const;
  uint64_t Total(MetricId id) const;  // over all reasons
  Histogram::Snapshot Read(MetricId id) const {
    return histograms_[static_cast<size_t>(id)].Read();
  }

 private:
  static uint64_t Microseconds(Duration d) {
    return d.count() < 0 ? 0 : static_cast<uint64_t>(d.count()) / 1000;
  }
  std::atomic<uint64_t>& cell(MetricId id) { return cells_[static_cast<size_t>(id)]; }

  std::array<std::atomic<uint64_t>, kMetricCount> cells_{};
  std::array<std::array<std::atomic<uint64_t>, kReasonCount>, kMetricCount> reasons_{};
  std::array<Histogram, kMetricCount> histograms_{};
};

// All label sets of a process.
class Registry {
 public:
  Metrics& server() { return server_; }
  // The metrics of a model version, created on first use and kept for the registry's life, so that
  // counters survive a reload. Takes a lock: at load, not per request.
  std::shared_ptr<Metrics> Model(const std::string& name, int64_t version);
  // The same for a device, by its name ("cpu:0").
  std::shared_ptr<Metrics> Device(const std::string& name);
  // Everything in Prometheus' text format, version 0.0.4; families in the order of metrics.inc.
  std::string Serialize() const;

 private:
  struct Entry {
    std::string name;
    int64_t version;
    std::shared_ptr<Metrics> metrics;  // shared with the loaded model, or the fleet
  };
  std::shared_ptr<Metrics> Find(std::vector<Entry>* entries, const std::string& name,
                                int64_t version);
  mutable std::mutex mutex_;
  std::vector<Entry> models_;
  std::vector<Entry> devices_;  // version is 0
  Metrics server_;
};

}  // namespace fusee::obs
