// A device module: a shared library that brings a device kind and the kernels for it
// (libfusee_cuda.so). Only the builder and a device's worker open one; nothing else in this tree
// sees a CUDA header or links a CUDA library.
//
// Host and module are built from one tree with one compiler and share C++ types; the build id says
// so and is compared before anything else is used.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "device/device.h"
#include "ops/kernel.h"

namespace fusee::ops {

struct DeviceModule {
  const char* build_id = nullptr;  // must equal ModuleBuildId()
  DeviceKind kind = DeviceKind::kCuda;
  const KernelLibrary* kernels = nullptr;
  // How many devices this process can see; an error says why none can be had (no driver, ...).
  Result<int> (*device_count)() = nullptr;
  // Errors: kUnavailable (no driver, no such device), kResourceExhausted (no memory for a context).
  Result<std::unique_ptr<Device>> (*open)(int ordinal) = nullptr;
};

// What the module exports, as a C symbol.
inline constexpr char kModuleSymbol[] = "fusee_device_module";
using ModuleEntry = const DeviceModule* (*)();

std::string_view ModuleBuildId();

// Opens the module for a device kind: libfusee_<kind>.so beside this program, in ../lib of it, or
// where FUSEE_MODULE_PATH (read here, once) says. The module stays for the life of the process.
// Thread-safe. Errors: kUnavailable naming every path that was tried and why it failed;
// kFailedPrecondition when it is of another build.
Result<const DeviceModule*> LoadDeviceModule(DeviceKind kind);

// "cpu", "cuda", "cuda:1". Errors: kInvalidArgument naming what is allowed.
struct DeviceName {
  DeviceKind kind = DeviceKind::kCpu;
  int ordinal = 0;
};
Result<DeviceName> ParseDeviceName(std::string_view text);

// A device by its name, with the kernels for it.
struct OpenedDevice {
  std::unique_ptr<Device> device;  // null: the CPU
  const KernelLibrary* kernels = &CpuKernels();
};
// Errors: kInvalidArgument (the name), kUnavailable (no module, driver or device).
Result<OpenedDevice> OpenDevice(std::string_view name);

}  // namespace fusee::ops
