#include "obs/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <string_view>
#include <tuple>

namespace fusee::obs {
namespace {

enum class Kind : uint8_t { kCounter, kGauge, kSecondsGauge, kLatencyHistogram, kSizeHistogram };
enum class Labels : uint8_t { kServer, kModel, kModelReason, kDevice, kDeviceReason };
enum class Group : uint8_t { kFailure, kRefusal, kDeath };

struct Definition {
  MetricId id;
  Kind kind;
  std::string_view name;
  Labels labels;
  std::string_view help;
};

constexpr Definition kDefinitions[] = {
#define FUSEE_METRIC(id, kind, name, labels, help) \
  {MetricId::id, Kind::kind, name, Labels::labels, help},
#include "obs/metrics.inc"
#undef FUSEE_METRIC
};

constexpr struct {
  Group group;
  std::string_view name;
} kReasons[] = {
#define FUSEE_REASON(id, group, text) {Group::group, text},
#include "obs/reasons.inc"
#undef FUSEE_REASON
};

static_assert(kLatencyBoundsUs.size() <= Histogram::kBoundsMax &&
              kSizeBounds.size() <= Histogram::kBoundsMax);

std::string_view TypeName(Kind kind) {
  switch (kind) {
    case Kind::kCounter: return "counter";
    case Kind::kGauge:
    case Kind::kSecondsGauge: return "gauge";
    case Kind::kLatencyHistogram:
    case Kind::kSizeHistogram: return "histogram";
  }
  return "untyped";
}

// Label values may hold anything; the format wants these three escaped.
std::string Escaped(std::string_view value) {
  std::string out;
  for (char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

void WriteHistogram(std::string& out, const Definition& d, std::string_view labels,
                    const Histogram::Snapshot& h) {
  const bool latency = d.kind == Kind::kLatencyHistogram;
  const std::span<const uint64_t> bounds =
      latency ? std::span<const uint64_t>(kLatencyBoundsUs) : kSizeBounds;
  const double unit = latency ? 1e-6 : 1;
  const std::string_view comma = labels.empty() ? "" : ",";
  uint64_t cumulative = 0;
  for (size_t i = 0; i < bounds.size(); ++i) {
    cumulative += h.buckets[i];
    fmt::format_to(std::back_inserter(out), "{}_bucket{{{}{}le=\"{:g}\"}} {}\n", d.name, labels,
                   comma, static_cast<double>(bounds[i]) * unit, cumulative);
  }
  cumulative += h.buckets[bounds.size()];
  fmt::format_to(std::back_inserter(out), "{}_bucket{{{}{}le=\"+Inf\"}} {}\n", d.name, labels,
                 comma, cumulative);
  fmt::format_to(std::back_inserter(out), "{}_sum{{{}}} {}\n", d.name, labels,
                 static_cast<double>(h.sum) * unit);
  fmt::format_to(std::back_inserter(out), "{}_count{{{}}} {}\n", d.name, labels, cumulative);
}

void WriteOne(std::string& out, const Definition& d, std::string_view labels,
              const Metrics& metrics) {
  const auto line = [&](std::string_view all_labels, auto value) {
    if (all_labels.empty())
      fmt::format_to(std::back_inserter(out), "{} {}\n", d.name, value);
    else
      fmt::format_to(std::back_inserter(out), "{}{{{}}} {}\n", d.name, all_labels, value);
  };
  switch (d.kind) {
    case Kind::kLatencyHistogram:
    case Kind::kSizeHistogram: WriteHistogram(out, d, labels, metrics.Read(d.id)); return;
    case Kind::kSecondsGauge: line(labels, static_cast<double>(metrics.Value(d.id)) * 1e-6); return;
    case Kind::kCounter:
    case Kind::kGauge: break;
  }
  if (d.labels != Labels::kModelReason && d.labels != Labels::kDeviceReason)
    return line(labels, metrics.Value(d.id));
  // Triton's reasons belong to its own metric, ours to ours; a rejection counted in both is one
  // line in each.
  const Group group = d.labels == Labels::kDeviceReason   ? Group::kDeath
                      : d.id == MetricId::kRequestFailure ? Group::kFailure
                                                          : Group::kRefusal;
  for (size_t r = 0; r < kReasonCount; ++r) {
    if (kReasons[r].group != group) continue;
    line(fmt::format("{},reason=\"{}\"", labels, kReasons[r].name),
         metrics.Value(d.id, static_cast<Reason>(r)));
  }
}

}  // namespace

void Histogram::Observe(std::span<const uint64_t> bounds, uint64_t value) {
  const size_t i =
      static_cast<size_t>(std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin());
  buckets_[i].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::Read() const {
  Snapshot s;
  for (size_t i = 0; i < buckets_.size(); ++i)
    s.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
  s.sum = sum_.load(std::memory_order_relaxed);
  return s;
}

void Metrics::Add(MetricId id, Reason reason, uint64_t n) {
  reasons_[static_cast<size_t>(id)][static_cast<size_t>(reason)].fetch_add(
      n, std::memory_order_relaxed);
}
uint64_t Metrics::Value(MetricId id, Reason reason) const {
  return reasons_[static_cast<size_t>(id)][static_cast<size_t>(reason)].load(
      std::memory_order_relaxed);
}
uint64_t Metrics::Total(MetricId id) const {
  uint64_t total = 0;
  for (size_t r = 0; r < kReasonCount; ++r) total += Value(id, static_cast<Reason>(r));
  return total;
}
void Metrics::Observe(MetricId id, Duration d) {
  histograms_[static_cast<size_t>(id)].Observe(kLatencyBoundsUs, Microseconds(d));
}
void Metrics::ObserveSize(MetricId id, uint64_t n) {
  histograms_[static_cast<size_t>(id)].Observe(kSizeBounds, n);
}

std::shared_ptr<Metrics> Registry::Model(const std::string& name, int64_t version) {
  return Find(&models_, name, version);
}
std::shared_ptr<Metrics> Registry::Device(const std::string& name) {
  return Find(&devices_, name, 0);
}

std::shared_ptr<Metrics> Registry::Find(std::vector<Entry>* entries, const std::string& name,
                                        int64_t version) {
  const std::lock_guard lock(mutex_);
  for (const Entry& e : *entries) {
    if (e.name == name && e.version == version) return e.metrics;
  }
  entries->push_back({name, version, std::make_shared<Metrics>()});
  // Kept in order, so that two scrapes list the same series in the same place.
  auto metrics = entries->back().metrics;
  std::sort(entries->begin(), entries->end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.name, a.version) < std::tie(b.name, b.version);
  });
  return metrics;
}

std::string Registry::Serialize() const {
  std::vector<Entry> models, devices;
  {
    const std::lock_guard lock(mutex_);
    models = models_;
    devices = devices_;
  }
  std::string out;
  for (const Definition& d : kDefinitions) {
    fmt::format_to(std::back_inserter(out), "# HELP {} {}\n# TYPE {} {}\n", d.name, d.help, d.name,
                   TypeName(d.kind));
    if (d.labels == Labels::kServer) {
      WriteOne(out, d, "", server_);
      continue;
    }
    if (d.labels == Labels::kDevice || d.labels == Labels::kDeviceReason) {
      for (const Entry& e : devices)
        WriteOne(out, d, fmt::format("device=\"{}\"", Escaped(e.name)), *e.metrics);
      continue;
    }
    for (const Entry& e : models) {
      WriteOne(out, d, fmt::format("model=\"{}\",version=\"{}\"", Escaped(e.name), e.version),
               *e.metrics);
    }
  }
  return out;
}

}  // namespace fusee::obs
