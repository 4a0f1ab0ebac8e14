// Why a worker process ended by itself, as its exit status. The front shows the text and decides by
// the reason; a signal has none. What a status cannot say (which plan, which output) the worker
// says before, as its last words (ipc/messages.h).
#pragma once

#include <string_view>

namespace fusee::ipc {

enum class WorkerExit : int {
  kOk = 0,               // told to stop, or the front is gone
  kUsage = 2,            // not started by a front, or with options it does not know
  kDeviceAbsent = 40,    // the device is not there (now): worth another try later
  kDeviceLost = 41,      // a sticky device error: only a new process can use the device again
  kProtocol = 42,        // the front said something that makes no sense
  kResources = 43,       // no memory, no descriptors
  kGoldenMismatch = 44,  // a golden run gave other bits than it should: the device computes wrongly
};

inline std::string_view WorkerExitText(int status) {
  switch (static_cast<WorkerExit>(status)) {
    case WorkerExit::kOk: return "stopped";
    case WorkerExit::kUsage: return "was started wrongly";
    case WorkerExit::kDeviceAbsent: return "the device is absent";
    case WorkerExit::kDeviceLost: return "the device reported an error that needs a new process";
    case WorkerExit::kProtocol: return "could not understand the front";
    case WorkerExit::kGoldenMismatch: return "golden mismatch";
    case WorkerExit::kResources: return "had no memory or descriptors left";
  }
  return "ended for a reason that is not known";
}

}  // namespace fusee::ipc
