// What a worker process is doing and what is to be done about it: the supervision of one worker as
// a pure state machine, without processes, threads or clocks.
//
//             spawned          hello           all loaded
//   RESTARTING -----> STARTING -----> WARMING ----------> READY <--> (batch, ping, probe)
//     ^   ^               |              |  |               ^   |
//     |   |               |              |  |    5 s later  |   |
//     |   |               |              |  +-> PROBATION --+   |
//     |   |               |              |     after a crash |  |
//     |   |               +--- too slow, overdue, silent, nonsense ---> SUSPECT --kill--> (exit)
//     |   |                                                                                  |
//     |   +---------------------- exit, after a pause that doubles --------------------------+
//     |                                                                                      |
//     +-- QUARANTINED <--------- exit, too many short lives in a row ------------------------+
//
//   any --Drain--> DRAINING --exit--> STOPPED
//
// PROBATION serves as READY does, and whoever asks whether a worker is ready for requests counts
// both: /v2/health/ready, "ready again after a fault", ready() below. What differs is the share of
// the load it is offered while something else is READY (probation.h); whoever asks for the full
// share waits for READY itself. A first start, and a device that was merely absent, go straight to
// READY; any life after one that crashed begins on probation.
//
// A life counts as good once it was READY for WorkerLimits::proven; after its end the next one
// starts at once. On probation it must also have answered a batch by then: with one request in a
// hundred, living on says little. Short lives pause longer and longer (back-off), and after
// crash_loop of them in a row the worker is left alone for a while, then tried again.
//
// A life that ends because golden outputs differ (End::kWrong) is never good, however long it
// lasted: a device that computes wrongly is worse than one that crashes. What such a life makes
// forgotten, once it lasted WorkerLimits::forget, are the bad ones before it.
//
// A READY worker without work is asked for two things: now and then for a sign of life (ping), and,
// each WorkerLimits::probe, to make a golden run again (probe). A probe takes the device, so it
// must never take more than one part in kProbeShare of the time; a batch that is sent meanwhile is
// not overdue because of it. Nobody waits for a probe of an idle worker, so it has as long as a
// ping; from the moment that a batch waits behind it, it has little.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "server/probation.h"

namespace fusee::server {

enum class WorkerState : uint8_t {
  kRestarting,
  kStarting,
  kWarming,
  kReady,
  kSuspect,
  kQuarantined,
  kDraining,
  kStopped,
  kProbation,  // last, because the numbers are known to dashboards
};
std::string_view WorkerStateName(WorkerState state);

inline constexpr int kProbeShare = 20;

// Every wait of supervision. What a device needs differs: see LimitsFor.
struct WorkerLimits {
  Duration start = std::chrono::seconds(20);  // from the process's start to its hello
  Duration load = std::chrono::seconds(600);  // for one model
  // A batch may take this many times what was predicted, within [floor, ceiling] (and always twice
  // the prediction); without a prediction, the ceiling.
  double hang_multiple = 10;
  Duration hang_floor = std::chrono::seconds(1);
  Duration hang_ceiling = std::chrono::seconds(30);
  Duration heartbeat = std::chrono::milliseconds(250);  // of silence before an idle worker is asked
  Duration heartbeat_answer = std::chrono::seconds(2);  // and then this long for its answer
  // Of idleness before a golden run; 0: none. It may take heartbeat_answer; once a batch waits for
  // it, hang_multiple times ipc::kProbeTimeMax, at least hang_floor.
  Duration probe = std::chrono::seconds(1);
  Duration probation = kProbationLength;
  Duration proven = std::chrono::milliseconds(250);
  Duration forget = std::chrono::minutes(10);
  Duration pause_first = std::chrono::milliseconds(50);
  Duration pause_max = std::chrono::seconds(5);
  uint32_t crash_loop = 5;
  Duration quarantine_first = std::chrono::seconds(10);
  Duration quarantine_max = std::chrono::minutes(5);
  Duration absent_first = std::chrono::seconds(5);  // between looks for a device that is not there
  Duration absent_max = std::chrono::seconds(60);
};
// Floors fit the device: a CPU thread may lose its core to a neighbour for long; a GPU's batch is
// late for no such reason, and its fallback is to answer within 50 ms.
WorkerLimits LimitsFor(std::string_view kind);

class WorkerLife {
 public:
  enum class Action : uint8_t { kNone, kSpawn, kKill, kPing, kProbe };
  enum class End : uint8_t { kCrashed, kAbsent, kWrong };
  // What a suspect did: took too long over something, said nothing, or nonsense.
  enum class Fault : uint8_t { kHang, kSilent, kProtocol };

