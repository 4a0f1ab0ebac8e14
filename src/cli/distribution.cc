#include "cli/distribution.h"

#include <algorithm>
#include <cmath>

namespace fusee::cli {

Distribution::Distribution(std::vector<int64_t> samples_ns) : sorted_ns_(std::move(samples_ns)) {
  std::ranges::sort(sorted_ns_);
  if (sorted_ns_.empty()) return;
  const auto n = static_cast<double>(sorted_ns_.size());
  double sum = 0;
  for (int64_t v : sorted_ns_) sum += static_cast<double>(v);
  mean_ns_ = sum / n;
  if (sorted_ns_.size() < 2 || mean_ns_ <= 0) return;
  double squares = 0;
  for (int64_t v : sorted_ns_)
    squares += (static_cast<double>(v) - mean_ns_) * (static_cast<double>(v) - mean_ns_);
  variation_ = std::sqrt(squares / (n - 1)) / mean_ns_;
}

size_t Distribution::Rank(double percent) const {
  // The product is rounded first: 99.9 % of 1000 is 999, not the 1000 that ceil makes of
  // 999.0000000000001.
  const double exact = percent * static_cast<double>(sorted_ns_.size()) / 100;
  const auto rank = static_cast<size_t>(std::ceil(std::round(exact * 1e6) / 1e6));
  return std::clamp<size_t>(rank, 1, sorted_ns_.size());
}

double Distribution::Percentile(double percent) const {
  return sorted_ns_.empty() ? 0 : static_cast<double>(sorted_ns_[Rank(percent) - 1]) / 1e6;
}

double Distribution::OverMedian(double percent) const {
  const double median = Percentile(50);
  return median > 0 ? Percentile(percent) / median : 0;
}

bool Distribution::Resolves(double percent) const {
  return !sorted_ns_.empty() && Rank(percent) < sorted_ns_.size();
}

}  // namespace fusee::cli
