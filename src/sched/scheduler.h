// Decides which requests get in, which run together and when: a pure state machine over one device.
// A server with several devices has one Scheduler for each, and moves requests between them by
// Cancel and Admit.
//
//            Admit            NextBatch        Complete, Abandon
//   (free) ---------> queued -----------> running ------------> (free)
//                        |
//                        | Expire (its deadline can no longer be met), Cancel
//                        v
//                     (free)
//
// Policy, the first cut of "book, reserve, stand by": a request is admitted only if the whole
// queue, replanned with it in earliest-deadline-first order and in batches of compatible requests,
// still meets every admitted deadline according to the plans' latency tables. Hence what was
// admitted is answered in time unless a batch runs longer than predicted, and what cannot be
// answered is refused at once, while its client can still do something else. The device never idles
// while anything waits.
//
// Requests are compatible when model and shape key are equal and neither has to run alone; a batch
// holds at most the model's row cap: the knee of its latency table, so that nobody waits for rows
// that add no throughput.
//
// No socket, thread, device or clock: the caller passes the time in. No allocation after
// construction. Thread-safety: none; the owner serialises calls.
//
// Cost, of Q queued requests: Admit is O(1) for a request at the tail of a queue of one kind, else
// it replans. A replan forms batches, each walking its model's list past what earlier batches took:
// O(Q) when those lie at the front of the list, O(Q^2) at worst, with deadlines interleaved between
// many shapes. A refusal may replan twice. NextBatch and Expire are O(Q). Whoever sets
// Limits::requests bounds all of it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <variant>

#include "base/clock.h"
#include "base/status.h"
#include "base/strong_id.h"
#include "sched/latency_table.h"

namespace fusee::sched {

using ModelIndex = StrongId<struct ModelIndexTag>;

inline constexpr int kLatencyClassesMax = 8;
inline constexpr uint32_t kBatchRequestsMax = 256;

struct Limits {
  uint32_t requests = 1024;       // queued and running together
  uint64_t bytes = 256ull << 20;  // their payload
  uint32_t models = 256;
  // Kept between a predicted finish and the deadline, for waking up, copying and writing the
  // answer.
  Duration guard = std::chrono::microseconds(500);
};

// What the scheduler knows of a model. latency[c] belongs to shape class c (a tuned point of the
// plan's other dimensions); at least one, possibly empty.
struct ModelProfile {
  uint32_t rows_max = 1;  // rows in one batch; 1 for models that are not batched
  bool batchable = false;
  Duration deadline_min = std::chrono::hours(
      1);  // shortest deadline expected: no batch takes more than a quarter of it
  std::array<LatencyTable, kLatencyClassesMax> latency;
};

// Exact identity of everything of a request's shapes but the batch dimension; requests batch only
// when equal.
struct ShapeKey {
  uint64_t high = 0, low = 0;
  friend bool operator==(const ShapeKey&, const ShapeKey&) = default;
};

struct RequestMeta {
  ModelIndex model;
  TimePoint arrival;
  TimePoint deadline;  // absolute
  uint32_t rows = 1;   // 1..rows_max
  uint64_t bytes = 0;
  ShapeKey shape;
  uint8_t latency_class = 0;  // index into ModelProfile::latency
  bool alone = false;         // shares its batch with nobody
};

enum class RequestState : uint8_t { kFree, kQueued, kRunning };

// Names an admitted request until it is free again; slot is below Limits::requests and may index
// the owner's table.
struct Ticket {
  uint32_t slot = 0;
  uint32_t generation = 0;
  friend bool operator==(const Ticket&, const Ticket&) = default;
};

enum class RefusalReason : uint8_t {
  kQueueFull,   // Limits::requests
  kQueueBytes,  // Limits::bytes
  kLate,        // would miss its deadline, or make an admitted one miss
  kImpossible,  // its deadline is shorter than the model's own time: retrying will not help
};
std::string_view RefusalReasonName(RefusalReason reason);

struct Refusal {
  RefusalReason reason = RefusalReason::kQueueFull;
  // When the same request would probably have been admitted; zero when unknown or never.
  Duration retry_after{};
  Duration predicted{};  // arrival to predicted answer (kLate, kImpossible)
};

using Admission = std::variant<Ticket, Refusal>;

struct PlannedBatch {
  uint64_t id = 0;
  ModelIndex model;
  uint32_t rows = 0;
  TimePoint start, predicted_finish;
  uint32_t count = 0;
  std::array<Ticket, kBatchRequestsMax> tickets;
  std::span<const Ticket> requests() const { return {tickets.data(), count}; }
};

// One stamp per move of one request, for histograms and traces.
struct Stamps {
  TimePoint arrival, queued, started;
};

class Scheduler {
 public:
  explicit Scheduler(const Limits& limits);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Errors: kResourceExhausted beyond Limits::models.
  Result<ModelIndex> AddModel(const ModelProfile& profile);
  // Precondition: none of its requests is queued or running (see pending).
  void RemoveModel(ModelIndex model);

  // Precondition: the model exists and rows is within 1..rows_max.
  Admission Admit(const RequestMeta& request, TimePoint now);

  // Starts the next batch if the device is free and anything waits. The tickets' requests are then
  // running.
  std::optional<PlannedBatch> NextBatch(TimePoint now);

  // The running batch is over; its tickets become free. Returns how long it ran. learn false: the
  // time is not the batch's own (it waited for something that is no batch), so the latency table
  // does not see it.
  Duration Complete(const PlannedBatch& batch, TimePoint now, bool learn = true);

  // The running batch will not end: its device is gone. Its tickets become free; nothing is learned
  // from the time it took.
  void Abandon(const PlannedBatch& batch);

  // The most urgent queued request; nullopt when nothing is queued.
  std::optional<Ticket> First() const;

  // Takes out queued requests whose deadline has passed or can no longer be met even alone; writes
  // their tickets, which are free afterwards, and returns how many. Call again while it returns
  // out.size().
  size_t Expire(TimePoint now, std::span<Ticket> out);

  // Takes out one queued request. False when it is not queued (running, or answered already).
  bool Cancel(Ticket ticket);

  // When Expire should be called at the latest; nullopt when nothing is queued.
  std::optional<TimePoint> NextExpiry() const;

  const RequestMeta& request(Ticket ticket) const;
  Stamps stamps(Ticket ticket) const;
  bool running() const;
  uint32_t queued() const;
  uint32_t pending(ModelIndex model) const;  // queued and running
  uint64_t bytes() const;
  const ModelProfile& profile(ModelIndex model) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fusee::sched
