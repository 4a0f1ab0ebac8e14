// The fleet of worker processes: starts them, hands them models and batches, watches them, replaces
// them.
//
//   HTTP threads --Execute--> request ring --> worker
//   one thread of ours:  reply rings, pidfds, timers --> listeners
//
// A worker is judged by worker_life.h; this file does what that says. Nothing a worker writes can
// harm the front: replies are copied and checked (ipc/ring.h, ipc/messages.h), and one that makes
// no sense makes its worker SUSPECT, which ends with its death and a new one.
//
// Order of events at a worker's end: replies that it had finished are delivered, OnDeviceLost, then
// its batch is reported lost. A worker that hangs is reported before its death is certain, so that
// nobody waits for it; memory it may still write to stays taken until it is (KeepUntilDead).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "server/fleet.h"
#include "server/worker_life.h"

namespace fusee::server {

// How often a worker may die while it loads a model before the model counts as the cause, and the
// others are loaded without it. Whatever ended it by itself or from outside counts for every worker
// of the kind. Wrong golden outputs count for this worker only, since its device may be the cause:
// such a model has one more try in each later life, and at once where the worker has nothing else
// to serve, which is how a device that computes everything wrongly ends in quarantine.
inline constexpr uint32_t kLoadDeathsMax = 2;

class Supervisor final : public Fleet {
 public:
  struct Device {
    DeviceInfo info;
    std::string open_as;  // what the worker opens: "cpu", "cuda:0"
    WorkerLimits limits;
    std::string faults;  // for tests: base/fault.h
  };
  struct Options {
    std::string worker_path;
    std::vector<Device> devices;
    int threads = 0;     // of each CPU worker; 0: the CPUs there are, divided by the CPU workers
    bool marks = false;  // GPU workers name batches and steps for a profiler
    uint64_t slab_bytes = uint64_t{1} << 30;  // of input tensors, and as much of outputs
  };

  // clock outlives it. Starts nothing yet. Errors: kInvalidArgument (no devices, too many), those
  // of shared memory.
  static Result<std::unique_ptr<Supervisor>> Create(Options options, const Clock* clock);
  ~Supervisor() override;

  std::span<const DeviceInfo> devices() const override;
  ipc::RequestMemory request_memory() override;
  void Attach(FleetListener* listener, obs::Registry* registry) override;
  void LoadAll(std::span<const ModelSource> models,
               const std::function<bool(size_t, std::vector<KindModel>)>& settled) override;
  void Interrupt() override;
  void Execute(size_t device, const ipc::Batch& batch, ipc::BatchListener* listener) override;
  void KeepUntilDead(size_t device, ipc::Block block) override;
  void Shutdown() override;

  // For tests and tools. The faults of the lives that begin from now on.
  void SetFaults(size_t device, std::string faults);
  WorkerState state(size_t device) const;
  pid_t pid(size_t device) const;  // -1: none now

 private:
  struct State;
  explicit Supervisor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fusee::server
