// What becomes of requests when their device ends.
#include <fmt/format.h>

#include <algorithm>

#include "server/dispatcher.h"

namespace fusee::server {

using obs::MetricId;
using obs::Reason;

void Dispatcher::LoseBatchLocked(Lane& lane, bool blameless, TimePoint now, Todo* todo) {
  Running& running = lane.running;
  lane.scheduler.Abandon(running.batch);
  const bool alone = running.calls.size() == 1;
  for (auto& call : running.calls) {
    obs::Metrics& metrics = *call->model->metrics;
    // The lost device may still write there; the others get a fresh place.
    todo->kept.emplace_back(lane.index, std::move(call->output_memory));
    if (!blameless) {
      call->died_on.push_back(lane.info.kind);
      call->died_alone = alone;
      if (alone && call->deaths_before + call->died_on.size() >= kPoisonDeaths) {
        RefuseTwinsLocked(*call, todo);
        FinishPoisonousLocked(std::move(call), todo);
        continue;
      }
    }
    Status status =
        Unavailable(fmt::format("device {} ended while it had the request", lane.info.name));
    uint32_t& replays = blameless ? call->blameless_replays : call->replays;
    const bool again = !stopping_ && replays < (blameless ? kBlamelessReplaysMax : kReplaysMax) &&
                       PlaceOutputs(*memory_.outputs, call.get());
    if (again) {
      ++replays;
      if (!blameless && !std::exchange(call->alone, true)) metrics.Add(MetricId::kSuspectRequests);
      if (auto refused = PlaceLocked(&call, now, &lane); !refused) {
        lane.metrics->Add(MetricId::kWorkerRequestsMoved);
        metrics.Add(MetricId::kReplayedRequests);
        continue;
      } else {
        status = std::move(refused->status).Annotate(status.message());
      }
    }
    CountBroken(metrics, Reason::kBackend);
    call->retry_after = kNoDeviceRetry;
    // Whatever refused it, the client's part is to come again.
    FinishLocked(std::move(call), Unavailable(status.message()), todo);
  }
  running.calls.clear();
  running.items.clear();
  running.stamps.clear();
  if (!stopping_) UnparkLocked(now, todo);
}

void Dispatcher::FinishPoisonousLocked(std::unique_ptr<InferCall> call, Todo* todo) {
  CountBroken(*call->model->metrics, Reason::kBackend);
  call->poisonous = true;
  FinishLocked(std::move(call), PoisonousStatus(), todo);
}

// Compared byte by byte: what differs mostly does so at once, and nothing has a fingerprint yet.
void Dispatcher::RefuseTwinsLocked(const InferCall& poisonous, Todo* todo) {
  const auto twin = [&](const std::unique_ptr<InferCall>& call) {
    return call && SameRequest(call->model->info(), call->inputs, poisonous.model->info(),
                               poisonous.inputs);
  };
  for (const auto& lane : lanes_) {
    for (auto& call : lane->calls) {
      if (twin(call) && lane->scheduler.Cancel(call->ticket))
        FinishPoisonousLocked(std::move(call), todo);
    }
  }
  for (auto& call : std::exchange(parked_, {})) {
    if (twin(call))
      FinishPoisonousLocked(std::move(call), todo);
    else
      parked_.push_back(std::move(call));
  }
}

void Dispatcher::MoveQueueLocked(Lane& lane, TimePoint now, Todo* todo) {
  while (const auto ticket = lane.scheduler.First()) {
    auto call = std::move(lane.calls[ticket->slot]);
    lane.scheduler.Cancel(*ticket);
    // One of them may have the bytes of what is about to be found poisonous: none starts elsewhere
    // before that is known.
    if (call->alone) {
      parked_.push_back(std::move(call));
      changed_.notify_all();  // the watcher: its deadline counts here too
      continue;
    }
    auto refused = PlaceLocked(&call, now, &lane);
    if (!refused) {
      lane.metrics->Add(MetricId::kWorkerRequestsMoved);
      continue;
    }
    CountBroken(*call->model->metrics, Reason::kBackend);
    call->retry_after = kNoDeviceRetry;
    FinishLocked(std::move(call),
                 Unavailable(fmt::format("device {} ended before the request ran: {}",
                                         lane.info.name, refused->status.message())),
                 todo);
  }
}

// Without any device they stay: a device that a suspect has ended is back in a moment, and these
// suspects have done nothing but wait behind it.
void Dispatcher::UnparkLocked(TimePoint now, Todo* todo) {
  for (auto& call : std::exchange(parked_, {})) {
    auto refused = PlaceLocked(&call, now, nullptr);
    if (!refused) continue;
    if (refused->reason == Reason::kNoDevice) {
      parked_.push_back(std::move(call));
      continue;
    }
    CountBroken(*call->model->metrics, Reason::kBackend);
    call->retry_after = std::max(refused->retry_after, kNoDeviceRetry);
    FinishLocked(std::move(call), Unavailable(refused->status.message()), todo);
  }
}

void Dispatcher::RememberLocked(const InferCall& call) {
  if (stopping_) return;
  // Most deaths are cleared by the run elsewhere on a device of the same kind: nothing to remember.
  const bool cleared = std::ranges::all_of(
      call.died_on, [&](const std::string& kind) { return kind == call.survived_on; });
  if (!call.fingerprint && cleared) return;
  // Both keep what they point into.
  poison_.Remember({.model = {call.model, &call.model->info()},
                    .inputs = call.inputs,
                    .memory = call.memory,
                    .fingerprint = call.fingerprint,
                    .died_on = call.died_on,
                    .died_alone = call.died_alone,
                    .survived_on = call.survived_on,
                    .metrics = call.model->metrics},
                   clock_->Now());
  remembered_.notify_one();
}

void Dispatcher::EnterRemembered() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!poison_.pending()) {
      remembered_.wait(lock);
      continue;
    }
    lock.unlock();
    if (const auto entered = poison_.EnterOne(); entered && entered->became_poisonous)
      entered->what->metrics->Add(MetricId::kPoisonousRequests);
    lock.lock();
  }
}

}  // namespace fusee::server
