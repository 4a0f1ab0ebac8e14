// Timing of repeated runs, with what disturbs them: heap calls, page faults, and the noise canary
// in between.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "cli/allocation_counter.h"
#include "cli/distribution.h"

namespace fusee::cli {

struct MeasureOptions {
  size_t min_runs = 10;                                   // at least so many timed runs ...
  Duration duration{};                                    // ... and at least so long in all
  Duration warm_up{};                                     // untimed runs before, at least one
  Duration canary_every = std::chrono::milliseconds(20);  // 0: never
  bool trace_heap = false;                                // say where heap calls come from
};

// More runs than this are not kept: 64 MiB of samples.
inline constexpr size_t kMaxRuns = size_t{1} << 22;

struct Measurement {
  int64_t first_run_ns = 0;  // before any warm-up
  size_t warm_up_runs = 0;
  std::vector<int64_t> start_ns;  // of each timed run, from the first one's start
  std::vector<int64_t> latency_ns;
  double seconds = 0;                        // of timed runs, without canaries
  uint64_t heap_calls = 0, heap_bytes = 0;   // of the whole process during the timed part
  uint64_t heap_calls_elsewhere = 0;         // of these, on other threads than the timed one
  std::vector<AllocationTrace> heap_traces;  // of the first of them, when asked for
  uint64_t page_faults = 0;                  // minor and major, the same
  Distribution canary;

  Distribution latency() const { return Distribution(latency_ns); }
  double runs_per_second() const {
    return seconds > 0 ? static_cast<double>(latency_ns.size()) / seconds : 0;
  }
};

// One run; plain function pointer and context, so that the harness itself allocates nothing in the
// timed part.
struct Subject {
  Status (*run)(void* context) = nullptr;
  void* context = nullptr;
  Status (*after)(void* context) = nullptr;  // may be null: called after every run, not timed
};

// Runs the subject once, then warms up, then times. Memory for samples is taken and touched before
// the timed part. Each canary is followed by one untimed run, which wakes what went to sleep
// meanwhile. Heap calls and page faults
// count those of `after` too. Errors: the subject's first.
Result<Measurement> Measure(const Subject& subject, const MeasureOptions& options,
                            const Clock& clock);

}  // namespace fusee::cli
