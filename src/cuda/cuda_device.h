// The CUDA side of device/device.h. One CudaDevice per process and GPU; it makes the primary
// context current on the thread that opens it and on every thread that calls it.
#pragma once

#include <memory>

#include "base/status.h"
#include "device/device.h"

namespace fusee::cuda {

// How many GPUs this process can see. Errors: kUnavailable with the driver's words.
Result<int> DeviceCount();

// Creates the GPU's context (0.2 s on one H200): spinning waits, mapped host memory, modules loaded
// lazily (kernels are loaded by BoundKernel::LoadOnDevice and a first run, before a plan is ready;
// loading everything eagerly costs 1.4 s and 400 MB with cuBLASLt). Errors: kUnavailable (no
// driver, no such GPU), kResourceExhausted (its memory is taken).
Result<std::unique_ptr<Device>> OpenDevice(int ordinal);

}  // namespace fusee::cuda
