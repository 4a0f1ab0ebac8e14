#include "compiler/memory.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/checked_math.h"

namespace fusee::compiler {
namespace {

uint64_t LowerBound(std::span<const Lifetime> lifetimes, uint64_t alignment) {
  std::map<int64_t, int64_t> change;  // step -> bytes that come alive minus bytes that died
  for (const Lifetime& l : lifetimes) {
    const auto size = static_cast<int64_t>(AlignUp(l.size_bytes, alignment));
    change[l.first_step] += size;
    change[l.last_step + 1] -= size;
  }
  int64_t alive = 0;
  int64_t most = 0;
  for (const auto& [step, bytes] : change) most = std::max(most, alive += bytes);
  return static_cast<uint64_t>(most);
}

}  // namespace

MemoryPlan PlanMemory(std::span<const Lifetime> lifetimes, uint64_t alignment) {
  MemoryPlan plan;
  plan.offsets.assign(lifetimes.size(), 0);
  plan.lower_bound_bytes = LowerBound(lifetimes, alignment);
  std::vector<size_t> by_size(lifetimes.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::ranges::stable_sort(by_size, [&](size_t a, size_t b) {
    return lifetimes[a].size_bytes > lifetimes[b].size_bytes;
  });

  std::vector<size_t> placed;  // by offset
  for (size_t i : by_size) {
    const uint64_t size = AlignUp(lifetimes[i].size_bytes, alignment);
    if (size == 0) continue;
    uint64_t offset = 0;
    for (size_t j : placed) {
      const bool together = lifetimes[i].first_step <= lifetimes[j].last_step &&
                            lifetimes[j].first_step <= lifetimes[i].last_step;
      if (!together) continue;
      if (offset + size <= plan.offsets[j]) break;  // fits in the gap before j
      offset = std::max(offset, plan.offsets[j] + AlignUp(lifetimes[j].size_bytes, alignment));
    }
    plan.offsets[i] = offset;
    plan.region_bytes = std::max(plan.region_bytes, offset + size);
    placed.insert(
        std::ranges::upper_bound(placed, offset, {}, [&](size_t j) { return plan.offsets[j]; }), i);
  }
  return plan;
}

}  // namespace fusee::compiler
