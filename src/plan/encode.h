// Plan to bytes.
#pragma once

#include <cstddef>
#include <vector>

#include "base/status.h"
#include "plan/plan.h"

namespace fusee::plan {

// The file's bytes. Deterministic: a function of the plan's content alone, so equal plans give
// equal files, and Encode(Decode(bytes)) == bytes for bytes that this version wrote. Runs the
// structural verifier (verify.h) first: an invalid plan is never written. Errors: kInternal with
// the verifier's message; kResourceExhausted when a count passes its limit. Cost: one copy and one
// SHA-256 pass over the weights. Thread-safe.
Result<std::vector<std::byte>> Encode(const Plan& plan);

}  // namespace fusee::plan
