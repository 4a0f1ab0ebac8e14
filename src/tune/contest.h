// Which of several ways is the fastest, on a machine whose clocks nobody locked. Pure: what is
// timed comes in as contestants.
//
//   round:  canary | contestants in a random order          canary: contestant 0 once more
//   score:  median over rounds of time / that round's canary
//   8 rounds of all -> 32 of the better quarter -> 128 of the best few (successive halving)
//
// Rounds whose canary is off its median by more than 3 % do not count while half of them are left.
// Near ties fall to the list order, not to noise: a later contestant wins only when it is at least
// 2 % faster and the 99 % confidence intervals of the two medians do not meet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"

namespace fusee::tune {

inline constexpr int kRoundsUpTo[] = {8, 32, 128};
inline constexpr double kHopeless = 3;      // times the fastest: not timed beyond the first cut
inline constexpr size_t kSurvivorsMin = 3;  // of each cut, beside contestant 0
inline constexpr double kCanaryTolerance = 0.03;
inline constexpr double kHysteresis = 0.02;

class Contestant {
 public:
  virtual ~Contestant() = default;
  // Runs once; how long one execution of the step took.
  virtual Result<double> Microseconds() = 0;
};

struct Score {
  double time_us = 0;        // median
  double ratio = 0;          // median of time / canary
  double low = 0, high = 0;  // 99 % confidence interval of that median
  int rounds = 0;            // that counted
  bool operator==(const Score&) const = default;
};

// One score a contestant. Precondition: at least one. The seed orders contestants within rounds.
// Errors: a contestant's.
Result<std::vector<Score>> RunContest(std::span<const std::unique_ptr<Contestant>> contestants,
                                      uint64_t seed);

// Is a clearly faster than b, by what the head of this file says?
bool ClearlyFaster(const Score& a, const Score& b);

// The first in order than which the one of the smallest ratio is not clearly faster.
// Precondition: not empty. Indices into scores.
size_t Winner(std::span<const Score> scores);

}  // namespace fusee::tune
