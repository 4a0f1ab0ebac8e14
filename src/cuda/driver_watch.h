// Counts what the driver is asked for: memory taken and given back, code loaded. How the promise
// that nothing of the kind happens after a plan is ready is checked, through CUPTI's callbacks on
// the driver's API, whoever calls it (cuBLASLt, cuDNN, the CUDA runtime).
//
// A module that is asked for by name may count twice, as the call and as the loading.
//
// Costs about a microsecond a driver call while on: for benchmarks and tests, never for serving.
// Source: CUPTI documentation, "Callback API", https://docs.nvidia.com/cupti/.
#pragma once

#include "base/status.h"
#include "device/device.h"

namespace fusee::cuda {

// Starts counting for the rest of the process. Errors: kUnavailable without CUPTI (part of the CUDA
// toolkit), or when another tool (a profiler, compute-sanitizer) uses it. Thread-safe.
Status WatchDriver();

// Since WatchDriver; all zero before.
DriverCalls CountedDriverCalls();

}  // namespace fusee::cuda
