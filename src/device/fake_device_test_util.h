// A device made of host memory, for tests of what drives devices: work runs when it is enqueued, or
// is recorded and runs at each launch of its graph.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "device/device.h"

namespace fusee::testing {

class FakeMemory final : public DeviceMemory {
 public:
  // host: existing memory that is registered, or null. Host-visible memory is one block for both
  // sides.
  FakeMemory(size_t size, bool host_visible, void* host, int64_t* live)
      : size_(size), host_visible_(host_visible), host_(host), live_(live) {
    if (host_ == nullptr) block_.resize(size / sizeof(Unit) + 1);
    ++*live_;
  }
  ~FakeMemory() override { --*live_; }
  void* device_data() const override {
    return host_ != nullptr ? host_ : const_cast<Unit*>(block_.data());
  }
  void* host_data() const override { return host_visible_ ? device_data() : nullptr; }
  size_t size() const override { return size_; }

 private:
  struct alignas(64) Unit {
    std::byte bytes[64];
  };
  size_t size_;
  bool host_visible_;
  void* host_;
  int64_t* live_;
  std::vector<Unit> block_;
};

class FakeGraph final : public DeviceGraph {
 public:
  explicit FakeGraph(std::vector<std::function<Status()>> work) : work_(std::move(work)) {}
  size_t node_count() const override { return work_.size(); }
  Status Run() const {
    for (const auto& one : work_) FUSEE_TRY(one());
    return OkStatus();
  }

 private:
  std::vector<std::function<Status()>> work_;
};

class FakeQueue final : public DeviceQueue {
 public:
  void* native() const override { return const_cast<FakeQueue*>(this); }
  // What a fake kernel's Run calls: runs now, or is recorded. Counted.
  Status Enqueue(std::function<Status()> work) {
    if (capturing_) {
      recorded_.push_back(std::move(work));
      return OkStatus();
    }
    ++direct_;
    Status status = work();
    if (!status.ok() && error_.ok()) error_ = status;
    return OkStatus();
  }
  Status Upload(void* device, const void* host, size_t bytes) override {
    return Enqueue([=] { return Copy(device, host, bytes); });
  }
  Status Download(void* host, const void* device, size_t bytes) override {
    return Enqueue([=] { return Copy(host, device, bytes); });
  }
  Status Fill(void* device, int byte, size_t bytes) override {
    return Enqueue([=] {
      if (bytes > 0) std::memset(device, byte, bytes);
      return OkStatus();
    });
  }
  Status CopyPieces(const Piece* entries, const uint32_t* count) override {
    return Enqueue([=] {
      for (uint32_t i = 0; i < *count; ++i)
        FUSEE_TRY(Copy(entries[i].to, entries[i].from, entries[i].bytes));
      return OkStatus();
    });
  }
  Status BeginCapture() override {
    capturing_ = true;
    recorded_.clear();
    return OkStatus();
  }
  Result<std::unique_ptr<DeviceGraph>> EndCapture() override {
    capturing_ = false;
    return std::unique_ptr<DeviceGraph>(std::make_unique<FakeGraph>(std::move(recorded_)));
  }
  void AbandonCapture() override { capturing_ = false; }
  Status Launch(const DeviceGraph& graph) override {
    ++launches_;
    if (on_launch) on_launch();
    Status status = static_cast<const FakeGraph&>(graph).Run();
    if (!status.ok() && error_.ok()) error_ = status;
    return OkStatus();
  }
  Status Synchronize() override { return std::exchange(error_, OkStatus()); }
  // What work that runs says it takes of the device's time; tests script it.
  void Spend(double us) { spent_us_ += us; }
  Status MarkStart() override {
    spent_us_ = 0;
    return OkStatus();
  }
  Status MarkStop() override { return OkStatus(); }
  Result<double> ElapsedMicroseconds() override { return spent_us_ > 0 ? spent_us_ : 1.0; }

  std::function<void()> on_launch;  // what a test adds to every launch of a graph

  int64_t launches() const { return launches_; }
  int64_t direct() const { return direct_; }

 private:
  static Status Copy(void* to, const void* from, size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
    return OkStatus();
  }
  bool capturing_ = false;
  double spent_us_ = 0;
  std::vector<std::function<Status()>> recorded_;
  int64_t launches_ = 0, direct_ = 0;
  Status error_;
};

class FakeDevice final : public Device {
 public:
  FakeDevice() {
    info_.kind = DeviceKind::kCuda;
    info_.name = "fake GPU";
    info_.compute_capability = 90;
    info_.multiprocessors = 132;
    info_.memory_bytes = uint64_t{1} << 30;
    info_.driver_version = 13000;
  }
  const DeviceInfo& info() const override { return info_; }
  DeviceInfo& mutable_info() { return info_; }
  Result<std::unique_ptr<DeviceMemory>> Allocate(size_t bytes) override {
    allocated_ += bytes;
    ++allocations_;
    return Make(bytes, false, nullptr);
  }
  Result<std::unique_ptr<DeviceMemory>> AllocateHost(size_t bytes) override {
    return Make(bytes, true, nullptr);
  }
  Result<std::unique_ptr<DeviceMemory>> RegisterHost(void* host, size_t bytes) override {
    return Make(bytes, true, host);
  }
  Result<std::unique_ptr<DeviceQueue>> CreateQueue() override {
    auto queue = std::make_unique<FakeQueue>();
    last_queue_ = queue.get();
    return std::unique_ptr<DeviceQueue>(std::move(queue));
  }
  Status health() const override { return OkStatus(); }
  uint64_t allocated_bytes() const override { return allocated_; }
  Result<uint64_t> OverheadBytes() override { return uint64_t{0}; }
  Status InjectStickyFault(DeviceQueue&) override {
    return Status(StatusCode::kAborted, "injected");
  }
  Status WatchDriver() override {
    if (watch_status.ok()) watched_from_ = TotalCalls();
    return watch_status;
  }
  DriverCalls driver_calls() const override {
    if (!watched_from_) return {};
    const DriverCalls now = TotalCalls();
    return {now.allocations - watched_from_->allocations, now.frees - watched_from_->frees, 0};
  }
  Status watch_status;  // what WatchDriver answers
  void PushMark(const char* name) override {
    marks.push_back(std::string(open_marks_++ * 2, ' ') + name);
  }
  void PopMark() override { --open_marks_; }
  std::vector<std::string> marks;  // indented by two for each mark they lie in
  size_t open_marks() const { return open_marks_; }

  int64_t allocations() const { return allocations_; }
  int64_t live_memory() const { return live_; }
  FakeQueue* last_queue() const { return last_queue_; }

 private:
  DriverCalls TotalCalls() const {
    return {static_cast<uint64_t>(made_), static_cast<uint64_t>(made_ - live_), 0};
  }
  Result<std::unique_ptr<DeviceMemory>> Make(size_t bytes, bool host_visible, void* host) {
    ++made_;
    return std::unique_ptr<DeviceMemory>(
        std::make_unique<FakeMemory>(bytes, host_visible, host, &live_));
  }
  DeviceInfo info_;
  uint64_t allocated_ = 0;
  int64_t allocations_ = 0, live_ = 0, made_ = 0;
  std::optional<DriverCalls> watched_from_;
  size_t open_marks_ = 0;
  FakeQueue* last_queue_ = nullptr;
};

}  // namespace fusee::testing
