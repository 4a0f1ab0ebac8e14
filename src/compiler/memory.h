// The memory planner: turns lifetimes into offsets of one region.
//
// A pure function. Intervals are inclusive step indices; two that share a step must not share
// bytes.
//   - greedy by size, largest first, each at the lowest offset that fits between those already
//   placed and alive at
//     the same time (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
//     Inference", MLSys 2020 workshop, https://arxiv.org/abs/2001.03288, "greedy by size").
// Deterministic: equal input, equal output; ties go to the lower index.
// Known weakness: optimal packing is NP-hard; see the test PlansWithinTwiceTheLowerBound for how
// far it may be. Cost: O(n^2) for n intervals.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fusee::compiler {

struct Lifetime {
  int64_t first_step = 0;  // the step that writes it
  int64_t last_step = 0;   // the last step that reads it; >= first_step
  uint64_t size_bytes = 0;
};

struct MemoryPlan {
  std::vector<uint64_t> offsets;   // in input order, multiples of alignment
  uint64_t region_bytes = 0;       // multiple of alignment
  uint64_t lower_bound_bytes = 0;  // the most that is alive at any one step: no plan can need less
};

// alignment: a power of two, bytes. Sizes are rounded up to it; a size of 0 takes no room.
// Precondition: the sum of sizes fits 63 bits (the emitter checks).
MemoryPlan PlanMemory(std::span<const Lifetime> lifetimes, uint64_t alignment = 64);

}  // namespace fusee::compiler
