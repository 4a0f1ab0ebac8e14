// The device a build is for: its kernels, the device itself where this machine has it, and what the
// plan will say it needs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "compiler/options.h"
#include "compiler/select.h"
#include "device/device.h"
#include "plan/plan.h"
#include "tune/bench.h"

namespace fusee::compiler {

struct BuildTarget {
  DeviceKind kind = DeviceKind::kCpu;
  const ops::KernelLibrary* kernels = &ops::CpuKernels();
  Device* device = nullptr;  // null: the CPU, or a device that is not here
  std::string absent;        // why it is not here
  std::unique_ptr<Device> opened;

  RunTarget run() const { return {device, kernels}; }
};

// locked: what the lockfile's plan was made on; a device here that differs counts as absent. Null:
// the device must be here.
// Errors: kInvalidArgument (an unknown device, options without effect on it); kUnavailable naming
// why there is no device, or no module with its kernels, and what is possible without.
Result<BuildTarget> OpenTarget(const BuildOptions& options, const plan::GpuTarget* locked);

// The part of a device that a plan for it names; the libraries are those the selection calls.
plan::GpuTarget DescribeGpu(const DeviceInfo& info, const std::vector<SelectedNode>& selection);

// Where the tuner times: the device, else the CPU with this Parallel. Names in the key whatever
// times depend on.
tune::Environment TuningEnvironment(const BuildTarget& target, Isa isa, Parallel* parallel,
                                    const Clock& clock);

}  // namespace fusee::compiler
