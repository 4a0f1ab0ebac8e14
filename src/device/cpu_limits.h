// How many CPUs this process may really use.
#pragma once

#include <string>

namespace fusee {

// The affinity mask's size, lowered to the control group's CPU quota (cpu.max, or
// cpu.cfs_quota_us), at least 1. Reads files: call at start, not in a run.
int UsableCpus();

// The quota alone, in CPUs rounded up; 0 when unlimited or unknown. The arguments are for tests:
// where control groups are mounted, and the content of /proc/self/cgroup. A group's ancestors limit
// it too, so all of them are looked at.
int CgroupCpuLimit(const std::string& mount, const std::string& self_cgroup);

}  // namespace fusee
