#include "compiler/latency.h"

#include <algorithm>
#include <cmath>

#include "compiler/corners.h"
#include "runtime/runtime.h"

namespace fusee::compiler {

plan::Latency Summarise(std::vector<int64_t>& samples_ns) {
  plan::Latency latency;
  if (samples_ns.empty()) return latency;
  std::ranges::sort(samples_ns);
  const auto at = [&](double p) {
    const auto rank = static_cast<size_t>(std::ceil(p * static_cast<double>(samples_ns.size())));
    return static_cast<double>(samples_ns[std::max<size_t>(rank, 1) - 1]) / 1e3;
  };
  latency.count = samples_ns.size();
  latency.min_us = at(0);
  latency.p50_us = at(0.5);
  latency.p99_us = at(0.99);
  latency.p999_us = at(0.999);
  latency.max_us = at(1);
  return latency;
}

bool IsNoisy(const plan::Latency& latency) {
  return latency.count > 0 &&
         (latency.count < kFewRuns || latency.p99_us > kNoisyRatio * latency.p50_us);
}

namespace {

Result<plan::Latency> MeasureRound(runtime::Context& context, Duration budget, const Clock& clock) {
  std::vector<int64_t> samples;
  const TimePoint start = clock.Now();
  TimePoint now = start;
  while (samples.size() < kMinRuns || now - start < budget) {
    FUSEE_TRY(context.Run());
    const TimePoint end = clock.Now();
    samples.push_back((end - now).count());
    now = end;
    // A model this slow gets fewer runs, but never none.
    if (samples.size() >= 3 && now - start > 4 * budget) break;
  }
  return Summarise(samples);
}

}  // namespace

Result<std::vector<plan::Latency>> MeasureBuckets(std::shared_ptr<const plan::Plan> plan,
                                                  double budget_s, const Clock& clock,
                                                  Parallel* parallel, const RunTarget& where) {
  FUSEE_TRY(const Subject subject, OpenSubject(plan, parallel, where));
  runtime::Context* const context = subject.context.get();
  const auto budget = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(budget_s));
  std::vector<plan::Latency> table;
  for (const plan::Bucket& bucket : plan->buckets) {
    // Also the warm-up: shapes checked, memory touched.
    FUSEE_TRY_STATUS(RunOrdinary(*context, bucket.symbol_values, 1));
    // A neighbour's burst is not the plan's latency: while the tail says so, measure again and keep
    // the calmest round.
    plan::Latency best;
    for (int round = 0; round < kMaxRounds && (round == 0 || IsNoisy(best)); ++round) {
      FUSEE_TRY(plan::Latency latency, MeasureRound(*context, budget, clock));
      if (round == 0 || latency.p99_us < best.p99_us) best = latency;
    }
    table.push_back(best);
  }
  return table;
}

}  // namespace fusee::compiler
