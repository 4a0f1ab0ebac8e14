// A device that a module brings (CUDA) as a worker's device: plans run as captured graphs, requests
// are gathered and scattered by the device itself, straight from and to the slab.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ops/module.h"
#include "worker/device.h"

namespace fusee::worker {

class ModuleDevice final : public WorkerDevice {
 public:
  // Loads the module and opens the device; marks: names batches and steps for a profiler. Errors:
  // kNotFound when the machine has no such device, driver or module now; else the module's.
  static Result<std::unique_ptr<ModuleDevice>> Open(const ops::DeviceName& name, bool marks);
  // The same over a device that is open, for tests; both outlive this.
  ModuleDevice(Device* device, const ops::KernelLibrary* kernels, bool marks = false)
      : device_(device), kernels_(kernels), marks_(marks) {}

  std::string description() const override;
  Status BindRequestMemory(std::span<const std::byte> inputs,
                           std::span<std::byte> outputs) override;
  Result<std::unique_ptr<WorkerModel>> Load(const std::string& path, const std::string& name,
                                            int64_t version) override;
  Status Health() const override { return device_->health(); }

 private:
  std::unique_ptr<Device> owned_;  // of Open; destroyed after what lies on it
  Device* device_;
  const ops::KernelLibrary* kernels_;
  const bool marks_;
  std::vector<std::unique_ptr<DeviceMemory>> registered_;  // the slabs, as the device reaches them
  std::vector<const DeviceMemory*> host_memory_;
};

}  // namespace fusee::worker
