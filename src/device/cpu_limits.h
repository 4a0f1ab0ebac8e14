// How many CPUs this process may really use.
#pragma once

#include <optional>
#include <string>

namespace fusee {

// The affinity mask's size, lowered to the control groups' CPU quota (rounded up), at least 1.
// Reads files: call at start, not in a run.
int UsableCpus();

// CPUs of the affinity mask; of the machine where there are too many for a mask.
int AllowedCpus();

// The quota alone: CPU time per wall time of the tightest group (cpu.max, or cpu.cfs_quota_us);
// none: unlimited or unknown. root stands before every path and is for tests.
std::optional<double> CgroupCpuQuota(const std::string& root = "");

}  // namespace fusee
