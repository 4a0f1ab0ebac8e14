#include "compiler/memory.h"

#include <gtest/gtest.h>

#include "tensor/random.h"

namespace fusee::compiler {
namespace {

TEST(PlanMemory, ReusesBytesOfTheDead) {
  // a lives 0-1, b 1-2, c 2-3, sizes 128, 64, 128: a at 0, c at 0 (a is dead), b behind them at
  // 128.
  const std::vector<Lifetime> lifetimes = {{0, 1, 128}, {1, 2, 64}, {2, 3, 128}};
  const MemoryPlan plan = PlanMemory(lifetimes);
  EXPECT_EQ(plan.offsets, (std::vector<uint64_t>{0, 128, 0}));
  EXPECT_EQ(plan.region_bytes, 192u);
  EXPECT_EQ(plan.lower_bound_bytes, 192u);
}

TEST(PlanMemory, FillsAGapBetweenTwoAlive) {
  // 256 at 0 (0-9), 192 dies early (0-1) at 256, 128 at 448 (0-9); 64 (2-9) goes into the hole at
  // 256.
  const std::vector<Lifetime> lifetimes = {{0, 9, 256}, {0, 1, 192}, {0, 9, 128}, {2, 9, 64}};
  const MemoryPlan plan = PlanMemory(lifetimes);
  EXPECT_EQ(plan.offsets, (std::vector<uint64_t>{0, 256, 448, 256}));
  EXPECT_EQ(plan.region_bytes, 576u);
}

TEST(PlanMemory, RoundsSizesUpAndGivesEmptyOnesNoRoom) {
  const std::vector<Lifetime> lifetimes = {{0, 1, 1}, {0, 1, 0}, {0, 1, 65}};
  const MemoryPlan plan = PlanMemory(lifetimes);
  EXPECT_EQ(plan.offsets, (std::vector<uint64_t>{128, 0, 0}));
  EXPECT_EQ(plan.region_bytes, 192u);
}

TEST(PlanMemory, NothingNeedsNothing) { EXPECT_EQ(PlanMemory({}).region_bytes, 0u); }

// Random interval sets: no two that live together overlap, and the result stays within twice the
// lower bound.
TEST(PlanMemory, PlansWithinTwiceTheLowerBound) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    std::vector<Lifetime> lifetimes;
    const size_t n = 1 + RandomBits(seed, 0, 0) % 60;
    for (size_t i = 0; i < n; ++i) {
      const auto first = static_cast<int64_t>(RandomBits(seed, 1, i) % 40);
      lifetimes.push_back({first, first + static_cast<int64_t>(RandomBits(seed, 2, i) % 8),
                           RandomBits(seed, 3, i) % 5000});
    }
    const MemoryPlan plan = PlanMemory(lifetimes);
    for (size_t a = 0; a < n; ++a) {
      ASSERT_EQ(plan.offsets[a] % 64, 0u);
      ASSERT_LE(plan.offsets[a] + lifetimes[a].size_bytes, plan.region_bytes);
      for (size_t b = 0; b < a; ++b) {
        if (lifetimes[a].last_step < lifetimes[b].first_step ||
            lifetimes[b].last_step < lifetimes[a].first_step)
          continue;
        const bool apart = plan.offsets[a] + lifetimes[a].size_bytes <= plan.offsets[b] ||
                           plan.offsets[b] + lifetimes[b].size_bytes <= plan.offsets[a];
        ASSERT_TRUE(apart) << a << " and " << b;
      }
    }
    EXPECT_LE(plan.region_bytes, 2 * plan.lower_bound_bytes);
  }
}

}  // namespace
}  // namespace fusee::compiler
