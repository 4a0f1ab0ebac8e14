// The only place that knows which kinds of device there are.
#include <fmt/format.h>

#include "worker/cpu_device.h"
#include "worker/device.h"

namespace fusee::worker {

Result<std::unique_ptr<WorkerDevice>> OpenDevice(const std::string& name,
                                                 const DeviceOptions& options) {
  if (name == "cpu") return std::unique_ptr<WorkerDevice>(std::make_unique<CpuDevice>(options));
  if (name.starts_with("cuda:")) {
    return Unimplemented(fmt::format(
        "device '{}': this build has no CUDA module; leave cuda out of --device-order", name));
  }
  return InvalidArgument(fmt::format("device '{}': expected cpu or cuda:N", name));
}

}  // namespace fusee::worker
