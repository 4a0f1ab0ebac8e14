#include "device/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <thread>
#include <vector>

#include "device/fp_environment.h"

namespace fusee {
namespace {

std::vector<int> CountRuns(Parallel& pool, int64_t count) {
  std::vector<std::atomic<int>> runs(static_cast<size_t>(count));
  pool.Run(count, [&](int64_t i) {
    runs[static_cast<size_t>(i)].fetch_add(1, std::memory_order_relaxed);
  });
  return {runs.begin(), runs.end()};
}

class PoolOfWidth : public ::testing::TestWithParam<std::pair<int, int>> {};

TEST_P(PoolOfWidth, RunsEveryTaskExactlyOnce) {
  const auto [width, spin] = GetParam();
  ThreadPool pool({.width = width, .spin_pauses = spin});
  EXPECT_EQ(pool.width(), width);
  for (int64_t count : {0, 1, 2, width - 1, width, width + 1, 7 * width + 3, 1000}) {
    EXPECT_EQ(CountRuns(pool, count), std::vector<int>(static_cast<size_t>(count), 1)) << count;
  }
}

TEST_P(PoolOfWidth, ResultsAreVisibleAfterEveryOfManyCalls) {
  const auto [width, spin] = GetParam();
  ThreadPool pool({.width = width, .spin_pauses = spin});
  std::vector<int64_t> values(
      64, 0);  // plain memory: a race or a late thread shows under ThreadSanitizer
  for (int round = 1; round <= 2000; ++round) {
    pool.Run(64, [&](int64_t i) { values[static_cast<size_t>(i)] += i; });
    for (int64_t i = 0; i < 64; ++i) ASSERT_EQ(values[static_cast<size_t>(i)], i * round);
  }
}

TEST_P(PoolOfWidth, ManyCallersTakeTurns) {
  const auto [width, spin] = GetParam();
  ThreadPool pool({.width = width, .spin_pauses = spin});
  std::vector<std::thread> callers;
  std::atomic<int64_t> total{0};
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        int64_t sums[16] = {};
        pool.Run(16, [&](int64_t i) { sums[i] = i; });
        for (int64_t s : sums) total.fetch_add(s);
      }
    });
  }
  for (auto& t : callers) t.join();
  EXPECT_EQ(total.load(), 4 * 200 * 120);
}

INSTANTIATE_TEST_SUITE_P(Widths, PoolOfWidth,
                         ::testing::Values(std::pair(1, 2000), std::pair(2, 2000), std::pair(2, 0),
                                           std::pair(5, 50), std::pair(5, 0)));

TEST(ThreadPool, BuildsAndEndsWithoutWork) {
  for (int i = 0; i < 50; ++i) ThreadPool pool({.width = 4});
}

// A worker that comes late must not take the destructor's call for the job it has missed.
TEST(ThreadPool, EndingItRunsNoFinishedJobAgain) {
  for (int i = 0; i < 2000; ++i) {
    std::atomic<int> runs{0};
    {
      ThreadPool pool({.width = 4, .spin_pauses = i % 2 == 0 ? 0 : 50});
      pool.Run(8, [&](int64_t) { runs.fetch_add(1); });
    }
    ASSERT_EQ(runs.load(), 8) << "round " << i;
  }
}

TEST(ThreadPool, DefaultsToUsableCpus) { EXPECT_GE(ThreadPool().width(), 1); }

TEST(ThreadPool, ComputesDenormalsOnEveryThread) {
  ThreadPool pool({.width = 4, .spin_pauses = 0});
  const unsigned before = _mm_getcsr();
  _mm_setcsr(kMxcsr | 0x8040u);  // a host program with flush-to-zero and denormals-are-zero
  {
    const ScopedFpEnvironment fp;
    std::vector<float> halves(64);
    pool.Run(64, [&](int64_t i) {
      volatile float tiny = std::numeric_limits<float>::min();
      halves[static_cast<size_t>(i)] = tiny * 0.5f;
    });
    for (float h : halves) EXPECT_GT(h, 0.0f);
  }
  EXPECT_EQ(_mm_getcsr() & 0x8040u, 0x8040u);
  _mm_setcsr(before);
}

}  // namespace
}  // namespace fusee
