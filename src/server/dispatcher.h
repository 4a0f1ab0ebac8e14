// Joins schedulers, one for each device, with the fleet and real time: the one place where requests
// wait.
//
//                 +--> [scheduler of cuda:0] --+
//  --Submit-------+--> [scheduler of cpu:0]  --+--Execute--> fleet --OnBatchDone--> done callbacks
//   by the model's +-> [scheduler of cpu:1]  --+               |
//   device order          ^   moves              <-- device lost: what waits moves to the others,
//                         +-------------------------- its batch is run again there, once
//
// A request goes to the first kind of device, in its model's order, that is ready and can answer it
// in time; among devices of one kind, to the one with the least to do. A device that has nothing to
// do takes from one of its kind that has.
//
// A device on probation is passed over for all but its share of the requests that would be its own
// (probation.h), as long as another that is not can take them. One that all others refuse is
// offered to it all the same: an answer from a device on probation is better than none.
//
// A request that was in flight when its device ended may be why it ended (poison.h). It is run once
// more, alone:
//
//   batch [A B C] on cuda:0, which ends     all three are suspects
//   cpu:0 queue: [A] [B] [C]                A is answered: innocent
//   [B] runs, cpu:0 ends                    twice in flight, and alone: poisonous, answered 422,
//                                           and so is every request like it, here or yet to come
//   [C] is parked until any device is back  it cannot have been the one; answered in the end
//
// A request is refused by Submit, or its `done` is called exactly once. One mutex guards the
// schedulers; nothing slow happens under it. What a request was through is remembered under that
// mutex too, before anybody is told, so that none with the same bytes slips in between; a thread of
// the dispatcher's hashes it afterwards.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "sched/scheduler.h"
#include "server/fleet.h"
#include "server/poison.h"
#include "server/repository.h"

namespace fusee::server {

// A request whose device ended is run once more, not for ever: it may be what ends devices.
inline constexpr uint32_t kReplaysMax = 1;
// One whose batch had not begun has done nothing, and keeps its replay; but not for ever either.
inline constexpr uint32_t kBlamelessReplaysMax = 8;
// What a client is told to wait when no device can take its request.
inline constexpr Duration kNoDeviceRetry = std::chrono::seconds(1);

// One inference in flight.
struct InferCall {
  std::shared_ptr<const ServedModel> model;  // keeps it loaded
  std::vector<ConstTensorView> inputs;
  std::vector<TensorView> outputs;     // written when done with an ok Status
  std::shared_ptr<const void> memory;  // whatever inputs lie in
  ipc::Block output_memory;            // what outputs lie in, from its start on
  std::vector<RequestShape> shapes;    // by ServedModel::kinds
  uint64_t bytes = 0;                  // of the inputs and outputs
  TimePoint arrival, deadline;
  // Called once, on a thread of the fleet's or the dispatcher's; must not block and takes the call
  // over. kDeadlineExceeded: the deadline passed in the queue or while running. kCancelled: by
  // Cancel. kUnavailable: shutting down, or the device ended and no other could take over in time.
  std::function<void(std::unique_ptr<InferCall>, Status)> done;

  // Set by the dispatcher.
  uint64_t id = 0;
  sched::Ticket ticket;  // in the scheduler of the device where it waits
  bool waits = false;
  uint32_t replays = 0, blameless_replays = 0;
  bool alone = false;                      // a suspect: shares its batch with nobody
  uint32_t deaths_before = 0;              // with the same bytes, before this request came
  std::vector<std::string> died_on;        // kinds of the devices that ended with it in flight
  bool died_alone = false;                 // the last time
  std::string survived_on;                 // kind of the device that ran it to its end
  std::optional<Fingerprint> fingerprint;  // once known
  bool poisonous = false;                  // with an error: answered as poison.h says
  std::string served_by;                   // the device that answered
  Duration retry_after{};  // with an error: when to try again; zero: nothing is known
};

// Gives every output its place in one block from `source`. False, and the call unchanged, when
// there is no room.
bool PlaceOutputs(ipc::BlockSource& source, InferCall* call);

class Dispatcher final {
 public:
  // fleet, clock and registry outlive it.
  Dispatcher(const sched::Limits& limits, Fleet* fleet, obs::Registry* registry,
             const Clock* clock);
  ~Dispatcher();

  // Makes a loaded model schedulable on every device of these kinds, in this order. first_choice:
  // the kind that it should run on, which may be missing. Errors: kResourceExhausted (too many
  // models).
  Result<std::shared_ptr<const ServedModel>> AddModel(
      std::vector<std::pair<std::string, std::shared_ptr<const ipc::Model>>> kinds,
      std::string first_choice, std::shared_ptr<obs::Metrics> metrics, Duration deadline_min);
  // The same model with one more kind of device, at position `at` of its order.
  Result<std::shared_ptr<const ServedModel>> ExtendModel(const ServedModel& served, size_t at,
                                                         std::string kind,
                                                         std::shared_ptr<const ipc::Model> model,
                                                         Duration deadline_min);

  struct Refused {
    Status status;
    Duration retry_after{};  // zero: retrying does not help
    obs::Reason reason = obs::Reason::kOther;
    bool poisonous() const { return reason == obs::Reason::kPoisonous; }
  };
  // Names an admitted call for Cancel, wherever it has moved since.
  struct Handle {
    uint64_t id = 0;
    size_t device = 0;  // where it was put first, and in which slot: where to look first
    uint32_t slot = 0;
  };
  struct Admitted {
    Handle handle;
    bool waits = false;  // false: it runs already, or is answered; there is nothing to Cancel
  };
  // Takes the call when it is admitted; otherwise says why, and the call is gone. Thread-safe.
  std::variant<Admitted, Refused> Submit(std::unique_ptr<InferCall> call);

