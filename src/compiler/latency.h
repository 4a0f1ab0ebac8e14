// The latency table: how long the plan takes at each tuned point, measured on this machine.
#pragma once

#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "compiler/corners.h"
#include "device/parallel.h"
#include "plan/plan.h"

namespace fusee::compiler {

// min, P50, P99, P99.9, max of times in nanoseconds; samples is sorted in place. Percentile p is
// the smallest sample that at least p of all do not exceed (nearest rank).
plan::Latency Summarise(std::vector<int64_t>& samples_ns);

// Does this look more like the machine's noise than like the plan? Too few runs for a P99, or a P99
// far from the P50.
inline constexpr uint64_t kFewRuns = 100;
inline constexpr double kNoisyRatio = 4;
bool IsNoisy(const plan::Latency& latency);

// A noisy bucket is measured again, up to this often, and the round with the lowest P99 is kept.
inline constexpr int kMaxRounds = 3;

// Runs each bucket for about budget_s (at least kMinRuns runs after one warm-up) with uniform
// inputs. On a device, from the host's side: inputs there and outputs back are part of a run.
inline constexpr size_t kMinRuns = 10;
Result<std::vector<plan::Latency>> MeasureBuckets(std::shared_ptr<const plan::Plan> plan,
                                                  double budget_s, const Clock& clock,
                                                  Parallel* parallel, const RunTarget& where = {});

}  // namespace fusee::compiler
