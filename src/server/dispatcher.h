// Joins the scheduler with an executor and real time: the one place where requests wait.
//
//   HTTP threads --Submit--> [scheduler] --Execute--> executor
//                                 ^                      |
//                                 +------OnBatchDone-----+--> done callbacks
//
// A request is refused by Submit, or its `done` is called exactly once. One mutex guards the
// scheduler; nothing slow happens under it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "ipc/executor.h"
#include "sched/scheduler.h"
#include "server/repository.h"

namespace fusee::server {

// One inference in flight.
struct InferCall {
  std::shared_ptr<const ServedModel> model;  // keeps it loaded
  std::vector<ConstTensorView> inputs;
  std::vector<TensorView> outputs;     // written when done with an ok Status
  std::shared_ptr<const void> memory;  // whatever inputs and outputs lie in
  RequestShape shape;
  uint64_t bytes = 0;  // of the inputs and outputs
  TimePoint arrival, deadline;
  // Called once, on a thread of the executor's or the dispatcher's; must not block and takes the
  // call over. kDeadlineExceeded: the deadline passed in the queue or while running. kUnavailable:
  // shutting down.
  std::function<void(std::unique_ptr<InferCall>, Status)> done;
};

class Dispatcher final : public ipc::BatchListener {
 public:
  // executor and clock outlive it.
  Dispatcher(const sched::Limits& limits, ipc::Executor* executor, const Clock* clock);
  ~Dispatcher() override;

  // Makes a loaded model schedulable. Errors: kResourceExhausted (too many models).
  Result<std::shared_ptr<const ServedModel>> AddModel(std::shared_ptr<const ipc::Model> model,
                                                      std::shared_ptr<obs::Metrics> metrics,
                                                      Duration deadline_min);

  struct Refused {
    Status status;
    Duration retry_after{};  // zero: retrying does not help
    obs::Reason reason = obs::Reason::kOther;
  };
  // Takes the call when it is admitted; otherwise says why, and the call is gone. Thread-safe.
  std::optional<Refused> Submit(std::unique_ptr<InferCall> call);

  // Whether a request would be refused whatever it asks for: worth knowing before its body is read.
  bool Full() const;
  uint32_t pending() const { return pending_.load(std::memory_order_relaxed); }

  void OnBatchDone(ipc::BatchResult result) override;

  // Answers what waits with kUnavailable, refuses what comes, waits for the running batch at most
  // this long. False when it is still running: then this object must outlive it, come what may.
  bool Stop(std::chrono::milliseconds timeout);

 private:
  struct Finished {
    std::unique_ptr<InferCall> call;
    Status status;
  };
  struct Running {
    sched::PlannedBatch batch;
    std::vector<ipc::BatchItem> items;
    std::vector<std::unique_ptr<InferCall>> calls;
    std::vector<sched::Stamps> stamps;
  };

  // Both need mutex_ held. ExpireLocked moves hopeless requests to *finished; StartLocked takes the
  // next batch, if any.
  void ExpireLocked(TimePoint now, std::vector<Finished>* finished);
  std::optional<ipc::Batch> StartLocked(TimePoint now);
  // Executes and answers, without the lock.
  void Proceed(const std::optional<ipc::Batch>& batch, std::vector<Finished>* finished);
  void WatchDeadlines();

  ipc::Executor* const executor_;
  const Clock* const clock_;
  const sched::Limits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  sched::Scheduler scheduler_;                     // guarded by mutex_
  std::vector<std::unique_ptr<InferCall>> calls_;  // by ticket slot; guarded by mutex_
  Running running_;                   // guarded by mutex_; its spans are read by the executor
  bool stopping_ = false;             // guarded by mutex_
  int answering_ = 0;                 // OnBatchDone calls past their lock; guarded by mutex_
  std::optional<TimePoint> watched_;  // what the watcher sleeps until; guarded by mutex_
  std::atomic<uint32_t> pending_{0};
  std::thread watcher_;
};

}  // namespace fusee::server