  // Ends a call that still waits, with kCancelled: nobody wants its answer. False when it does not
  // wait (any more): what runs is not interrupted, because it shares its batch. Thread-safe. Cost:
  // one look, or a look at every slot when the call has moved to another device.
  bool Cancel(const Handle& handle);

  // Whether a request would be refused whatever it asks for: worth knowing before its body is read.
  bool Full() const;
  // Whether any device takes batches now.
  bool AnyReady() const;
  uint32_t pending() const { return pending_.load(std::memory_order_relaxed); }

  // From the fleet.
  void OnDeviceReady(size_t device, std::vector<const ipc::Model*> models, Probation probation);
  void OnDeviceLost(size_t device);

  // Answers what waits with kUnavailable, refuses what comes, waits for the running batches at most
  // this long. False when one is still running: then this object must outlive it, come what may.
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
  struct Start {
    size_t device;
    ipc::Batch batch;
  };
  // What has to happen once the lock is released.
  struct Todo {
    std::vector<Start> starts;
    std::vector<Finished> finished;
    std::vector<std::pair<size_t, ipc::Block>> kept;  // device, memory
  };
  // One device as its scheduler and the requests in it. All but the constants guarded by mutex_.
  struct Lane final : ipc::BatchListener {
    Lane(Dispatcher* o, size_t i, const DeviceInfo& d, const sched::Limits& limits,
         std::shared_ptr<obs::Metrics> m);
    void OnBatchDone(ipc::BatchResult result) override {
      owner->OnBatchDone(*this, std::move(result));
    }
    bool Holds(const ServedModel& model, size_t kind) const;
    // Keeps a call that its scheduler has admitted.
    void Keep(sched::Ticket ticket, std::unique_ptr<InferCall> call);

    Dispatcher* const owner;
    const size_t index;
    const DeviceInfo info;
    const std::shared_ptr<obs::Metrics> metrics;  // shared with the registry
    sched::Scheduler scheduler;
    std::vector<std::unique_ptr<InferCall>> calls;  // by ticket slot
    Running running;                                // its spans are read by the fleet
    bool ready = false;
    Probation probation;
    ShareSpreader spreader;
    std::vector<const ipc::Model*> models;  // that it holds while ready, sorted
  };

  void OnBatchDone(Lane& lane, ipc::BatchResult result);
  // All of these need mutex_ held. Place puts a call into the queue of a device that can answer it
  // in time, or leaves it and says why not.
  std::optional<Refused> PlaceLocked(std::unique_ptr<InferCall>* call, TimePoint now,
                                     const Lane* except, Handle* placed = nullptr);
  Lane* FindLocked(const Handle& handle, uint32_t* slot) const;
  // Where a call may go, in the order in which to ask.
  struct Choice {
    Lane* lane;
    size_t kind;  // of the call's model
  };
  std::vector<Choice> ChoicesLocked(const InferCall& call, const Lane* except, TimePoint now);
  void FinishBatchLocked(Lane& lane, const ipc::BatchResult& result, TimePoint now, Todo* todo);
  // A device ends (dispatcher_faults.cc). Suspects of its queue are parked until its batch has been
  // judged and some device can take them.
  void LoseBatchLocked(Lane& lane, bool blameless, TimePoint now, Todo* todo);
  void MoveQueueLocked(Lane& lane, TimePoint now, Todo* todo);
  void UnparkLocked(TimePoint now, Todo* todo);
  // Answers what waits and has the same bytes.
  void RefuseTwinsLocked(const InferCall& poisonous, Todo* todo);
  void FinishPoisonousLocked(std::unique_ptr<InferCall> call, Todo* todo);
  void StealLocked(Lane& lane, TimePoint now);
  void ExpireLocked(Lane& lane, TimePoint now, Todo* todo);
  void ExpireParkedLocked(TimePoint now, Todo* todo);
  void FinishExpiredLocked(std::unique_ptr<InferCall> call, Todo* todo);
  // The call is over: remembers what it was through, and lets Proceed call its `done`.
  void FinishLocked(std::unique_ptr<InferCall> call, Status status, Todo* todo);
  void RememberLocked(const InferCall& call);
  // Every ready and idle device gets its next batch, if any.
  void StartLocked(TimePoint now, Todo* todo);
  void StartLaneLocked(Lane& lane, TimePoint now, Todo* todo);
  std::optional<TimePoint> NextExpiryLocked() const;
  bool IdleLocked() const;
  uint64_t BytesLocked() const;  // of all that wait or run

  // Without the lock.
  void Proceed(Todo* todo);
  // Of a thread: hashes and enters what was remembered.
  void EnterRemembered();
  static void CountBroken(obs::Metrics& metrics, obs::Reason reason);
  void WatchDeadlines();

  Fleet* const fleet_;
  const Clock* const clock_;
  const sched::Limits limits_;
  const ipc::RequestMemory memory_;
  mutable std::mutex mutex_;
  std::condition_variable changed_, remembered_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // by device; what they hold is guarded by mutex_
  std::vector<std::unique_ptr<InferCall>> parked_;  // bounded by pending_; guarded by mutex_
  PoisonTable poison_;
  bool stopping_ = false;             // guarded by mutex_
  uint64_t calls_named_ = 0;          // guarded by mutex_
  int answering_ = 0;                 // OnBatchDone calls past their lock; guarded by mutex_
  std::optional<TimePoint> watched_;  // what the watcher sleeps until; guarded by mutex_
  std::atomic<uint32_t> pending_{0};
  std::thread watcher_, recorder_;
};

}  // namespace fusee::server
