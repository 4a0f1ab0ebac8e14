#include "cuda/cuda_device.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <atomic>
#include <cstring>

#include "cuda/copy_pieces.h"
#include "cuda/driver_watch.h"
#include "cuda/error.h"
#include "cuda/libraries.h"
#include "cuda/profiler_marks.h"

namespace fusee::cuda {
namespace {

// What memory, queues and graphs share with their device; outlives none of them.
class CudaDevice;

class Memory final : public DeviceMemory {
 public:
  enum class Kind : uint8_t { kDevice, kHost, kRegistered };
  Memory(Kind kind, void* device, void* host, size_t size, std::atomic<uint64_t>* allocated)
      : kind_(kind), device_(device), host_(host), size_(size), allocated_(allocated) {}
  ~Memory() override {
    // Errors here are the context's death, which its owner learns of elsewhere.
    switch (kind_) {
      case Kind::kDevice: {
        if (device_ != nullptr && cudaFree(device_) == cudaSuccess) *allocated_ -= size_;
        break;
      }
      case Kind::kHost: (void)cudaFreeHost(host_); break;
      case Kind::kRegistered: (void)cudaHostUnregister(host_); break;
    }
  }
  void* device_data() const override { return device_; }
  void* host_data() const override { return host_; }
  size_t size() const override { return size_; }

 private:
  Kind kind_;
  void* device_;
  void* host_;
  size_t size_;
  std::atomic<uint64_t>* allocated_;
};

class Graph final : public DeviceGraph {
 public:
  Graph(cudaGraphExec_t exec, size_t nodes) : exec_(exec), nodes_(nodes) {}
  ~Graph() override { (void)cudaGraphExecDestroy(exec_); }
  size_t node_count() const override { return nodes_; }
  cudaGraphExec_t exec() const { return exec_; }

 private:
  cudaGraphExec_t exec_;
  size_t nodes_;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(DeviceInfo info, uint64_t used_before)
      : info_(std::move(info)), used_before_(used_before) {}

  const DeviceInfo& info() const override { return info_; }
  Result<std::unique_ptr<DeviceMemory>> Allocate(size_t bytes) override;
  Result<std::unique_ptr<DeviceMemory>> AllocateHost(size_t bytes) override;
  Result<std::unique_ptr<DeviceMemory>> RegisterHost(void* host, size_t bytes) override;
  Result<std::unique_ptr<DeviceQueue>> CreateQueue() override;

  Status health() const override {
    const int fault = fault_.load(std::memory_order_acquire);
    if (fault == 0) return OkStatus();
    return ToStatus(static_cast<cudaError_t>(fault), info_.name);
  }
  uint64_t allocated_bytes() const override { return allocated_; }
  Result<uint64_t> OverheadBytes() override;
  Status WatchDriver() override { return cuda::WatchDriver(); }
  DriverCalls driver_calls() const override { return CountedDriverCalls(); }
  void PushMark(const char* name) override { PushRange(name); }
  void PopMark() override { PopRange(); }
  Status InjectStickyFault(DeviceQueue& queue) override;

  Status MakeCurrent() override { return Check(cudaSetDevice(info_.ordinal), "cudaSetDevice"); }

  // Every call of queues and memory ends here, so that a sticky fault is remembered.
  Status Check(cudaError_t error, std::string_view call) {
    if (error == cudaSuccess) return OkStatus();
    if (IsSticky(error)) fault_.store(static_cast<int>(error), std::memory_order_release);
    return ToStatus(error, call);
  }

 private:
  const DeviceInfo info_;
  const uint64_t used_before_;  // of the GPU, by anybody, when this was opened
  std::atomic<int> fault_{0};
  std::atomic<uint64_t> allocated_{0};
};

class Queue final : public DeviceQueue {
 public:
  Queue(CudaDevice& device, cudaStream_t stream, cudaEvent_t start, cudaEvent_t stop)
      : device_(device), stream_(stream), start_(start), stop_(stop) {}
  ~Queue() override {
    (void)cudaEventDestroy(start_);
    (void)cudaEventDestroy(stop_);
    (void)cudaStreamDestroy(stream_);
  }

  void* native() const override { return stream_; }

