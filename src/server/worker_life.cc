#include "server/worker_life.h"

#include <algorithm>

#include "ipc/messages.h"

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
    case WorkerState::kProbation: return "PROBATION";
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
  probation_ = {now, crashed_ ? limits_.probation : Duration(0)};
  state_ = probation_.over(now) ? WorkerState::kReady : WorkerState::kProbation;
  answered_ = false;
  ready_since_ = heard_ = now;
  pinged_ = false;
  batch_limit_.reset();
  probe_limit_.reset();
  probing_ = false;
  probes_ = true;
  probe_took_ = {};
  PutOffProbe(now);
}

void WorkerLife::PutOffProbe(TimePoint now) {
  probe_due_ = now + std::max(limits_.probe, kProbeShare * probe_took_);
}

std::optional<TimePoint> WorkerLife::ProbeDue() const {
  if (limits_.probe <= Duration(0) || !probes_) return std::nullopt;
  return probe_due_;
}

Duration WorkerLife::ProbeAllowance() const {
  const auto multiple = Duration(static_cast<int64_t>(
      static_cast<double>(Duration(ipc::kProbeTimeMax).count()) * limits_.hang_multiple));
  return std::max(limits_.hang_floor, multiple);
}

void WorkerLife::OnBatchSent(TimePoint now, Duration predicted) {
  if (!ready() && state_ != WorkerState::kDraining) return;
  const auto multiple = Duration(
      static_cast<int64_t>(static_cast<double>(predicted.count()) * limits_.hang_multiple));
  const Duration ceiling = std::max(limits_.hang_ceiling, 2 * predicted);
  batch_allowance_ = predicted <= Duration(0)
                         ? ceiling
                         : std::clamp(multiple, std::min(limits_.hang_floor, ceiling), ceiling);
  if (probe_limit_) probe_limit_ = std::min(*probe_limit_, now + ProbeAllowance());
  batch_limit_ = probe_limit_.value_or(now) + batch_allowance_;
}

void WorkerLife::OnBatchDone(TimePoint now) {
  answered_ = true;
  batch_limit_.reset();
  heard_ = now;
  pinged_ = false;
  PutOffProbe(now);
}

void WorkerLife::OnPong(TimePoint now) {
  heard_ = now;
  pinged_ = false;
}

void WorkerLife::OnProbed(TimePoint now, bool again) {
  if (!probe_limit_) return;
  probe_limit_.reset();
  probing_ = false;
  probe_took_ = now - probe_sent_;
  probes_ = again;
  heard_ = now;
  pinged_ = false;
  PutOffProbe(now);
  if (batch_limit_) batch_limit_ = now + batch_allowance_;  // its turn has come
}

void WorkerLife::Suspect(Fault fault, std::string why) {
  fault_ = fault;
  state_ = WorkerState::kSuspect;
  why_ = std::move(why);
  kill_due_ = true;
  batch_limit_.reset();
  probe_limit_.reset();
}

void WorkerLife::OnFault(TimePoint, std::string why) {
  if (!alive_ || state_ == WorkerState::kSuspect) return;
  Suspect(Fault::kProtocol, std::move(why));
}

void WorkerLife::OnExit(TimePoint now, End end) {
  const bool was_ready = ready_since_ != TimePoint{};
  const Duration served = was_ready ? now - ready_since_ : Duration(0);
  const bool good = was_ready && served >= limits_.proven && end != End::kWrong &&
                    (answered_ || probation_.over(now));
  alive_ = false;
  kill_due_ = false;
  batch_limit_.reset();
  probing_ = false;
  probe_limit_.reset();
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
  crashed_ = true;
  if (good) {
    short_lives_ = quarantines_ = 0;
    due_ = now;
    return;
  }
  if (end == End::kWrong && served >= limits_.forget) short_lives_ = quarantines_ = 0;
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
  if (batch_limit_ && now >= *batch_limit_) Suspect(Fault::kHang, "its batch is overdue");
  if (probe_limit_ && now >= *probe_limit_) Suspect(Fault::kHang, "its golden run is overdue");
  switch (state_) {
    case WorkerState::kRestarting:
    case WorkerState::kQuarantined:
      // Until it is answered, the spawn stays due; the owner answers before it polls again.
      return now >= due_ ? Action::kSpawn : Action::kNone;
    case WorkerState::kStarting:
      if (now >= due_) Suspect(Fault::kSilent, "it did not say hello in time");
      break;
    case WorkerState::kWarming:
      if (now >= due_) Suspect(Fault::kHang, "a model took too long to load");
      break;
    case WorkerState::kProbation:
      if (probation_.over(now)) {
        state_ = WorkerState::kReady;
        crashed_ = false;
      }
      [[fallthrough]];
    case WorkerState::kReady:
      if (batch_limit_ || probe_limit_) break;  // its answer says that it lives
      if (pinged_ && now - heard_ >= limits_.heartbeat + limits_.heartbeat_answer) {
        Suspect(Fault::kSilent, "it does not answer");
      } else if (!pinged_ && now - heard_ >= limits_.heartbeat) {
        pinged_ = true;
        heard_ = now - limits_.heartbeat;  // the answer's time counts from now
        return Action::kPing;
      } else if (const auto due = ProbeDue(); !pinged_ && due && now >= *due) {
        probe_sent_ = now;
        probing_ = true;
        probe_limit_ = now + std::max(limits_.heartbeat_answer, ProbeAllowance());
        return Action::kProbe;
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

TimePoint WorkerLife::NextOfReady() const {
  if (probe_limit_) return *probe_limit_;  // before any batch's
  if (batch_limit_) return *batch_limit_;
  if (pinged_) return heard_ + limits_.heartbeat + limits_.heartbeat_answer;
  return std::min(heard_ + limits_.heartbeat, ProbeDue().value_or(TimePoint::max()));
}

std::optional<TimePoint> WorkerLife::next_wake() const {
  if (kill_due_) return TimePoint{};
  if (state_ == WorkerState::kProbation) return std::min(NextOfReady(), probation_.end());
  if (state_ == WorkerState::kReady) return NextOfReady();
  if (probe_limit_) return probe_limit_;
  if (batch_limit_) return batch_limit_;
  switch (state_) {
    case WorkerState::kRestarting:
    case WorkerState::kQuarantined:
    case WorkerState::kStarting:
    case WorkerState::kWarming: return due_;
    default: break;
  }
  return std::nullopt;
}

}  // namespace fusee::server
