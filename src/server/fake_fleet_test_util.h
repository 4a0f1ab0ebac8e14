// For tests: a fleet that a test holds in its hands.
#pragma once

#include <condition_variable>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/fleet.h"
#include "server/test_util.h"

namespace fusee::server {

// Devices whose batches wait until the test lets them go. Each kind has its own model object.
class FakeFleet final : public Fleet {
 public:
  explicit FakeFleet(std::vector<DeviceInfo> devices) : devices_(std::move(devices)) {
    running_.resize(devices_.size());
  }

  std::span<const DeviceInfo> devices() const override { return devices_; }
  ipc::RequestMemory request_memory() override { return memory_; }
  void Attach(FleetListener* listener, obs::Registry*) override { listener_ = listener; }
  void LoadAll(std::span<const ModelSource> models,
               const std::function<bool(size_t, std::vector<KindModel>)>& settled) override {
    for (size_t m = 0; m < models.size(); ++m) {
      std::vector<KindModel> kinds;
      for (const auto& plan : models[m].plans) {
        std::ifstream file(plan.path);
        std::string kind;
        file >> kind;
        if (kind == "absent") {
          late_ = std::make_shared<FakeModel>("identity", models[m].name, models[m].version);
          kinds.push_back({plan.kind, Unavailable("not there")});
          continue;
        }
        auto model = std::make_shared<FakeModel>(kind, models[m].name, models[m].version);
        models_[plan.kind].push_back(model);
        kinds.push_back({plan.kind, std::shared_ptr<const ipc::Model>(model)});
      }
      if (!settled(m, std::move(kinds))) return;
    }
  }
  void Interrupt() override {}
  void Execute(size_t device, const ipc::Batch& batch, ipc::BatchListener* listener) override {
    const std::lock_guard lock(mutex_);
    running_[device] = {batch, listener};
    changed_.notify_all();
  }
  void KeepUntilDead(size_t device, ipc::Block block) override {
    const std::lock_guard lock(mutex_);
    kept_.push_back(std::move(block));
  }
  void Shutdown() override {}

  // --- the test's hands ---
  // Without LoadAll: what devices of a kind hold.
  void Hold(const std::string& kind, std::shared_ptr<FakeModel> model) {
    models_[kind].push_back(std::move(model));
  }
  void Up(size_t device, Probation probation = {}) {
    std::vector<const ipc::Model*> held;
    for (const auto& m : models_[devices_[device].kind]) held.push_back(m.get());
    listener_->OnDeviceReady(device, held, probation);
  }
  // The device ends; a batch it had is lost.
  void Down(size_t device, bool blameless = false) {
    listener_->OnDeviceLost(device);
    if (auto one = Take(device)) {
      one->second->OnBatchDone({.id = one->first.id,
                                .status = Unavailable("gone"),
                                .lost = true,
                                .blameless = blameless});
    }
  }
  // Requests in the device's batch.
  size_t Items(size_t device) {
    const std::lock_guard lock(mutex_);
    return running_[device] ? running_[device]->first.items.size() : 0;
  }
  void WaitForBatch(size_t device) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return running_[device].has_value(); });
  }
  bool Busy(size_t device) {
    const std::lock_guard lock(mutex_);
    return running_[device].has_value();
  }
  // Answers the device's batch; late writes of a lost one go where the lost one pointed.
  void Finish(size_t device) {
    WaitForBatch(device);
    auto one = Take(device);
    for (const ipc::BatchItem& item : one->first.items) {
      std::memcpy(item.outputs[0].data, item.inputs[0].data,
                  static_cast<size_t>(item.inputs[0].size_bytes()));
    }
    one->second->OnBatchDone({.id = one->first.id});
  }
  void* OutputOf(size_t device) {
    const std::lock_guard lock(mutex_);
    return running_[device]->first.items[0].outputs[0].data;
  }
  void Arrive(size_t model, const std::string& kind) {
    models_[kind].push_back(late_);
    listener_->OnModelArrived(model, {kind, std::shared_ptr<const ipc::Model>(late_)});
  }
  size_t kept() {
    const std::lock_guard lock(mutex_);
    return kept_.size();
  }

 private:
  using One = std::pair<ipc::Batch, ipc::BatchListener*>;
  std::optional<One> Take(size_t device) {
    const std::lock_guard lock(mutex_);
    return std::exchange(running_[device], std::nullopt);
  }

  const std::vector<DeviceInfo> devices_;
  const ipc::RequestMemory memory_ = ipc::HeapMemory();
  FleetListener* listener_ = nullptr;
  std::map<std::string, std::vector<std::shared_ptr<FakeModel>>> models_;
  std::shared_ptr<FakeModel> late_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::optional<One>> running_;
  std::vector<ipc::Block> kept_;
};

}  // namespace fusee::server
