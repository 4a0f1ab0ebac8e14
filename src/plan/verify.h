// The structural verifier: which plans may run at all. Digests are no keys: anyone can write a
// well-formed plan, so what the runtime relies on is checked here, by the writer before writing and
// by the reader after decoding.
//
// After Verify(plan).ok() the runtime may rely on:
//   - counts are within the limits below; every index is in range; dims operands are earlier
//   entries
//   - symbols: 0 <= min <= opt <= max, bound to an existing axis, or element of an integer input
//   - every tensor: known dtype, rank <= kMaxRank, offset 64-byte aligned, offset + capacity inside
//   its region,
//     capacity >= size at the profile's minimum, optimum and maximum
//   - steps: no tensor is written twice; model inputs and weights are never written; every operand
//   is a weight, a model
//     input, state, written by an earlier step, or a view (below)
//   - guards: on the CPU, one bool each, written before the step whenever those before it hold; a
//   step that finds sizes has none. What a step with guards writes is read only by steps that have
//   them too, at the front of their lists, or as operand 1 or 2 of a Where by the last guard's
//   tensor that chooses it only if that guard holds; no output is written under a guard
//   - memory: two tensors alive at the same time do not overlap, except as below
//   - target: a known device; every step on it or on the host; bucket tactics ascending, each of an
//   existing bucket; configurations within kMaxConfigBytes
//   - inputs and outputs lie where the runtime can bind them; pinned bytes have their tensor's size
// It does not know kernels: whether they exist, accept their step, or may work in place is the
// runtime's check.
//
// Storage. A tensor that no step writes and that is neither a weight nor a model input is a *view*:
// the same bytes under another shape or dtype. It must have the (region, offset) of exactly one
// tensor that is alive at its first use, and no larger capacity; both then live until the last use
// of either. A model input and state live all the time, a model output until after the last step;
// any other tensor from its writing step to its last use. In place: the result of a step may have
// the same (region, offset) as one of that step's operands whose storage dies there and has at
// least its capacity (InPlacePairs lists them; the kernel must permit it), unless the step has
// guards. A guard is a use of its tensor.
//
// The io region is cut into slots: each is one model input or output that lies there (equal
// offsets: one slot). Every tensor of the region lies inside one slot, because a caller may bind
// each slot to memory of its own.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "plan/plan.h"

namespace fusee::plan {

// Limits on what a reader accepts; far above real models, and what bounds its time and memory.
inline constexpr size_t kMaxSymbols = 256;
inline constexpr size_t kMaxCounts = 4096;
inline constexpr size_t kMaxDims = 1u << 20;
inline constexpr size_t kMaxTensors = 1u << 20;
inline constexpr size_t kMaxSteps = 1u << 18;
inline constexpr size_t kMaxIo = 4096;
inline constexpr size_t kMaxOperands = 4096;  // of one step
inline constexpr size_t kMaxGuards = 64;      // of one step
inline constexpr size_t kMaxBuckets = 4096;
inline constexpr size_t kMaxNameBytes = 4096;
inline constexpr uint64_t kMaxRegionBytes = uint64_t{1} << 46;

// Errors: kInvalidArgument naming the part, what was expected and found.
// Cost: O((tensors + operands) log tensors). Thread-safe.
Status Verify(const Plan& plan);

// A result that shares an operand's memory. An operand used twice, or beside a view of it, gives a
// pair each.
struct InPlacePair {
  uint32_t step = 0;
  uint32_t input = 0;   // operand index in the step
  uint32_t output = 0;  // result index in the step
};
// Precondition: Verify(plan).ok(). In step order.
std::vector<InPlacePair> InPlacePairs(const Plan& plan);

}  // namespace fusee::plan
