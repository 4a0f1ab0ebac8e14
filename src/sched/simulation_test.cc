// The production scheduler under a virtual clock: open-loop Poisson arrivals against a device that
// takes as long as the plan said, give or take one per cent, and now and then much longer. Seconds
// of load in milliseconds of test.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <queue>
#include <vector>

#include "sched/scheduler.h"

namespace fusee::sched {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

// SplitMix64: the same arrivals on every machine (std::exponential_distribution is not portable).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  double Uniform() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53;
  }
  Duration Exponential(double mean_ns) {
    return Duration(static_cast<int64_t>(-std::log(1 - Uniform()) * mean_ns));
  }

 private:
  uint64_t state_;
};

struct Load {
  double base_ms, row_ms;  // L(b) = base + row * b
  uint32_t rows_max;
  double deadline_ms;
  double load;  // offered, as a share of the device's best throughput
  int seconds = 20;
  double slow_share = 0;  // batches that take 0.3 deadlines longer
  uint64_t seed = 1;
};

struct Outcome {
  uint64_t offered = 0, admitted = 0, good = 0, late = 0, expired = 0;
  double capacity_per_s = 0, seconds = 0;
  double GoodShare() const { return static_cast<double>(good) / static_cast<double>(offered); }
  double GoodputShare() const { return static_cast<double>(good) / (capacity_per_s * seconds); }
  double BrokenShare() const {
    return admitted == 0 ? 0 : static_cast<double>(late + expired) / static_cast<double>(admitted);
  }
};

Duration Ms(double ms) { return Duration(static_cast<int64_t>(ms * 1e6)); }

Outcome Simulate(const Load& load) {
  Scheduler scheduler({.requests = 4096, .bytes = 1ull << 40, .models = 1, .guard = Duration(0)});
  ModelProfile profile;
  profile.rows_max = load.rows_max;
  profile.batchable = true;
  profile.deadline_min = Ms(load.deadline_ms) * 4;  // the cap under test is the knee
  const auto time_ms = [&](uint32_t b) { return load.base_ms + load.row_ms * b; };
  const LatencyPoint points[] = {{1, Ms(1.02 * time_ms(1))},
                                 {load.rows_max, Ms(1.02 * time_ms(load.rows_max))}};
  profile.latency[0] = LatencyTable(points);
  const ModelIndex model = scheduler.AddModel(profile).value();

  Outcome outcome;
  outcome.capacity_per_s = load.rows_max / time_ms(load.rows_max) * 1e3;
  outcome.seconds = load.seconds;
  Random random(load.seed);
  FakeClock clock;
  const TimePoint end = clock.Now() + seconds(load.seconds);
  const double gap_ns = 1e9 / (outcome.capacity_per_s * load.load);
  TimePoint next_arrival = clock.Now() + random.Exponential(gap_ns);
  std::optional<PlannedBatch> running;
  TimePoint finish{};

  const auto dispatch = [&] {
    std::array<Ticket, 64> expired;
    size_t n;
    do {
      n = scheduler.Expire(clock.Now(), expired);
      outcome.expired += n;
    } while (n == expired.size());
    running = scheduler.NextBatch(clock.Now());
    if (!running) return;
    double ms = time_ms(running->rows) * (1 + 0.01 * random.Uniform());
    if (random.Uniform() < load.slow_share) ms += 0.3 * load.deadline_ms;
    finish = clock.Now() + Ms(ms);
  };
  while (true) {
    const bool arrival = next_arrival < end && (!running || next_arrival <= finish);
    if (!arrival && !running) break;
    clock.Set(arrival ? next_arrival : finish);
    if (arrival) {
      ++outcome.offered;
      const RequestMeta request{
          .model = model, .arrival = clock.Now(), .deadline = clock.Now() + Ms(load.deadline_ms)};
      if (std::holds_alternative<Ticket>(scheduler.Admit(request, clock.Now()))) ++outcome.admitted;
      next_arrival += random.Exponential(gap_ns);
      if (!running) dispatch();
    } else {
      for (const Ticket& t : running->requests())
        ++(clock.Now() <= scheduler.request(t).deadline ? outcome.good : outcome.late);
      scheduler.Complete(*running, clock.Now());
      dispatch();
    }
  }
  EXPECT_EQ(outcome.admitted, outcome.good + outcome.late + outcome.expired);
  std::printf(
      "L=%.2f+%.4fb D=%.0f load %.2f seed %llu: goodput %.3f of capacity, %.4f of offered, broken "
      "%.5f\n",
      load.base_ms, load.row_ms, load.deadline_ms, load.load,
      static_cast<unsigned long long>(load.seed), outcome.GoodputShare(), outcome.GoodShare(),
      outcome.BrokenShare());
  return outcome;
}

constexpr Load kCpu = {.base_ms = 1, .row_ms = 9, .rows_max = 8, .deadline_ms = 100, .load = 1};
constexpr Load kGpu = {
    .base_ms = 0.25, .row_ms = 0.0122, .rows_max = 256, .deadline_ms = 15, .load = 1, .seconds = 2};

Load At(Load load, double share) {
  load.load = share;
  return load;
}

TEST(Simulation, AnswersNearlyEverythingBelowCapacity) {
  EXPECT_GE(Simulate(At(kCpu, 0.7)).GoodShare(), 0.99);
  EXPECT_GE(Simulate(At(kGpu, 0.7)).GoodShare(), 0.99);
}

TEST(Simulation, KeepsItsGoodputAtTwiceTheLoad) {
  EXPECT_GE(Simulate(At(kCpu, 2)).GoodputShare(), 0.85);
  EXPECT_GE(Simulate(At(kGpu, 2)).GoodputShare(), 0.85);
}

TEST(Simulation, GoodputDoesNotFallFromTwiceToTenTimesTheLoad) {
  const double twice = Simulate(At(kCpu, 2)).GoodputShare();
  EXPECT_GE(Simulate(At(kCpu, 10)).GoodputShare(), 0.97 * twice);
}

TEST(Simulation, BreaksNoPromiseWhenThePlanIsRight) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    for (double share : {0.5, 1.0, 2.0}) {
      for (Load load : {kCpu, kGpu}) {
        load.seed = seed;
        EXPECT_EQ(Simulate(At(load, share)).BrokenShare(), 0.0) << "seed " << seed;
      }
    }
  }
}

TEST(Simulation, BreaksFewPromisesWhenSomeBatchesAreSlow) {
  Load load = At(kCpu, 1.5);
  load.slow_share = 1e-3;
  EXPECT_LE(Simulate(load).BrokenShare(), 0.02);
}

}  // namespace
}  // namespace fusee::sched
