#include "cuda/error.h"

#include <fmt/format.h>

namespace fusee::cuda {

bool IsSticky(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorContained: return true;
    default: return false;
  }
}

Status ToStatus(cudaError_t error, std::string_view call) {
  if (error == cudaSuccess) return OkStatus();
  std::string text = fmt::format("{}: {} ({}, {})", call, cudaGetErrorString(error),
                                 cudaGetErrorName(error), static_cast<int>(error));
  if (IsSticky(error)) {
    return Status(StatusCode::kAborted,
                  text + "; the device is lost to this process, which must be restarted");
  }
  switch (error) {
    case cudaErrorMemoryAllocation: return ResourceExhausted(text);
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorInvalidDevice:
    case cudaErrorDevicesUnavailable:
    case cudaErrorInitializationError:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorSystemNotReady: return Unavailable(text);
    default: return Internal(text);
  }
}

}  // namespace fusee::cuda