  Status Upload(void* device, const void* host, size_t bytes) override {
    if (bytes == 0) return OkStatus();
    return device_.Check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_),
                         "cudaMemcpyAsync to the device");
  }
  Status Download(void* host, const void* device, size_t bytes) override {
    if (bytes == 0) return OkStatus();
    return device_.Check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_),
                         "cudaMemcpyAsync from the device");
  }
  Status Fill(void* device, int byte, size_t bytes) override {
    if (bytes == 0) return OkStatus();
    return device_.Check(cudaMemsetAsync(device, byte, bytes, stream_), "cudaMemsetAsync");
  }
  Status CopyPieces(const Piece* entries, const uint32_t* count) override {
    return EnqueueCopyPieces(entries, count, stream_);
  }

  Status BeginCapture() override {
    return device_.Check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal),
                         "cudaStreamBeginCapture");
  }
  Result<std::unique_ptr<DeviceGraph>> EndCapture() override;
  void AbandonCapture() override {
    cudaGraph_t graph = nullptr;
    if (cudaStreamEndCapture(stream_, &graph) == cudaSuccess && graph != nullptr)
      (void)cudaGraphDestroy(graph);
    (void)cudaGetLastError();  // an abandoned capture's error is no one's news
  }
  Status Launch(const DeviceGraph& graph) override {
    return device_.Check(cudaGraphLaunch(static_cast<const Graph&>(graph).exec(), stream_),
                         "cudaGraphLaunch");
  }
  Status Synchronize() override {
    return device_.Check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }

  Status MarkStart() override {
    return device_.Check(cudaEventRecord(start_, stream_), "cudaEventRecord");
  }
  Status MarkStop() override {
    return device_.Check(cudaEventRecord(stop_, stream_), "cudaEventRecord");
  }
  Result<double> ElapsedMicroseconds() override {
    FUSEE_TRY(device_.Check(cudaEventSynchronize(stop_), "cudaEventSynchronize"));
    float ms = 0;
    FUSEE_TRY(device_.Check(cudaEventElapsedTime(&ms, start_, stop_), "cudaEventElapsedTime"));
    return static_cast<double>(ms) * 1000;
  }

 private:
  CudaDevice& device_;
  cudaStream_t stream_;
  cudaEvent_t start_, stop_;
};

