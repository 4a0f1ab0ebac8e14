// How long a batch will take, read off what the plan's builder measured.
//
// Points (rows, time) are made monotone; between points the time is interpolated, above the last
// one extrapolated with the last slope. A run-time correction k follows the machine the server
// really runs on: k is the largest ratio of measured to tabled time among the last 32 batches, kept
// within [1, kCorrectionMax], so one outlier cannot close the door for good and a faster machine
// does not make promises tighter than the certificate.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <span>

#include "base/clock.h"

namespace fusee::sched {

inline constexpr int kLatencyPointsMax = 32;
inline constexpr int kCorrectionWindow = 32;
inline constexpr double kCorrectionMax = 2.0;

struct LatencyPoint {
  uint32_t rows = 0;
  Duration time{};  // what may be promised: a high quantile of the measured times
};

// Plain value, no allocation. Not thread-safe.
class LatencyTable {
 public:
  LatencyTable() = default;
  // points ascending in rows; those beyond kLatencyPointsMax are dropped. May be empty: then
  // nothing is known and the table learns: Predict answers the longest of the last 32 batches, zero
  // before the first.
  explicit LatencyTable(std::span<const LatencyPoint> points);

  // Time for a batch of this many rows, correction included.
  Duration Predict(uint32_t rows) const;
  // What really happened.
  void Observe(uint32_t rows, Duration measured);

  // The smallest row count with at least 97 % of the best rows per second up to rows_max: larger
  // batches would only add waiting. rows_max when the table is empty.
  uint32_t Knee(uint32_t rows_max) const;

  bool empty() const { return count_ == 0; }
  double correction() const { return correction_; }

 private:
  double TabledNs(uint32_t rows) const;

  std::array<LatencyPoint, kLatencyPointsMax> points_{};
  int count_ = 0;
  std::array<double, kCorrectionWindow>
      window_{};  // ratios, or nanoseconds when the table is empty
  int window_size_ = 0, window_next_ = 0;
  double correction_ = 1.0;
};

}  // namespace fusee::sched
