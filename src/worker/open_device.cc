// The only place that knows which kinds of device there are.
#include "ops/module.h"
#include "worker/cpu_device.h"
#include "worker/device.h"
#include "worker/module_device.h"

namespace fusee::worker {

Result<std::unique_ptr<WorkerDevice>> OpenDevice(const std::string& name,
                                                 const DeviceOptions& options) {
  FUSEE_TRY(const ops::DeviceName parsed, ops::ParseDeviceName(name));
  if (parsed.kind == DeviceKind::kCpu)
    return std::unique_ptr<WorkerDevice>(std::make_unique<CpuDevice>(options));
  FUSEE_TRY(auto device, ModuleDevice::Open(parsed, options.marks));
  return std::unique_ptr<WorkerDevice>(std::move(device));
}

}  // namespace fusee::worker