Result<std::unique_ptr<DeviceGraph>> Queue::EndCapture() {
  cudaGraph_t graph = nullptr;
  FUSEE_TRY(device_.Check(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture"));
  size_t nodes = 0;
  cudaGraphExec_t exec = nullptr;
  Status status = device_.Check(cudaGraphGetNodes(graph, nullptr, &nodes), "cudaGraphGetNodes");
  if (status.ok())
    status = device_.Check(cudaGraphInstantiate(&exec, graph, 0), "cudaGraphInstantiate");
  (void)cudaGraphDestroy(graph);
  FUSEE_TRY(std::move(status));
  auto result = std::make_unique<Graph>(exec, nodes);
  FUSEE_TRY(device_.Check(cudaGraphUpload(exec, stream_), "cudaGraphUpload"));
  FUSEE_TRY(Synchronize());
  return std::unique_ptr<DeviceGraph>(std::move(result));
}

Result<std::unique_ptr<DeviceMemory>> CudaDevice::Allocate(size_t bytes) {
  FUSEE_TRY(MakeCurrent());
  void* data = nullptr;
  if (bytes > 0) {
    if (Status status = Check(cudaMalloc(&data, bytes), "cudaMalloc"); !status.ok()) {
      size_t free_bytes = 0, total = 0;
      (void)cudaMemGetInfo(&free_bytes, &total);
      (void)cudaGetLastError();  // out of memory is not sticky
      return std::move(status).Annotate(fmt::format("{} bytes on {} ({} of {} bytes free)", bytes,
                                                    info_.name, free_bytes, total));
    }
    allocated_ += bytes;
  }
  return std::unique_ptr<DeviceMemory>(
      std::make_unique<Memory>(Memory::Kind::kDevice, data, nullptr, bytes, &allocated_));
}

Result<std::unique_ptr<DeviceMemory>> CudaDevice::AllocateHost(size_t bytes) {
  FUSEE_TRY(MakeCurrent());
  void* host = nullptr;
  void* device = nullptr;
  // At least one byte, so that an empty block has an address too.
  FUSEE_TRY(Check(
      cudaHostAlloc(&host, bytes == 0 ? 1 : bytes, cudaHostAllocMapped | cudaHostAllocPortable),
      "cudaHostAlloc"));
  std::memset(host, 0, bytes);
  Status status = Check(cudaHostGetDevicePointer(&device, host, 0), "cudaHostGetDevicePointer");
  auto memory = std::make_unique<Memory>(Memory::Kind::kHost, device, host, bytes, &allocated_);
  FUSEE_TRY(std::move(status));
  return std::unique_ptr<DeviceMemory>(std::move(memory));
}

Result<std::unique_ptr<DeviceMemory>> CudaDevice::RegisterHost(void* host, size_t bytes) {
  FUSEE_TRY(MakeCurrent());
  void* device = nullptr;
  FUSEE_TRY(Check(cudaHostRegister(host, bytes, cudaHostRegisterMapped | cudaHostRegisterPortable),
                  "cudaHostRegister"));
  Status status = Check(cudaHostGetDevicePointer(&device, host, 0), "cudaHostGetDevicePointer");
  auto memory =
      std::make_unique<Memory>(Memory::Kind::kRegistered, device, host, bytes, &allocated_);
  FUSEE_TRY(std::move(status));
  return std::unique_ptr<DeviceMemory>(std::move(memory));
}

Result<std::unique_ptr<DeviceQueue>> CudaDevice::CreateQueue() {
  FUSEE_TRY(MakeCurrent());
  cudaStream_t stream = nullptr;
  cudaEvent_t start = nullptr, stop = nullptr;
  FUSEE_TRY(Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate"));
  Status status = Check(cudaEventCreate(&start), "cudaEventCreate");
  if (status.ok()) status = Check(cudaEventCreate(&stop), "cudaEventCreate");
  auto queue = std::make_unique<Queue>(*this, stream, start, stop);
  FUSEE_TRY(std::move(status));
  return std::unique_ptr<DeviceQueue>(std::move(queue));
}

Result<uint64_t> CudaDevice::OverheadBytes() {
  FUSEE_TRY(MakeCurrent());
  size_t free_bytes = 0, total = 0;
  FUSEE_TRY(Check(cudaMemGetInfo(&free_bytes, &total), "cudaMemGetInfo"));
  const uint64_t used = total - free_bytes;
  const uint64_t ours = used > used_before_ ? used - used_before_ : 0;
  return ours > allocated_ ? ours - allocated_ : 0;
}

Status CudaDevice::InjectStickyFault(DeviceQueue& queue) {
  FUSEE_TRY(EnqueueTrap(queue.native()));
  return queue.Synchronize();
}

// Bytes in use on the GPU before this process has a context there; 0 when the driver does not say.
// Asking needs a context, so the figure counts this process's own: it is a lower bound of overhead.
Result<DeviceInfo> Describe(int ordinal) {
  cudaDeviceProp prop{};
  FUSEE_CUDA_TRY(cudaGetDeviceProperties(&prop, ordinal));
  DeviceInfo info;
  info.kind = DeviceKind::kCuda;
  info.ordinal = ordinal;
  info.name = prop.name;
  info.compute_capability = prop.major * 10 + prop.minor;
  info.multiprocessors = prop.multiProcessorCount;
  info.memory_bytes = prop.totalGlobalMem;
  info.l2_bytes = static_cast<uint64_t>(prop.l2CacheSize);
  FUSEE_CUDA_TRY(cudaDriverGetVersion(&info.driver_version));
  size_t free_bytes = 0, total = 0;
  FUSEE_CUDA_TRY(cudaMemGetInfo(&free_bytes, &total));
  info.memory_free_bytes = free_bytes;
  info.cublaslt_version = CublasLtVersion();
  info.cudnn_version = CudnnVersion();
  return info;
}

}  // namespace

Result<int> DeviceCount() {
  int count = 0;
  FUSEE_CUDA_TRY(cudaGetDeviceCount(&count));
  return count;
}

Result<std::unique_ptr<Device>> OpenDevice(int ordinal) {
  FUSEE_TRY(const int count, DeviceCount());
  if (ordinal < 0 || ordinal >= count) {
    return Unavailable(
        fmt::format("cuda:{}: this process sees {} GPUs; cuda:0 is the first", ordinal, count));
  }
  FUSEE_CUDA_TRY(cudaSetDevice(ordinal));
  FUSEE_CUDA_TRY(cudaSetDeviceFlags(cudaDeviceScheduleSpin | cudaDeviceMapHost));
  FUSEE_CUDA_TRY(cudaFree(nullptr));  // makes the context now
  FUSEE_TRY(DeviceInfo info, Describe(ordinal));
  const uint64_t used = info.memory_bytes - info.memory_free_bytes;
  return std::unique_ptr<Device>(std::make_unique<CudaDevice>(std::move(info), used));
}

}  // namespace fusee::cuda
