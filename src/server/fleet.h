// The devices of a server: what is there, what is ready, loading models on all of them, running a
// batch on one.
//
// supervisor.h is the fleet of worker processes; SingleDevice below is one executor in this
// process.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ipc/executor.h"
#include "ipc/memory.h"
#include "obs/metrics.h"
#include "server/probation.h"

namespace fusee::server {

// Kinds of devices that one server may have: a request's shape is judged once for each.
inline constexpr size_t kDeviceKindsMax = 4;
inline constexpr size_t kDevicesMax = 64;

struct DeviceInfo {
  std::string name;  // "cpu:0": unique; stands in responses and metrics
  std::string kind;  // "cpu": devices of one kind run the same plans
};

// One model as the repository has it: a plan for each kind of device, in the order in which kinds
// are to be used.
struct ModelSource {
  struct Plan {
    std::string kind, path;
  };
  std::string name;
  int64_t version = 0;
  std::vector<Plan> plans;
};

// A model on one kind of device, or why it is not there. kUnavailable: no device of the kind is
// there now; one may come.
struct KindModel {
  std::string kind;
  Result<std::shared_ptr<const ipc::Model>> model;  // shared with the fleet
};

// Told what happens to devices, on a thread of the fleet's that must not be blocked. May call the
// fleet.
class FleetListener {
 public:
  virtual ~FleetListener() = default;
  // The device takes batches of these models from now on, for a while perhaps on probation.
  virtual void OnDeviceReady(size_t device, std::vector<const ipc::Model*> models,
                             Probation probation) = 0;
  // It takes no more. A batch that it had is reported lost to its BatchListener afterwards.
  virtual void OnDeviceLost(size_t device) = 0;
  // A kind that was not there when the models were loaded has come: model index as in LoadAll.
  virtual void OnModelArrived(size_t model, KindModel on_kind) = 0;
};

// Thread-safe but for LoadAll.
class Fleet {
 public:
  virtual ~Fleet() = default;
  // Constant for the fleet's life.
  virtual std::span<const DeviceInfo> devices() const = 0;
  virtual ipc::RequestMemory request_memory() = 0;
  // Before LoadAll. Both outlive the fleet's last call, see Shutdown. What the fleet counts
  // (deaths, states) goes to the registry's devices.
  virtual void Attach(FleetListener* listener, obs::Registry* registry) = 0;

  // Loads every model on every device that has a plan for it and calls settled for each, in order,
  // on the calling thread, once no kind of device is still to be heard of; stops early when settled
  // returns false. Call once. Blocks; Interrupt makes it return.
  virtual void LoadAll(
      std::span<const ModelSource> models,
      const std::function<bool(size_t model, std::vector<KindModel>)>& settled) = 0;
  virtual void Interrupt() = 0;

  // As ipc::Executor::Execute. A device that is not ready reports the batch lost.
  virtual void Execute(size_t device, const ipc::Batch& batch, ipc::BatchListener* listener) = 0;
  // Keeps memory that a lost batch may still write to until its device cannot any more.
  virtual void KeepUntilDead(size_t device, ipc::Block block) = 0;

  // Ends all devices; batches still running are reported lost or not at all. No call to a listener
  // happens after it returned.
  virtual void Shutdown() = 0;
};

// One executor as a fleet of one device, always ready. Models are loaded one after another.
class SingleDevice final : public Fleet {
 public:
  explicit SingleDevice(ipc::Executor* executor, DeviceInfo info = {"cpu:0", "cpu"});
  std::span<const DeviceInfo> devices() const override { return {&info_, 1}; }
  ipc::RequestMemory request_memory() override { return memory_; }
  void Attach(FleetListener* listener, obs::Registry*) override { listener_ = listener; }
  void LoadAll(std::span<const ModelSource> models,
               const std::function<bool(size_t, std::vector<KindModel>)>& settled) override;
  void Interrupt() override {}
  void Execute(size_t, const ipc::Batch& batch, ipc::BatchListener* listener) override {
    executor_->Execute(batch, listener);
  }
  void KeepUntilDead(size_t, ipc::Block) override {}
  void Shutdown() override {}

 private:
  ipc::Executor* const executor_;
  const DeviceInfo info_;
  const ipc::RequestMemory memory_;
  FleetListener* listener_ = nullptr;
  std::vector<const ipc::Model*> held_;
};

}  // namespace fusee::server
