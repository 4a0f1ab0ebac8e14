// How a worker that crashed is trusted again: with a growing part of what it would be given.
//
//   share of the requests
//   100 % |                       ,-------
//         |                   ,-'
//         |               ,-'
//         |           ,-'
//     1 % |-------+-'
//         +-------+---------------+------> time
//          crash  serves again    + kProbationLength
//
// The rest goes to whatever else is READY, so that a fault that shows under load costs few requests
// the second time, and a fallback is not left cold all at once. Where nothing else is READY the
// worker takes everything: half a device is better than none.
//
// Shares are spread evenly and without chance: at 25 % every fourth request. Neither reads a clock.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace fusee::server {

inline constexpr Duration kProbationLength = std::chrono::seconds(5);
inline constexpr int64_t kShareFull = 10'000;  // all of it; shares are counted in parts of this
inline constexpr int64_t kShareFirst = kShareFull / 100;

// A worker's probation; with length zero there is none.
struct Probation {
  TimePoint since{};
  Duration length{};

  TimePoint end() const { return since + length; }
  bool over(TimePoint now) const { return now >= end(); }
  // kShareFirst at its beginning, kShareFull from its end on, a straight line between.
  int64_t Share(TimePoint now) const {
    if (over(now)) return kShareFull;
    // In microseconds, so that the product fits.
    const auto us = [](Duration d) { return std::max<int64_t>(0, d.count() / 1000); };
    const int64_t whole = std::max<int64_t>(1, us(length));
    return kShareFirst + (kShareFull - kShareFirst) * us(now - since) / whole;
  }
};

// Says of each request in turn whether it belongs to the share.
class ShareSpreader {
 public:
  bool Take(int64_t share) {
    credit_ += share;
    if (credit_ < kShareFull) return false;
    credit_ -= kShareFull;
    return true;
  }

 private:
  int64_t credit_ = 0;
};

}  // namespace fusee::server
