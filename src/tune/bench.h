// Candidates made ready to be timed: operands in memory, kernels bound, on a device one graph of
// many copies each.
//
// Operands that are constants exist several times, and every copy of the step takes the next: as in
// a model, weights then come from memory and not from a cache that the last copy left warm.
// Activations exist once and stay warm. Values are seeded random ones (zeros run faster than data).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "device/device.h"
#include "device/parallel.h"
#include "tune/contest.h"
#include "tune/problem.h"

namespace fusee::tune {

// Where candidates are timed. Borrowed for as long as the tuner lives.
struct Environment {
  Device* device = nullptr;      // null: the CPU
  Parallel* parallel = nullptr;  // of CPU kernels; never null
  const Clock* clock = nullptr;  // times CPU kernels; never null
  uint64_t cache_bytes = 0;      // constants are rotated over more than twice this; 0: not at all
  std::string key;  // names what times depend on beside the step: device, driver, libraries
};

inline constexpr double kRegionMicroseconds = 200;  // one timed region is at least about so long
inline constexpr size_t kCopiesMax = 1024;          // of a step in a region
inline constexpr double kLongRegions =
    10;  // as many regions a slow candidate may take for all weights
inline constexpr size_t kRotationsMax = 64;
inline constexpr uint64_t kRotationBytesMax = uint64_t{1} << 29;

class Bench {
 public:
  // Binds every candidate and takes memory for all of them. problem and environment are borrowed.
  // Errors: kResourceExhausted. A candidate that does not bind is no error: Prepare says why.
  static Result<std::unique_ptr<Bench>> Create(const Problem& problem, const Environment& where);
  virtual ~Bench() = default;

  // The candidate, ready; valid as long as the bench. Runs it a few times. Errors, after which the
  // others can still be timed unless the code is kAborted: it does not bind, load, run or record
  // here; or two runs gave different bits (kFailedPrecondition).
  virtual Result<std::unique_ptr<Contestant>> Prepare(size_t candidate) = 0;
};

}  // namespace fusee::tune