  // Due to be spawned at once.
  explicit WorkerLife(const WorkerLimits& limits) : limits_(limits) {}

  // What happened. Each is ignored in states where it means nothing (a reply of a worker that is
  // SUSPECT, say).
  void OnSpawned(TimePoint now);
  void OnHello(TimePoint now);
  void OnModelLoaded(TimePoint now);  // one of several
  void OnAllLoaded(TimePoint now);
  void OnBatchSent(TimePoint now, Duration predicted);
  void OnBatchDone(TimePoint now);
  void OnPong(TimePoint now);
  // The golden run was made and right. again false: this life has nothing to probe.
  void OnProbed(TimePoint now, bool again);
  // It did what no healthy worker does; why is for the log.
  void OnFault(TimePoint now, std::string why);
  // The process is gone (also: could not be started).
  void OnExit(TimePoint now, End end);
  // No new life from here on.
  void Drain(TimePoint now);

  // What is to be done now; call until it says kNone, and again at next_wake() or after an event.
  // kSpawn is answered by OnSpawned or OnExit, kKill by OnExit.
  Action Poll(TimePoint now);
  // When Poll will have something to say if nothing happens; nullopt: never.
  std::optional<TimePoint> next_wake() const;

  WorkerState state() const { return state_; }
  // Takes batches.
  bool ready() const { return state_ == WorkerState::kReady || state_ == WorkerState::kProbation; }
  // Of this life; over, or without length, when it began READY.
  const Probation& probation() const { return probation_; }
  // A process exists, as far as this knows.
  bool alive() const { return alive_; }
  // The reason of the last fault, or empty.
  const std::string& why() const { return why_; }
  // Its kind; says nothing before the first.
  Fault fault() const { return fault_; }
  uint32_t short_lives() const { return short_lives_; }
  // A golden run is being made; a batch that was sent meanwhile has not begun.
  bool probing() const { return probing_; }
  // When the batch sent last counts as hung.
  std::optional<TimePoint> batch_limit() const { return batch_limit_; }

 private:
  void Suspect(Fault fault, std::string why);
  // The next probe, at the earliest.
  void PutOffProbe(TimePoint now);
  std::optional<TimePoint> ProbeDue() const;
  TimePoint NextOfReady() const;
  // For a probe that a batch waits for.
  Duration ProbeAllowance() const;

  const WorkerLimits limits_;
  WorkerState state_ = WorkerState::kRestarting;
  bool alive_ = false;
  bool kill_due_ = false;
  bool draining_ = false;
  bool crashed_ = false;   // a life before this one, since the last that was READY
  bool answered_ = false;  // a batch, in this life
  Probation probation_;
  TimePoint due_{};  // of the state: spawn, or the latest moment for its next event
  TimePoint ready_since_{}, heard_{};
  bool pinged_ = false;
  std::optional<TimePoint> batch_limit_;
  Duration batch_allowance_{};  // from when the device has the batch to when it counts as hung
  bool probes_ = true;          // this life has something to probe
  TimePoint probe_due_{}, probe_sent_{};
  Duration probe_took_{};
  bool probing_ = false;
  std::optional<TimePoint> probe_limit_;  // while one runs and the worker is not yet suspect
  uint32_t short_lives_ = 0;
  uint32_t quarantines_ = 0;
  uint32_t absences_ = 0;  // in a row
  std::string why_;
  Fault fault_ = Fault::kProtocol;
};

}  // namespace fusee::server
