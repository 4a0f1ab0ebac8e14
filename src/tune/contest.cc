#include "tune/contest.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/random.h"

namespace fusee::tune {
namespace {

constexpr double kNormal99 = 2.576;  // two-sided

double MedianOf(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

struct Samples {
  std::vector<double> time, canary;  // one of each a round
};

Score ScoreOf(const Samples& samples) {
  const double canary = MedianOf(samples.canary);
  std::vector<double> times, ratios;
  for (int pass = 0; pass < 2; ++pass) {
    times.clear();
    ratios.clear();
    for (size_t i = 0; i < samples.time.size(); ++i) {
      const bool disturbed = std::abs(samples.canary[i] - canary) > kCanaryTolerance * canary;
      if (pass == 0 && disturbed) continue;
      times.push_back(samples.time[i]);
      ratios.push_back(samples.time[i] / std::max(samples.canary[i], 1e-9));
    }
    if (2 * times.size() >= samples.time.size()) break;  // else the machine is like that: take all
  }
  std::ranges::sort(ratios);
  const auto n = static_cast<double>(ratios.size());
  const double half = kNormal99 * std::sqrt(n) / 2;
  const auto at = [&](double rank) {
    return ratios[static_cast<size_t>(std::clamp(rank, 0.0, n - 1))];
  };
  return {MedianOf(times), ratios[ratios.size() / 2], at(std::floor(n / 2 - half)),
          at(std::ceil(n / 2 + half)), static_cast<int>(ratios.size())};
}

class Contest {
 public:
  Contest(std::span<const std::unique_ptr<Contestant>> contestants, uint64_t seed)
      : contestants_(contestants), seed_(seed), samples_(contestants.size()) {}

  Result<std::vector<Score>> Run() {
    alive_.resize(contestants_.size());
    std::iota(alive_.begin(), alive_.end(), size_t{0});
    for (int rounds : kRoundsUpTo) {
      while (round_ < rounds) FUSEE_TRY(Round());
      Cut();
      if (alive_.size() == 1) break;
    }
    std::vector<Score> scores;
    for (const Samples& s : samples_) scores.push_back(ScoreOf(s));
    return scores;
  }

 private:
  Status Round() {
    FUSEE_TRY(const double canary, contestants_[0]->Microseconds());
    // Fisher and Yates, from a counter.
    std::vector<size_t> order = alive_;
    for (size_t i = order.size(); i > 1; --i) {
      const uint64_t draw = RandomBits(seed_, static_cast<uint64_t>(round_), i);
      std::swap(order[i - 1], order[draw % i]);
    }
    for (size_t index : order) {
      FUSEE_TRY(const double time, contestants_[index]->Microseconds());
      samples_[index].time.push_back(time);
      samples_[index].canary.push_back(canary);
    }
    ++round_;
    return OkStatus();
  }

  // Keeps the better quarter; contestant 0, which ties fall to, always.
  void Cut() {
    const size_t keep = std::max(kSurvivorsMin, (alive_.size() + 3) / 4);
    std::vector<std::pair<double, size_t>> ranked;
    for (size_t index : alive_) {
      if (index != 0) ranked.emplace_back(ScoreOf(samples_[index]).ratio, index);
    }
    std::ranges::sort(ranked);
    const double fastest =
        std::min(ScoreOf(samples_[0]).ratio, ranked.empty() ? 1.0 : ranked[0].first);
    std::erase_if(ranked, [&](const auto& one) { return one.first > kHopeless * fastest; });
    if (ranked.size() > keep) ranked.resize(keep);
    alive_ = {0};
    for (const auto& [ratio, index] : ranked) alive_.push_back(index);
    std::ranges::sort(alive_);
  }

  std::span<const std::unique_ptr<Contestant>> contestants_;
  uint64_t seed_;
  std::vector<Samples> samples_;
  std::vector<size_t> alive_;
  int round_ = 0;
};

}  // namespace

Result<std::vector<Score>> RunContest(std::span<const std::unique_ptr<Contestant>> contestants,
                                      uint64_t seed) {
  return Contest(contestants, seed).Run();
}

bool ClearlyFaster(const Score& a, const Score& b) {
  return a.ratio <= (1 - kHysteresis) * b.ratio && a.high < b.low;
}

size_t Winner(std::span<const Score> scores) {
  const auto fastest = std::ranges::min_element(scores, {}, &Score::ratio);
  const auto winner =
      std::ranges::find_if(scores, [&](const Score& s) { return !ClearlyFaster(*fastest, s); });
  return static_cast<size_t>(winner - scores.begin());  // the fastest at the latest
}

}  // namespace fusee::tune
