#include "sched/latency_table.h"

#include <algorithm>

namespace fusee::sched {
namespace {
constexpr double kKneeShare = 0.97;
}  // namespace

LatencyTable::LatencyTable(std::span<const LatencyPoint> points) {
  for (LatencyPoint point : points) {
    if (count_ == kLatencyPointsMax || point.rows == 0) continue;
    // Noise can make a larger batch look faster; a promise must not rest on that.
    if (count_ > 0)
      point.time = std::max(point.time, points_[static_cast<size_t>(count_ - 1)].time);
    points_[static_cast<size_t>(count_++)] = point;
  }
}

double LatencyTable::TabledNs(uint32_t rows) const {
  const auto first = points_.begin(), last = points_.begin() + count_;
  const auto above = std::lower_bound(first, last, rows,
                                      [](const LatencyPoint& p, uint32_t r) { return p.rows < r; });
  if (above == first) return static_cast<double>(first->time.count());
  const LatencyPoint& low = *(above - 1);
  if (above == last &&
      count_ == 1) {  // one point says nothing about the slope: assume rows cost alike
    return static_cast<double>(low.time.count()) * rows / low.rows;
  }
  const LatencyPoint& from = above == last ? *(above - 2) : low;
  const LatencyPoint& to = above == last ? low : *above;
  if (to.rows == from.rows) return static_cast<double>(to.time.count());
  const double slope = static_cast<double>((to.time - from.time).count()) / (to.rows - from.rows);
  return static_cast<double>(from.time.count()) + slope * (static_cast<double>(rows) - from.rows);
}

Duration LatencyTable::Predict(uint32_t rows) const {
  if (count_ == 0) {
    const auto end = window_.begin() + window_size_;
    return Duration(
        window_size_ == 0 ? 0 : static_cast<int64_t>(*std::max_element(window_.begin(), end)));
  }
  return Duration(static_cast<int64_t>(TabledNs(rows) * correction_));
}

void LatencyTable::Observe(uint32_t rows, Duration measured) {
  const double ns = static_cast<double>(measured.count());
  const double tabled = count_ == 0 ? 1.0 : std::max(TabledNs(rows), 1.0);
  window_[static_cast<size_t>(window_next_)] = ns / tabled;
  window_next_ = (window_next_ + 1) % kCorrectionWindow;
  window_size_ = std::min(window_size_ + 1, kCorrectionWindow);
  if (count_ == 0) return;
  const double largest = *std::max_element(window_.begin(), window_.begin() + window_size_);
  correction_ = std::clamp(largest, 1.0, kCorrectionMax);
}

uint32_t LatencyTable::Knee(uint32_t rows_max) const {
  if (count_ == 0 || rows_max <= 1) return rows_max;
  // Throughput of a piecewise linear table peaks at a point or at the end, so only those need
  // looking at.
  double best = 0;
  const auto throughput = [&](uint32_t rows) { return rows / std::max(TabledNs(rows), 1.0); };
  for (int i = 0; i < count_; ++i)
    best = std::max(best, throughput(std::min(points_[static_cast<size_t>(i)].rows, rows_max)));
  best = std::max(best, throughput(rows_max));
  uint32_t low = 1, high = rows_max;  // throughput grows up to the knee, so it can be bisected
  while (low < high) {
    const uint32_t mid = low + (high - low) / 2;
    if (throughput(mid) >= kKneeShare * best)
      high = mid;
    else
      low = mid + 1;
  }
  return low;
}

}  // namespace fusee::sched
