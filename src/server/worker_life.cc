#include "server/worker_life.h"

#include <algorithm>

namespace fusee::server {
namespace {

constexpr uint32_t kDoublingsMax = 20;  // far beyond every maximum here

// first, doubled n times, at most max.
Duration Doubled(Duration first, uint32_t n, Duration max) {
  return std::min(max, Duration(first.count() << std::min(n, kDoublingsMax)));
}

}  // namespace

std::string_view WorkerStateName(WorkerState state) {
  switch (state) {
    case WorkerState::kRestarting: return "RESTARTING";
    case WorkerState::kStarting: return "STARTING";
    case WorkerState::kWarming: return "WARMING";
    case WorkerState::kReady: return "READY";
    case WorkerState::kSuspect: return "SUSPECT";
    case WorkerState::kQuarantined: return "QUARANTINED";
    case WorkerState::kDraining: return "DRAINING";
    case WorkerState::kStopped: return "STOPPED";
  }
  return "UNKNOWN";
}

WorkerLimits LimitsFor(std::string_view kind) {
  WorkerLimits limits;
  if (kind == "cuda") limits.hang_floor = std::chrono::milliseconds(30);
  return limits;
}

void WorkerLife::OnSpawned(TimePoint now) {
  if (draining_) return;
  state_ = WorkerState::kStarting;
  alive_ = true;
  due_ = now + limits_.start;
}

void WorkerLife::OnHello(TimePoint now) {
  if (state_ != WorkerState::kStarting) return;
  state_ = WorkerState::kWarming;
  due_ = now + limits_.load;
}

void WorkerLife::OnModelLoaded(TimePoint now) {
  if (state_ == WorkerState::kWarming) due_ = now + limits_.load;
}

void WorkerLife::OnAllLoaded(TimePoint now) {
  if (state_ != WorkerState::kWarming) return;
  state_ = WorkerState::kReady;
  ready_since_ = heard_ = now;
  pinged_ = false;
  batch_limit_.reset();
}

void WorkerLife::OnBatchSent(TimePoint now, Duration predicted) {
  if (state_ != WorkerState::kReady && state_ != WorkerState::kDraining) return;
  const auto multiple = Duration(
      static_cast<int64_t>(static_cast<double>(predicted.count()) * limits_.hang_multiple));
  const Duration ceiling = std::max(limits_.hang_ceiling, 2 * predicted);
  batch_limit_ = now + (predicted <= Duration(0)
                            ? ceiling
                            : std::clamp(multiple, std::min(limits_.hang_floor, ceiling), ceiling));
}

void WorkerLife::OnBatchDone(TimePoint now) {
  batch_limit_.reset();
  heard_ = now;
  pinged_ = false;
}

void WorkerLife::OnPong(TimePoint now) {
  heard_ = now;
  pinged_ = false;
}

void WorkerLife::Suspect(std::string why) {
  state_ = WorkerState::kSuspect;
  why_ = std::move(why);
  kill_due_ = true;
  batch_limit_.reset();
}

void WorkerLife::OnFault(TimePoint, std::string why) {
  if (!alive_ || state_ == WorkerState::kSuspect) return;
  Suspect(std::move(why));
}

void WorkerLife::OnExit(TimePoint now, End end) {
  const bool was_ready = ready_since_ != TimePoint{};
  const bool good = was_ready && now - ready_since_ >= limits_.proven;
  alive_ = false;
  kill_due_ = false;
  batch_limit_.reset();
  ready_since_ = {};
  if (draining_) {
    state_ = WorkerState::kStopped;
    return;
  }
  state_ = WorkerState::kRestarting;
  if (end == End::kAbsent) {
    due_ = now + Doubled(limits_.absent_first, absences_++, limits_.absent_max);
    return;
  }
  absences_ = 0;
  if (good) {
    short_lives_ = quarantines_ = 0;
    due_ = now;
    return;
  }
  if (++short_lives_ < limits_.crash_loop) {
    due_ = now + Doubled(limits_.pause_first, short_lives_ - 1, limits_.pause_max);
    return;
  }
  // One more short life after a quarantine is enough for the next one.
  short_lives_ = limits_.crash_loop - 1;
  state_ = WorkerState::kQuarantined;
  due_ = now + Doubled(limits_.quarantine_first, quarantines_++, limits_.quarantine_max);
}

void WorkerLife::Drain(TimePoint) {
  draining_ = true;
  if (!alive_)
    state_ = WorkerState::kStopped;
  else if (state_ != WorkerState::kSuspect)
    state_ = WorkerState::kDraining;
}

WorkerLife::Action WorkerLife::Poll(TimePoint now) {
  if (batch_limit_ && now >= *batch_limit_) Suspect("its batch is overdue");
  switch (state_) {
    case WorkerState::kRestarting:
    case WorkerState::kQuarantined:
      // Until it is answered, the spawn stays due; the owner answers before it polls again.
      return now >= due_ ? Action::kSpawn : Action::kNone;
    case WorkerState::kStarting:
      if (now >= due_) Suspect("it did not say hello in time");
      break;
    case WorkerState::kWarming:
      if (now >= due_) Suspect("a model took too long to load");
      break;
    case WorkerState::kReady:
      if (batch_limit_) break;
      if (pinged_ && now - heard_ >= limits_.heartbeat + limits_.heartbeat_answer) {
        Suspect("it does not answer");
      } else if (!pinged_ && now - heard_ >= limits_.heartbeat) {
        pinged_ = true;
        heard_ = now - limits_.heartbeat;  // the answer's time counts from now
        return Action::kPing;
      }
      break;
    case WorkerState::kSuspect:
    case WorkerState::kDraining:
    case WorkerState::kStopped: break;
  }
  if (state_ == WorkerState::kSuspect && kill_due_) {
    kill_due_ = false;
    return Action::kKill;
  }
  return Action::kNone;
}

std::optional<TimePoint> WorkerLife::next_wake() const {
  if (kill_due_) return TimePoint{};
  if (batch_limit_) return batch_limit_;
  switch (state_) {
    case WorkerState::kRestarting:
    case WorkerState::kQuarantined:
    case WorkerState::kStarting:
    case WorkerState::kWarming: return due_;
    case WorkerState::kReady:
      return heard_ + limits_.heartbeat + (pinged_ ? limits_.heartbeat_answer : Duration(0));
    case WorkerState::kSuspect:
    case WorkerState::kDraining:
    case WorkerState::kStopped: break;
  }
  return std::nullopt;
}

}  // namespace fusee::server
