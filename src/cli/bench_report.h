// What `fusee bench` prints and exports.
#pragma once

#include <string>
#include <vector>

#include "cli/bit_check.h"
#include "cli/driver_report.h"
#include "cli/measure.h"
#include "cli/session.h"

namespace fusee::cli {

struct BenchReport {
  std::string subject;             // the plan's or the model's file
  bool on_device = false;          // another than the CPU
  bool transfers = true;           // its runs move inputs and outputs
  int streams = 1;                 // contexts at once; the first was timed
  size_t other_runs = 0;           // of the others
  double other_seconds = 0;        // that these ran
  std::vector<int64_t> device_ns;  // runs timed by the device itself; empty on the CPU
  DriverReport driver;             // of its driver; not watched on the CPU
  BitReport bits;
  std::string device;    // "AMD EPYC 9454 48-Core Processor"
  std::string isa;       // what the processor offers
  std::string plan_isa;  // what the plan's kernels need
  std::string model, builder_version, version;
  bool verified = false;
  std::string unverified_reason;
  int threads = 0;
  double usable_cores = 0;
  std::vector<std::string> shapes;  // "image f32[8,1,8,8]"
  uint64_t weights_bytes = 0, context_bytes = 0;
  double load_ms = 0;               // of the plan, golden replay included
  double context_ms = 0;            // taking the memory of runs
  std::vector<double> percentiles;  // ascending
  size_t average_runs = 0;          // of rolling averages; 0: none
  Measurement measured;
};

// The percentiles every report has, and those asked for: ascending, no doubles.
std::vector<double> ReportedPercentiles(std::vector<double> asked);

// trtexec's summary lines ("Throughput: ...", "Latency: min = ...") with what it lacks, then
// remarks.
std::string BenchText(const BenchReport& report);
std::string BenchJson(const BenchReport& report);
// One entry a timed run: startMs, latencyMs.
std::string TimesJson(const Measurement& measured);

// What the figures cannot be trusted for, and why; empty when nothing is amiss.
std::vector<std::string> Remarks(const BenchReport& report);

// Means of `runs` consecutive runs each; a shorter rest is left out.
std::vector<double> RollingAveragesMs(const std::vector<int64_t>& latency_ns, size_t runs);

}  // namespace fusee::cli
