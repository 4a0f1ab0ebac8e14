// Times the candidates of a problem, once for all steps that ask the same.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "tune/bench.h"
#include "tune/problem.h"
#include "tune/timing_cache.h"

namespace fusee::tune {

// Not thread-safe.
class Tuner {
 public:
  // The cache is read and added to; borrowed.
  Tuner(Environment where, TimingCache* cache) : where_(std::move(where)), cache_(cache) {}

  // One timing a candidate. From the cache when it knows every candidate of this problem on this
  // device; else all are timed, so that their ratios belong together.
  // Errors: kAborted (the device is lost), kResourceExhausted (no memory for operands).
  Result<std::vector<Timing>> Time(const Problem& problem);

  const Environment& where() const { return where_; }
  size_t measured() const { return measured_; }  // problems
  size_t reused() const { return reused_; }

 private:
  Result<Timings> Measure(const Problem& problem);

  Environment where_;
  TimingCache* cache_;
  size_t measured_ = 0, reused_ = 0;
};

}  // namespace fusee::tune
