// A plan's golden runs on the context that serves, so that what was checked is what runs: all of
// them before the plan is ready, the quickest one again while its device idles.
//
// A plan holds digests of the right outputs and not the outputs. Which element differs is known
// once the right bits were seen: the first time by running again (a device that errs now and then),
// later because the quickest run's outputs are kept. Where no run is right there is nothing to
// compare with, and the difference says so.
//
//   first run   second run
//   right       -                right
//   wrong       right            the device errs; the element is known
//   wrong       wrong otherwise  the device errs
//   wrong       the same wrong   repeats: the plan is not what was verified, or not for this
//   machine
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fault.h"
#include "runtime/runtime.h"
#include "worker/device.h"

namespace fusee::worker {

// Outputs kept to compare with.
inline constexpr size_t kProbeBytesMax = size_t{4} << 20;

struct GoldenDifference {
  size_t point = 0;                // of the plan's certificate
  std::string output;              // its name
  std::optional<int64_t> element;  // the first that differs, when the right bits are known
  bool repeats = false;            // a second run gave the very same
  std::string Text() const;        // "golden point 0: output 'y', element 3: other bits than ..."
  bool operator==(const GoldenDifference&) const = default;
};

// Of one thread. Inputs and outputs of the context are unbound afterwards, its shapes those of the
// last run.
class GoldenRuns {
 public:
  // Borrowed; outlives this.
  explicit GoldenRuns(runtime::Context* context) : context_(context) {}

  // Runs every point and compares; nullopt: the bits are right. Then decides what Probe will run:
  // the quickest point by `clock`, within ipc::kProbeTimeMax and kProbeBytesMax. Errors: the
  // runtime's: the runs could not be made, which says nothing about their bits.
  Result<std::optional<GoldenDifference>> ReplayAll(const Clock& clock);

  // Whether there is anything to probe.
  bool can_probe() const { return probe_.has_value(); }
  // Precondition: can_probe. As ReplayAll, of one point, against the bytes kept. Allocates nothing
  // on the device.
  Result<std::optional<GoldenDifference>> Probe();

 private:
  struct Kept {
    size_t point = 0;
    std::vector<std::vector<std::byte>> outputs;
  };
  Status Run(size_t point, fault::Point fault);
  std::vector<std::vector<std::byte>> Outputs() const;
  std::optional<GoldenDifference> Compare(const Kept& right) const;

  runtime::Context* const context_;
  std::optional<Kept> probe_;
};

// The same as WorkerModel says it.
Result<std::optional<WrongBits>> AsWrongBits(Result<std::optional<GoldenDifference>> outcome);

}  // namespace fusee::worker
