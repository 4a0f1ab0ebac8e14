// The noise canary: a fixed block of arithmetic that touches no memory and takes about one
// millisecond on an idle core. Whatever makes it slower than its own median (a neighbour on the
// sibling thread, a hypervisor, frequency changes) slows the model in the same way, so a latency
// tail is to be read against the canary's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "cli/distribution.h"

namespace fusee::cli {

// Samples of the block. Not thread-safe.
class Canary {
 public:
  explicit Canary(const Clock& clock, size_t capacity = 4096);
  // Runs the block once and keeps its time; beyond capacity the time is dropped. Allocates nothing.
  void Sample();
  Distribution Times() const { return Distribution(samples_ns_); }

 private:
  const Clock& clock_;
  size_t capacity_;
  std::vector<int64_t> samples_ns_;
};

// P99 over median of a run's canary: 1 on an idle machine of its own; above kNoisy tails say more
// of the machine than of the model. 0 without samples.
double CanaryRatio(const Distribution& times);
inline constexpr double kNoisy = 1.25;

}  // namespace fusee::cli
