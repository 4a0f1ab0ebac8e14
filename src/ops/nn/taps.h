// Which taps of a sliding window lie inside a tensor, along one axis. constexpr and without further
// includes: code of every device calls it.
#pragma once

#include <cstdint>

namespace fusee::ops {

// Taps [first, last) of a window along one axis, begun at input position `begin`, that lie in [low,
// high).
struct Taps {
  int64_t first = 0, last = 0;
  constexpr int64_t count() const { return last > first ? last - first : 0; }
};
constexpr Taps TapsBetween(int64_t begin, int64_t kernel, int64_t dilation, int64_t low,
                           int64_t high) {
  // Taps k with low <= begin + k dilation < high.
  Taps taps;
  taps.first = begin >= low ? 0 : (low - begin + dilation - 1) / dilation;
  taps.last = begin >= high ? 0 : (high - begin + dilation - 1) / dilation;
  if (taps.last > kernel) taps.last = kernel;
  return taps;
}

}  // namespace fusee::ops
