// Shows that runs on a device ask its driver for nothing: no memory, no code. In runs of their own,
// because watching costs about a microsecond a driver call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "cli/session.h"

namespace fusee::cli {

// What the driver was asked for during `runs` runs, by anything in the process.
struct DriverReport {
  Status watched = Status(StatusCode::kUnavailable, "not asked to");  // why there is nothing
  size_t runs = 0;
  uint64_t allocations = 0, frees = 0, modules_loaded = 0;
  uint64_t calls() const { return allocations + frees + modules_loaded; }
};

// Watches the driver for the rest of the process. runs >= 1; one more goes before them. A driver
// that cannot be watched is no error but what the report says. Precondition: on a device. Errors: a
// run's.
Result<DriverReport> WatchDriverDuringRuns(Session& session, size_t runs);

}  // namespace fusee::cli
