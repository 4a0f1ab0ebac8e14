#include "cli/measure.h"

#include <sys/resource.h>

#include <algorithm>

#include "cli/allocation_counter.h"
#include "cli/canary.h"

namespace fusee::cli {
namespace {

constexpr size_t kMaxCanaries = 1u << 16;

uint64_t PageFaults() {
  rusage usage{};
  return ::getrusage(RUSAGE_SELF, &usage) == 0
             ? static_cast<uint64_t>(usage.ru_minflt + usage.ru_majflt)
             : 0;
}

class Harness {
 public:
  Harness(const Subject& subject, const MeasureOptions& options, const Clock& clock)
      : subject_(subject), options_(options), clock_(clock), canary_(clock, kMaxCanaries) {}

  Result<Measurement> Run() {
    FUSEE_TRY(m_.first_run_ns, TimeOne());
    FUSEE_TRY(WarmUp());
    Reserve();
    FUSEE_TRY(Timed());
    m_.start_ns.resize(count_);
    m_.latency_ns.resize(count_);
    m_.canary = canary_.Times();
    return std::move(m_);
  }

 private:
  Result<int64_t> TimeOne() {
    const TimePoint start = clock_.Now();
    FUSEE_TRY(subject_.run(subject_.context));
    const int64_t ns = (clock_.Now() - start).count();
    FUSEE_TRY(After());
    return ns;
  }

  Status After() {
    return subject_.after == nullptr ? OkStatus() : subject_.after(subject_.context);
  }

  Status WarmUp() {
    const TimePoint start = clock_.Now();
    do {
      FUSEE_TRY(fastest_ns_, TimeOneKeepFastest());
      ++m_.warm_up_runs;
    } while (clock_.Now() - start < options_.warm_up);
    return OkStatus();
  }

  Result<int64_t> TimeOneKeepFastest() {
    FUSEE_TRY(int64_t ns, TimeOne());
    return std::max<int64_t>(1, m_.warm_up_runs == 0 ? ns : std::min(ns, fastest_ns_));
  }

  // Room for as many runs as can fit the duration if none is faster than the fastest so far by more
  // than a fifth.
  void Reserve() {
    const int64_t fitting = options_.duration.count() / fastest_ns_;
    const auto wanted = static_cast<size_t>(fitting + fitting / 4 + 16);
    capacity_ = std::min(std::max(options_.min_runs, wanted), kMaxRuns);
    // Zeroed, so every page is there before the timed part.
    m_.start_ns.assign(capacity_, 0);
    m_.latency_ns.assign(capacity_, 0);
    if (options_.canary_every.count() > 0) canary_.Sample();
  }

  Status Timed() {
    const uint64_t faults = PageFaults();
    AllocationCounter heap(options_.trace_heap);
    const TimePoint begin = clock_.Now();
    TimePoint last_canary = begin;
    TimePoint now = begin;
    Duration aside{};  // canaries with the runs after them, and what comes after a run
    while (count_ < capacity_ &&
           (count_ < options_.min_runs || now - begin - aside < options_.duration)) {
      const TimePoint start = now;
      FUSEE_TRY(subject_.run(subject_.context));
      now = clock_.Now();
      m_.start_ns[count_] = (start - begin).count();
      m_.latency_ns[count_] = (now - start).count();
      ++count_;
      if (subject_.after != nullptr) {
        const TimePoint end = now;
        FUSEE_TRY(After());
        now = clock_.Now();
        aside += now - end;
      }
      if (options_.canary_every.count() == 0 || now - last_canary < options_.canary_every) continue;
      const TimePoint pause = now;
      canary_.Sample();
      FUSEE_TRY(subject_.run(subject_.context));
      FUSEE_TRY(After());
      now = last_canary = clock_.Now();
      aside += now - pause;
    }
    heap.Stop();
    m_.seconds = std::chrono::duration<double>(now - begin - aside).count();
    m_.heap_calls = heap.calls();
    m_.heap_bytes = heap.bytes();
    m_.heap_calls_elsewhere = heap.calls_elsewhere();
    m_.page_faults = PageFaults() - faults;
    m_.heap_traces = heap.traces();
    return OkStatus();
  }

  const Subject& subject_;
  const MeasureOptions& options_;
  const Clock& clock_;
  Canary canary_;
  Measurement m_;
  int64_t fastest_ns_ = 1;
  size_t capacity_ = 0, count_ = 0;
};

}  // namespace

Result<Measurement> Measure(const Subject& subject, const MeasureOptions& options,
                            const Clock& clock) {
  return Harness(subject, options, clock).Run();
}

}  // namespace fusee::cli
