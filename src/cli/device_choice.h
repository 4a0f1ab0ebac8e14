// The device that a command was asked to use, opened without the C ABI: what commands take that
// look inside the runtime.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "device/device.h"
#include "ops/kernel.h"
#include "plan/check.h"

namespace fusee::cli {

// "of --device" for every command: the names it takes.
inline constexpr char kDeviceHelp[] =
    "cpu, cuda or cuda:N (for example --device cuda:1); default: what the plan is for";

// ok for an empty name. Errors: kInvalidArgument naming what is allowed.
Status CheckDeviceName(const std::string& name);

struct DeviceChoice {
  std::unique_ptr<Device> device;  // null: the CPU
  const ops::KernelLibrary* kernels = &ops::CpuKernels();
};

// Errors: kInvalidArgument (the name), kUnavailable (no module, driver or device).
Result<DeviceChoice> OpenDevice(const std::string& name);

// What plan::Check asks of it.
plan::GpuFacts FactsOf(const DeviceInfo& info);

}  // namespace fusee::cli
