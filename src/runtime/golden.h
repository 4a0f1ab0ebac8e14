// Inputs by seed, and the digests of what a plan makes of them. The builder records these digests;
// the loader runs the same inputs again and compares, so that a plan is ready only where it gives
// the bits it gave when verified.
//
// How inputs are made, exactly: input i is filled by FillRandom(fill, seed, stream = i, int_min =
// 0, int_max = 1) at its shape for the given symbol values; integers are 0 or 1 because a model may
// use them as indices of any table; with Fill::kConstant they are 1, because it may divide by them.
// A pinned input holds its pinned bytes instead. Then every input element that a symbol is read
// from is set to that symbol's value.
#pragma once

#include <span>
#include <vector>

#include "base/status.h"
#include "runtime/runtime.h"
#include "tensor/random.h"

namespace fusee::runtime {

inline constexpr int64_t kGoldenIntMin = 0;
inline constexpr int64_t kGoldenIntMax = 1;

// Sets every input's shape for these symbol values (one per plan symbol) and fills the context's
// own input memory; inputs become unbound. int_max: above the golden value only where a test wants
// it. Errors: kInvalidArgument (wrong count), kOutOfRange (outside the profile).
Status FillInputs(Context& context, std::span<const int64_t> symbol_values, Fill fill,
                  uint64_t seed, int64_t int_max = kGoldenIntMax);

// FillInputs, Run, and SHA-256 over each output's bytes. Outputs become unbound.
Result<std::vector<Sha256Digest>> RunGolden(Context& context,
                                            std::span<const int64_t> symbol_values, Fill fill,
                                            uint64_t seed);

// Replays every golden point of the context's plan on it; inputs and outputs are unbound
// afterwards, shapes are the last point's. Errors: kFailedPrecondition naming the first point and
// output that differ.
Status ReplayGolden(Context& context);

// The same on a context of its own.
Status ReplayGolden(const std::shared_ptr<const LoadedPlan>& plan, Parallel* parallel);

}  // namespace fusee::runtime
