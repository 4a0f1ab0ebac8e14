// Order statistics of timed runs. Every sample is kept, so that no percentile is an estimate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fusee::cli {

// Immutable. Percentiles are nearest rank: the smallest sample that at least p percent of all do
// not exceed. With fewer than 100 / (100 - p) samples that is the maximum.
class Distribution {
 public:
  Distribution() = default;                                // of nothing: everything is 0
  explicit Distribution(std::vector<int64_t> samples_ns);  // any order

  size_t count() const { return sorted_ns_.size(); }
  double min_ms() const { return Percentile(0); }
  double max_ms() const { return Percentile(100); }
  double mean_ms() const { return mean_ns_ / 1e6; }
  // Standard deviation over mean; 0 with fewer than two samples.
  double variation() const { return variation_; }
  // percent in [0, 100]; milliseconds.
  double Percentile(double percent) const;
  // A percentile over the median: how long the tail is. 0 of nothing.
  double OverMedian(double percent) const;
  // Enough samples for at least one beyond the percentile.
  bool Resolves(double percent) const;

 private:
  // Of a percentile among sorted_ns_, from 1. Precondition: there are samples.
  size_t Rank(double percent) const;

  std::vector<int64_t> sorted_ns_;
  double mean_ns_ = 0;
  double variation_ = 0;
};

}  // namespace fusee::cli
