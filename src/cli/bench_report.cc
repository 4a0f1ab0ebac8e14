#include "cli/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "cli/canary.h"
#include "cli/json_text.h"
#include "compiler/report.h"

namespace fusee::cli {
namespace {

using compiler::FormatBytes;

// Above this, trtexec calls a measurement unstable.
constexpr double kUnstableVariation = 0.025;

// Runs a second of all streams. The others' is of all the time they ran, pauses of the first
// included.
double ThroughputOf(const BenchReport& r) {
  const double others =
      r.other_seconds > 0 ? static_cast<double>(r.other_runs) / r.other_seconds : 0;
  return r.measured.runs_per_second() + others;
}

std::string LatencyLine(std::string_view name, const Distribution& d,
                        const std::vector<double>& percentiles) {
  std::string text =
      fmt::format("{}: min = {:.6g} ms, max = {:.6g} ms, mean = {:.6g} ms, median = {:.6g} ms",
                  name, d.min_ms(), d.max_ms(), d.mean_ms(), d.Percentile(50));
  for (double p : percentiles)
    text += fmt::format(", percentile({}%) = {:.6g} ms", p, d.Percentile(p));
  return text;
}

std::string SpreadLine(std::string_view name, const Distribution& d) {
  return fmt::format("{} spread: P99.9 / P50 = {:.3f}, max / P50 = {:.3f}", name,
                     d.OverMedian(99.9), d.OverMedian(100));
}

void PutTimes(const Distribution& d, const std::vector<double>& percentiles, JsonText* json) {
  json->Field("min", d.min_ms()).Field("mean", d.mean_ms());
  for (double p : percentiles) json->Field(fmt::format("p{}", p), d.Percentile(p));
  json->Field("max", d.max_ms()).Field("variation", d.variation());
  json->Field("p99.9_over_p50", d.OverMedian(99.9)).Field("max_over_p50", d.OverMedian(100));
}

}  // namespace

std::vector<double> ReportedPercentiles(std::vector<double> asked) {
  asked.insert(asked.end(), {50, 90, 95, 99, 99.9});
  std::ranges::sort(asked);
  asked.erase(std::unique(asked.begin(), asked.end()), asked.end());
  return asked;
}

std::vector<double> RollingAveragesMs(const std::vector<int64_t>& latency_ns, size_t runs) {
  std::vector<double> averages;
  for (size_t i = 0; runs > 0 && i + runs <= latency_ns.size(); i += runs) {
    double sum = 0;
    for (size_t k = 0; k < runs; ++k) sum += static_cast<double>(latency_ns[i + k]);
    averages.push_back(sum / static_cast<double>(runs) / 1e6);
  }
  return averages;
}

std::vector<std::string> Remarks(const BenchReport& report) {
  const Measurement& m = report.measured;
  const Distribution d = m.latency();
  std::vector<std::string> remarks;
  const double noise = CanaryRatio(m.canary);
  if (noise > kNoisy) {
    remarks.push_back(
        fmt::format("the machine is noisy: the canary's P99 is {:.2f} times its median, so tails "
                    "are as much its as the model's",
                    noise));
  } else if (d.variation() > kUnstableVariation) {
    remarks.push_back(
        fmt::format("times vary by {:.1f} % of their mean; run longer, or on a quieter machine",
                    100 * d.variation()));
  }
  if (!d.Resolves(99.9)) {
    remarks.push_back(fmt::format(
        "{} runs are too few for P99.9, which is the maximum here; use --iterations or --duration",
        d.count()));
  }
  // A GPU's driver has threads of its own that keep house; a run on the CPU uses other threads
  // itself.
  const bool by_runs = m.heap_calls > m.heap_calls_elsewhere || !report.on_device;
  if (m.heap_calls > 0 && by_runs) {
    remarks.push_back(fmt::format(
        "runs asked the heap {} times for {} bytes; a plan's run should not: please report{}",
        m.heap_calls, m.heap_bytes,
        m.heap_traces.empty() ? ", with what --trace-allocations says" : ""));
  }
  if (report.driver.calls() > 0) {
    remarks.push_back(fmt::format(
        "runs asked the driver for memory or code {} times; a plan's run should not: please report",
        report.driver.calls()));
  }
  if (d.count() == kMaxRuns)
    remarks.push_back(fmt::format("stopped after {} runs, which is all that is kept", kMaxRuns));
  if (!report.verified)
    remarks.push_back(fmt::format("the plan is not verified: {}", report.unverified_reason));
  return remarks;
}

namespace {

std::string DriverLine(const DriverReport& r) {
  if (!r.watched.ok()) return fmt::format("Driver: not watched: {}\n", r.watched.message());
  return fmt::format(
      "Driver: device allocations {}, frees {}, modules loaded {} in {} runs of their own\n",
      r.allocations, r.frees, r.modules_loaded, r.runs);
}

std::string TraceLines(const std::vector<AllocationTrace>& traces) {
  std::string text;
  for (size_t i = 0; i < traces.size(); ++i) {
    const AllocationTrace& trace = traces[i];
    text += fmt::format("Allocation {}: {} bytes, on {} thread\n", i + 1, trace.bytes,
                        trace.same_thread ? "the timed" : "another");
    for (const std::string& frame : trace.frames) text += fmt::format("    {}\n", frame);
  }
  return text;
}

void PutTraces(const std::vector<AllocationTrace>& traces, JsonText* json) {
  json->Array("allocation_traces");
  for (const AllocationTrace& trace : traces) {
    json->Object().Field("bytes", trace.bytes).Field("timed_thread", trace.same_thread);
    json->Array("frames");
    for (const std::string& frame : trace.frames) json->Value(frame);
    json->EndArray().EndObject();
  }
  json->EndArray();
}

std::string BitLines(const BitReport& r) {
  std::string text =
      fmt::format("Bits: the same in {} of {} runs, those not timed included{}{}\n", r.same, r.runs,
                  r.difference.empty() ? "" : "; first difference: ", r.difference);
  const PositionReport& p = r.positions;
  if (!p.not_checked.empty())
    return text + fmt::format("Bits: positions in the batch not checked: {}\n", p.not_checked);
  return text + fmt::format("Bits: of a row the same in {} of {} positions of a batch of {}{}{}\n",
                            p.same, p.positions, p.rows,
                            p.difference.empty() ? "" : "; first difference: ", p.difference);
}

void PutBits(const BitReport& r, JsonText* json) {
  json->Object("bits").Field("runs", r.runs).Field("same_runs", r.same);
  if (!r.difference.empty()) json->Field("difference", r.difference);
  const PositionReport& p = r.positions;
  json->Object("positions").Field("checked", p.not_checked.empty());
  if (!p.not_checked.empty()) json->Field("reason", p.not_checked);
  if (p.not_checked.empty()) {
    json->Field("rows", p.rows).Field("positions", p.positions).Field("same_positions", p.same);
    if (!p.difference.empty()) json->Field("difference", p.difference);
  }
  json->EndObject().EndObject();
}

void PutDriver(const DriverReport& r, JsonText* json) {
  json->Object("driver").Field("watched", r.watched.ok());
  if (r.watched.ok()) {
    json->Field("runs", r.runs)
        .Field("device_allocations", r.allocations)
        .Field("device_frees", r.frees)
        .Field("modules_loaded", r.modules_loaded);
  } else {
    json->Field("reason", r.watched.message());
  }
  json->EndObject();
}

}  // namespace

std::string BenchText(const BenchReport& r) {
  const Measurement& m = r.measured;
  const Distribution d = m.latency();
  std::string text;
  auto to = std::back_inserter(text);
  fmt::format_to(to, "plan         {}: model '{}', {} kernels, built by fusee {}, {}\n", r.subject,
                 r.model, r.plan_isa, r.builder_version, r.verified ? "verified" : "NOT VERIFIED");
  fmt::format_to(to, "device       {} ({}), {} threads on {:g} cores; fusee {}\n", r.device, r.isa,
                 r.threads, r.usable_cores, r.version);
  for (const std::string& shape : r.shapes) fmt::format_to(to, "input        {}\n", shape);
  fmt::format_to(to, "memory       weights {}, context {}\n", FormatBytes(r.weights_bytes),
                 FormatBytes(r.context_bytes));
  fmt::format_to(to,
                 "plan load    {:.3f} ms, checks and golden replay included; context {:.3f} ms\n",
                 r.load_ms, r.context_ms);
  fmt::format_to(to, "first run    {:.6g} ms, then {} to warm up\n",
                 static_cast<double>(m.first_run_ns) / 1e6, m.warm_up_runs);
  for (double ms : RollingAveragesMs(m.latency_ns, r.average_runs)) {
    fmt::format_to(to, "Average on {} runs - latency: {:.6g} ms\n", r.average_runs, ms);
  }
  fmt::format_to(to, "=== Performance summary ===\n");
  fmt::format_to(to, "Throughput: {:.2f} qps\n", ThroughputOf(r));
  fmt::format_to(to, "{}\n{}\n", LatencyLine("Latency", d, r.percentiles),
                 SpreadLine("Latency", d));
  if (r.on_device) {
    const Distribution on_device(r.device_ns);
    fmt::format_to(to, "{}\n{}\n", LatencyLine("GPU Compute Time", on_device, r.percentiles),
                   SpreadLine("GPU Compute Time", on_device));
    fmt::format_to(to, "Latency is the host's, {}; GPU Compute Time the device's, in {} runs\n",
                   r.transfers ? "inputs there and outputs back included" : "without transfers",
                   r.device_ns.size());
  }
  if (r.streams > 1) {
    fmt::format_to(to, "Streams: {}; the first was timed, the others made {} runs in {:.3f} s\n",
                   r.streams, r.other_runs, r.other_seconds);
  }
  fmt::format_to(to, "Runs: {} in {:.3f} s\n", d.count(), m.seconds);
  fmt::format_to(to, "Allocations: {} in {} runs ({} bytes); page faults: {}\n", m.heap_calls,
                 d.count(), m.heap_bytes, m.page_faults);
  text += TraceLines(m.heap_traces);
  if (r.on_device) text += DriverLine(r.driver);
  if (r.bits.checked) text += BitLines(r.bits);
  if (m.canary.count() > 0) {
    fmt::format_to(to,
                   "Canary: median {:.3f} ms, P99 {:.3f} ms, P99 / median = {:.2f} ({} samples); "
                   "the plan's is {:.2f}\n",
                   m.canary.Percentile(50), m.canary.Percentile(99), CanaryRatio(m.canary),
                   m.canary.count(), d.OverMedian(99));
  }
  for (const std::string& remark : Remarks(r)) fmt::format_to(to, "Remark: {}\n", remark);
  return text;
}

std::string BenchJson(const BenchReport& r) {
  const Measurement& m = r.measured;
  const Distribution d = m.latency();
  JsonText json;
  json.Object().Field("plan", r.subject).Field("model", r.model).Field("verified", r.verified);
  json.Field("version", r.version).Field("builder_version", r.builder_version);
  json.Object("device")
      .Field(r.on_device ? "gpu" : "cpu", r.device)
      .Field("isa", r.isa)
      .Field("plan_isa", r.plan_isa);
  json.Field("threads", r.threads).Field("usable_cores", r.usable_cores).EndObject();
  json.Array("inputs");
  for (const std::string& shape : r.shapes) json.Value(shape);
  json.EndArray();
  json.Field("weights_bytes", r.weights_bytes).Field("context_bytes", r.context_bytes);
  json.Field("load_ms", r.load_ms).Field("context_ms", r.context_ms);
  json.Field("first_run_ms", static_cast<double>(m.first_run_ns) / 1e6)
      .Field("warm_up_runs", m.warm_up_runs);
  json.Field("runs", d.count())
      .Field("seconds", m.seconds)
      .Field("throughput_qps", ThroughputOf(r));
  json.Object("latency_ms");
  PutTimes(d, r.percentiles, &json);
  json.EndObject();
  if (r.on_device) {
    const Distribution on_device(r.device_ns);
    json.Object("device_ms").Field("runs", on_device.count());
    PutTimes(on_device, r.percentiles, &json);
    json.EndObject();
    json.Field("transfers", r.transfers);
    PutDriver(r.driver, &json);
  }
  if (r.streams > 1)
    json.Field("streams", r.streams)
        .Field("other_runs", r.other_runs)
        .Field("other_seconds", r.other_seconds);
  if (r.average_runs > 0) {
    json.Array("rolling_average_ms");
    for (double ms : RollingAveragesMs(m.latency_ns, r.average_runs)) json.Value(ms);
    json.EndArray();
  }
  json.Field("allocations", m.heap_calls)
      .Field("allocations_on_other_threads", m.heap_calls_elsewhere)
      .Field("allocated_bytes", m.heap_bytes)
      .Field("page_faults", m.page_faults);
  if (!m.heap_traces.empty()) PutTraces(m.heap_traces, &json);
  if (r.bits.checked) PutBits(r.bits, &json);
  json.Object("canary").Field("samples", m.canary.count()).Field("p50_ms", m.canary.Percentile(50));
  json.Field("p99_ms", m.canary.Percentile(99))
      .Field("p99_over_p50", CanaryRatio(m.canary))
      .EndObject();
  json.Array("remarks");
  for (const std::string& remark : Remarks(r)) json.Value(remark);
  json.EndArray().EndObject();
  return json.Text();
}

std::string TimesJson(const Measurement& m) {
  std::string text = "[";
  auto to = std::back_inserter(text);
  for (size_t i = 0; i < m.latency_ns.size(); ++i) {
    fmt::format_to(to, "{}\n  {{\"startMs\": {}, \"latencyMs\": {}}}", i == 0 ? "" : ",",
                   static_cast<double>(m.start_ns[i]) / 1e6,
                   static_cast<double>(m.latency_ns[i]) / 1e6);
  }
  return text + "\n]\n";
}

}  // namespace fusee::cli
