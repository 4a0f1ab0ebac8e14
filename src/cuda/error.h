// CUDA's error codes as Status. Every CUDA call of this tree goes through FUSEE_CUDA_TRY, so that
// none is unchecked and a fault that poisons the process is recognised wherever it surfaces.
#pragma once

#include <cuda_runtime.h>

#include <string_view>

#include "base/status.h"

namespace fusee::cuda {

// Errors after which CUDA's documentation says that the process must be ended and started again
// (illegal address, trap, assertion, uncorrectable memory error, launch timeout and their kin):
// every later call of the context fails.
// Source: driver_types.h, the descriptions of cudaError.
bool IsSticky(cudaError_t error);

// ok for cudaSuccess, else `call` and CUDA's name and text. kAborted for sticky errors,
// kResourceExhausted for memory, kUnavailable without driver or device, else kInternal.
Status ToStatus(cudaError_t error, std::string_view call);

}  // namespace fusee::cuda

// Returns from the enclosing function when the call fails.
#define FUSEE_CUDA_TRY(call)                                                \
  do {                                                                      \
    if (const cudaError_t fusee_error = (call); fusee_error != cudaSuccess) \
      return ::fusee::cuda::ToStatus(fusee_error, #call);                   \
  } while (false)
