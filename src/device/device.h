// What a runtime asks of a device other than the CPU it runs on: memory, ordered queues, captured
// graphs. One small table of virtual functions, so that runtime, worker and tuner know no CUDA
// header; src/cuda/ implements it inside libfusee_cuda.so, and a fake stands in for it in tests.
//
// Rules for every implementation:
//   - everything is explicit: no default queue, no hidden synchronisation, no allocation after
//     Create/Allocate/EndCapture returned;
//   - a fault that leaves the device unusable for this process (a sticky CUDA error) is kAborted,
//     and every later call returns it too: the process must end and a new one start;
//   - objects are destroyed before their Device.
// Thread-safety: Device is thread-safe; a queue, and everything enqueued on it, belongs to one
// thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fusee {

enum class DeviceKind : uint8_t { kCpu = 0, kCuda = 1 };  // stored in plans; never renumber

std::string_view DeviceKindName(DeviceKind kind);  // "cpu", "cuda"

// Facts about one device that plans, reports and lockfiles name.
struct DeviceInfo {
  DeviceKind kind = DeviceKind::kCpu;
  int ordinal = 0;
  std::string name;                // "NVIDIA H200"
  int compute_capability = 0;      // 90 for sm_90
  int multiprocessors = 0;         // 132
  uint64_t memory_bytes = 0;       // of the device
  uint64_t memory_free_bytes = 0;  // at the time of asking
  uint64_t l2_bytes = 0;
  int driver_version = 0;  // 13000 for CUDA 13.0, as the driver says
  // Libraries that tactics may be pinned to: 0 when absent or not looked up yet.
  uint64_t cublaslt_version = 0;
  uint64_t cudnn_version = 0;
};

// Memory taken from a device, or host memory that a device can reach. Freed by the destructor.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  // Address for kernels and queue operations; null when size is 0. Aligned to at least 256 bytes.
  virtual void* device_data() const = 0;
  // Address for the host; null for memory that only the device reaches.
  virtual void* host_data() const = 0;
  virtual size_t size() const = 0;
};

// A captured sequence of kernels, instantiated and uploaded: launching it costs the same every
// time.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  virtual size_t node_count() const = 0;
};

// An ordered stream of work. Enqueue functions return before the work is done; an error of the work
// itself comes back from Synchronize (or a later call).
class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;

  // The native handle that kernels launch on (a cudaStream_t); RunArgs::queue.
  virtual void* native() const = 0;

  virtual Status Upload(void* device, const void* host, size_t bytes) = 0;
  virtual Status Download(void* host, const void* device, size_t bytes) = 0;
  virtual Status Fill(void* device, int byte, size_t bytes) = 0;

  // Copies count pieces; entries lie in memory that both sides reach (AllocateHost) and may be
  // rewritten between launches of a graph that holds this: they, and *count, are read when the work
  // runs. Addresses are the device's; any alignment; pieces must not overlap. One kernel.
  struct Piece {
    const void* from = nullptr;
    void* to = nullptr;
    uint64_t bytes = 0;
  };
  virtual Status CopyPieces(const Piece* entries, const uint32_t* count) = 0;

  // Between them, enqueued work is recorded instead of run. EndCapture instantiates and uploads the
  // graph. An error while recording still needs EndCapture (or AbandonCapture), which ends the
  // recording.
  virtual Status BeginCapture() = 0;
  virtual Result<std::unique_ptr<DeviceGraph>> EndCapture() = 0;
  virtual void AbandonCapture() = 0;
  virtual Status Launch(const DeviceGraph& graph) = 0;

  // Waits, spinning, until everything enqueued is done; returns its first error.
  virtual Status Synchronize() = 0;

  // Device-side time, for measuring only: two marks and the microseconds between them. The second
  // waits for the work before it.
  virtual Status MarkStart() = 0;
  virtual Status MarkStop() = 0;
  virtual Result<double> ElapsedMicroseconds() = 0;
};

// What the driver was asked for since Device::WatchDriver, by anything in this process.
struct DriverCalls {
  uint64_t allocations = 0;
  uint64_t frees = 0;
  uint64_t code_loads = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;

  // Makes this the calling thread's device: before kernels are loaded or launched on it. Cheap.
  virtual Status MakeCurrent() { return OkStatus(); }

  // Errors: kResourceExhausted naming what was asked and what is free. 0 bytes are allowed.
  virtual Result<std::unique_ptr<DeviceMemory>> Allocate(size_t bytes) = 0;
  // Host memory, page-locked, touched, and mapped into the device's address space.
  virtual Result<std::unique_ptr<DeviceMemory>> AllocateHost(size_t bytes) = 0;
  // The same for host memory that exists already (a shared slab): page-aligned; the caller keeps it
  // until the result is destroyed.
  virtual Result<std::unique_ptr<DeviceMemory>> RegisterHost(void* host, size_t bytes) = 0;
  virtual Result<std::unique_ptr<DeviceQueue>> CreateQueue() = 0;

  // ok, or the sticky fault this device suffered (kAborted). Reads an atomic; no device call.
  virtual Status health() const = 0;
  // Bytes this process took with Allocate, and what the driver says the device has in use beyond
  // them since the device was opened (context, modules, libraries): the overhead of the process.
  virtual uint64_t allocated_bytes() const = 0;
  virtual Result<uint64_t> OverheadBytes() = 0;

  // Counts driver calls from now on: for benchmarks and tests, which check that a ready plan makes
  // none of these. Errors: kUnavailable where the driver cannot be watched.
  virtual Status WatchDriver() { return Status(StatusCode::kUnavailable, "nothing to watch"); }
  virtual DriverCalls driver_calls() const { return {}; }

  // Names the calling thread's work from here to PopMark for a profiler; marks nest. Costs
  // nanoseconds without a profiler; a device may ignore it. Through ScopedMark, so that they pair.
  virtual void PushMark(const char* name) {}
  virtual void PopMark() {}

  // Fault injection for tests of supervision: makes the next synchronisation fail the way an
  // illegal address does. The device is then lost to this process.
  virtual Status InjectStickyFault(DeviceQueue& queue) = 0;
};

// A mark for as long as it lives. device is borrowed; null: none.
class ScopedMark {
 public:
  ScopedMark(Device* device, const std::string& name) : device_(device) {
    if (device_ != nullptr) device_->PushMark(name.c_str());
  }
  ~ScopedMark() {
    if (device_ != nullptr) device_->PopMark();
  }
  ScopedMark(const ScopedMark&) = delete;
  ScopedMark& operator=(const ScopedMark&) = delete;

 private:
  Device* device_;
};

}  // namespace fusee
