#include "server/dispatcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/checked_math.h"

namespace fusee::server {
namespace {

using obs::MetricId;
using obs::Reason;

Reason ReasonOf(sched::RefusalReason reason) {
  switch (reason) {
    case sched::RefusalReason::kQueueFull: return Reason::kQueueFull;
    case sched::RefusalReason::kQueueBytes: return Reason::kQueueBytes;
    case sched::RefusalReason::kLate: return Reason::kLate;
    case sched::RefusalReason::kImpossible: return Reason::kImpossible;
  }
  return Reason::kOther;
}

double Ms(Duration d) { return static_cast<double>(d.count()) * 1e-6; }

// Queue limits answer as Triton does (503 and its text); a prediction is something Triton does not
// have (429).
Dispatcher::Refused MakeRefusal(const sched::Refusal& refusal, const InferCall& call) {
  const double asked_ms = Ms(call.deadline - call.arrival);
  switch (refusal.reason) {
    case sched::RefusalReason::kQueueFull:
    case sched::RefusalReason::kQueueBytes:
      return {Unavailable("Exceeds maximum queue size"),
              std::max<Duration>(refusal.retry_after, Duration(1)), ReasonOf(refusal.reason)};
    case sched::RefusalReason::kLate:
      return {
          ResourceExhausted(fmt::format(
              "the answer would take {:.1f} ms, but the deadline is {:.1f} ms after arrival: the "
              "server is busy; try again in {:.0f} ms",
              Ms(refusal.predicted), asked_ms, Ms(refusal.retry_after) + 1)),
          std::max<Duration>(refusal.retry_after, Duration(1)), Reason::kLate};
    case sched::RefusalReason::kImpossible:
      return {
          DeadlineExceeded(fmt::format(
              "the model alone takes {:.1f} ms, but the deadline is {:.1f} ms after arrival; ask "
              "with a later deadline",
              Ms(refusal.predicted), asked_ms)),
          Duration(0), Reason::kImpossible};
  }
  return {Internal("unknown refusal"), Duration(0), Reason::kOther};
}

}  // namespace

bool PlaceOutputs(ipc::BlockSource& source, InferCall* call) {
  uint64_t bytes = 0;
  for (const TensorView& output : call->outputs)
    bytes += AlignUp(static_cast<uint64_t>(output.size_bytes()), kTensorAlignment);
  ipc::Block block = source.Take(bytes);
  if (!block) return false;
  uint64_t offset = 0;
  for (TensorView& output : call->outputs) {
    output.data = block.data() + offset;
    offset += AlignUp(static_cast<uint64_t>(output.size_bytes()), kTensorAlignment);
  }
  call->output_memory = std::move(block);
  return true;
}

Dispatcher::Lane::Lane(Dispatcher* o, size_t i, const DeviceInfo& d, const sched::Limits& limits,
                       std::shared_ptr<obs::Metrics> m)
    : owner(o),
      index(i),
      info(d),
      metrics(std::move(m)),
      scheduler(limits),
      calls(limits.requests) {
  running.items.reserve(sched::kBatchRequestsMax);
  running.calls.reserve(sched::kBatchRequestsMax);
  running.stamps.reserve(sched::kBatchRequestsMax);
}

bool Dispatcher::Lane::Holds(const ServedModel& model, size_t kind) const {
  const OnKind& on_kind = model.kinds[kind];
  return on_kind.kind == info.kind &&
         std::binary_search(models.begin(), models.end(), on_kind.model.get());
}

void Dispatcher::Lane::Keep(sched::Ticket ticket, std::unique_ptr<InferCall> call) {
  call->ticket = ticket;
  call->waits = true;
  calls[ticket.slot] = std::move(call);
}

void Dispatcher::CountBroken(obs::Metrics& metrics, Reason reason) {
  metrics.Add(MetricId::kRequestFailure, reason);
  metrics.Add(MetricId::kBrokenPromises);
}

Dispatcher::Dispatcher(const sched::Limits& limits, Fleet* fleet, obs::Registry* registry,
                       const Clock* clock)
    : fleet_(fleet), clock_(clock), limits_(limits), memory_(fleet->request_memory()) {
  for (const DeviceInfo& info : fleet->devices()) {
    lanes_.push_back(
        std::make_unique<Lane>(this, lanes_.size(), info, limits, registry->Device(info.name)));
  }
  watcher_ = std::thread([this] { WatchDeadlines(); });
  recorder_ = std::thread([this] { EnterRemembered(); });
}

Dispatcher::~Dispatcher() { Stop(std::chrono::hours(24)); }

Result<std::shared_ptr<const ServedModel>> Dispatcher::AddModel(
    std::vector<std::pair<std::string, std::shared_ptr<const ipc::Model>>> kinds,
    std::string first_choice, std::shared_ptr<obs::Metrics> metrics, Duration deadline_min) {
  FUSEE_CHECK(!kinds.empty(), "a model on no kind of device");
  ServedModel served;
  served.first_choice = std::move(first_choice);
  served.metrics = std::move(metrics);
  std::shared_ptr<const ServedModel> result;
  for (auto& [kind, model] : kinds) {
    FUSEE_TRY(result, ExtendModel(result ? *result : served, result ? result->kinds.size() : 0,
                                  std::move(kind), std::move(model), deadline_min));
  }
  return result;
}

Result<std::shared_ptr<const ServedModel>> Dispatcher::ExtendModel(
    const ServedModel& served, size_t at, std::string kind, std::shared_ptr<const ipc::Model> model,
    Duration deadline_min) {
  auto extended = std::make_shared<ServedModel>(served);
  OnKind on_kind{.kind = std::move(kind), .model = std::move(model)};
  const sched::ModelProfile profile =
      MakeProfile(on_kind.model->info(), deadline_min, &on_kind.latency_classes);
  on_kind.rows_max = profile.rows_max;
  on_kind.index.resize(lanes_.size());
  {
    const std::lock_guard lock(mutex_);
    for (const auto& lane : lanes_) {
      if (lane->info.kind != on_kind.kind) continue;
      FUSEE_TRY(on_kind.index[lane->index], lane->scheduler.AddModel(profile));
    }
  }
  extended->kinds.insert(extended->kinds.begin() + static_cast<std::ptrdiff_t>(at),
                         std::move(on_kind));
  return std::shared_ptr<const ServedModel>(std::move(extended));
}

// ---- admission ----

std::vector<Dispatcher::Choice> Dispatcher::ChoicesLocked(const InferCall& call, const Lane* except,
                                                          TimePoint now) {
  std::vector<Choice> choices;
  for (size_t kind = 0; kind < call.model->kinds.size(); ++kind) {
    if (!call.shapes[kind].fits) continue;
    const auto first = static_cast<std::ptrdiff_t>(choices.size());
    for (const auto& lane : lanes_) {
      if (lane.get() != except && lane->ready && lane->Holds(*call.model, kind))
        choices.push_back({lane.get(), kind});
    }
    const auto load = [](const Choice& c) {
      return c.lane->scheduler.queued() + static_cast<uint32_t>(c.lane->running.calls.size());
    };
    std::stable_sort(choices.begin() + first, choices.end(),
                     [&](const Choice& a, const Choice& b) { return load(a) < load(b); });
  }
  const auto trusted = [now](const Choice& c) { return c.lane->probation.over(now); };
  if (std::ranges::none_of(choices, trusted)) return choices;
  // Each on probation that would have the request says whether it is of its share; else it is asked
  // last. Ends at the latest at one that is trusted.
  while (!trusted(choices.front()) &&
         !choices.front().lane->spreader.Take(choices.front().lane->probation.Share(now))) {
    std::rotate(choices.begin(), choices.begin() + 1, choices.end());
  }
  return choices;
}

std::optional<Dispatcher::Refused> Dispatcher::PlaceLocked(std::unique_ptr<InferCall>* call,
                                                           TimePoint now, const Lane* except,
                                                           Handle* placed) {
  std::optional<sched::Refusal> refusal;
  for (const auto& [lane, kind] : ChoicesLocked(**call, except, now)) {
    const RequestShape& shape = (*call)->shapes[kind];
    const sched::Admission admission =
        lane->scheduler.Admit({.model = (*call)->model->kinds[kind].index[lane->index],
                               .arrival = (*call)->arrival,
                               .deadline = (*call)->deadline,
                               .rows = shape.rows,
                               .bytes = (*call)->bytes,
                               .shape = shape.key,
                               .latency_class = shape.latency_class,
                               .alone = (*call)->alone},
                              now);
    if (const auto* ticket = std::get_if<sched::Ticket>(&admission)) {
      if (placed != nullptr) *placed = {(*call)->id, lane->index, ticket->slot};
      lane->Keep(*ticket, std::move(*call));
      return std::nullopt;
    }
    // Of several refusals the one that soonest is none any more; "never" counts last.
    const auto& here = std::get<sched::Refusal>(admission);
    const auto wait = [](const sched::Refusal& r) {
      return r.reason == sched::RefusalReason::kImpossible ? Duration::max() : r.retry_after;
    };
    if (!refusal || wait(here) < wait(*refusal)) refusal = here;
  }
  if (refusal) return MakeRefusal(*refusal, **call);
  return Refused{Unavailable(fmt::format("no device that holds model '{}' is ready; try again in a "
                                         "moment",
                                         (*call)->model->info().name)),
                 kNoDeviceRetry, Reason::kNoDevice};
}

std::variant<Dispatcher::Admitted, Dispatcher::Refused> Dispatcher::Submit(
    std::unique_ptr<InferCall> call) {
  obs::Metrics& metrics = *call->model->metrics;
  Todo todo;
  std::optional<Refused> refused;
  Admitted admitted;
  const InferCall* const placed = call.get();  // whoever takes it keeps it until Proceed
  const uint64_t generation = poison_.generation();
  auto known = poison_.Find(call->model->info(), call->inputs, clock_->Now());
  {
    const std::lock_guard lock(mutex_);
    const TimePoint now = clock_->Now();
    // A device has ended in between, perhaps of these bytes. Rare, and hashes only if so.
    if (poison_.generation() != generation)
      known = poison_.Find(call->model->info(), call->inputs, now);
    if (known) {
      call->alone = true;
      call->deaths_before = known->deaths;
      call->fingerprint = known->fingerprint;
    }
    if (known && known->poisonous) {
      refused = Refused{PoisonousStatus(), Duration(0), Reason::kPoisonous};
    } else if (stopping_) {
      refused = Refused{Unavailable("Server exiting"), Duration(0), Reason::kDraining};
    } else if (pending_.load(std::memory_order_relaxed) >= limits_.requests) {
      refused = MakeRefusal({.reason = sched::RefusalReason::kQueueFull}, *call);
    } else if (call->bytes > limits_.bytes - std::min(limits_.bytes, BytesLocked())) {
      refused = MakeRefusal({.reason = sched::RefusalReason::kQueueBytes}, *call);
    } else {
      call->id = ++calls_named_;
      refused = PlaceLocked(&call, now, nullptr, &admitted.handle);
    }
    if (refused) {
      metrics.Add(MetricId::kRejections, refused->reason);
      metrics.Add(MetricId::kRequestFailure, Reason::kRejected);
      return std::move(*refused);
    }
    metrics.Add(MetricId::kPendingRequests);
    if (known) metrics.Add(MetricId::kSuspectRequests);
    pending_.fetch_add(1, std::memory_order_relaxed);
    StartLocked(now, &todo);
    admitted.waits = placed->waits;
    // The watcher sleeps towards the earliest expiry; wake it only when that moved forward.
    const auto expiry = NextExpiryLocked();
    if (expiry && (!watched_ || *expiry < *watched_)) changed_.notify_one();
  }
  Proceed(&todo);
  return admitted;
}

Dispatcher::Lane* Dispatcher::FindLocked(const Handle& handle, uint32_t* slot) const {
  const auto is_there = [&](const Lane& lane, uint32_t at) {
    return lane.calls[at] != nullptr && lane.calls[at]->id == handle.id;
  };
  *slot = handle.slot;
  if (is_there(*lanes_[handle.device], handle.slot)) return lanes_[handle.device].get();
  for (const auto& lane : lanes_) {
    if (lane->scheduler.queued() == 0) continue;
    for (*slot = 0; *slot < lane->calls.size(); ++*slot) {
      if (is_there(*lane, *slot)) return lane.get();
    }
  }
  return nullptr;
}

bool Dispatcher::Cancel(const Handle& handle) {
  Todo todo;
  {
    const std::lock_guard lock(mutex_);
    uint32_t slot = 0;
    std::unique_ptr<InferCall> call;
    if (Lane* lane = FindLocked(handle, &slot)) {
      if (!lane->scheduler.Cancel(lane->calls[slot]->ticket)) return false;
      call = std::move(lane->calls[slot]);
    } else {
      const auto parked = std::ranges::find(parked_, handle.id, &InferCall::id);
      if (parked == parked_.end()) return false;
      call = std::move(*parked);
      parked_.erase(parked);
    }
    // Not a broken promise: the client broke it off.
    call->model->metrics->Add(MetricId::kRequestFailure, Reason::kCanceled);
    FinishLocked(
        std::move(call),
        Status(StatusCode::kCancelled, "the client closed the connection while its request waited"),
        &todo);
  }
  Proceed(&todo);
  return true;
}

bool Dispatcher::Full() const {
  const std::lock_guard lock(mutex_);
  return stopping_ || pending_.load(std::memory_order_relaxed) >= limits_.requests ||
         BytesLocked() >= limits_.bytes;
}

bool Dispatcher::AnyReady() const {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(lanes_, [](const auto& lane) { return lane->ready; });
}

uint64_t Dispatcher::BytesLocked() const {
  uint64_t bytes = 0;
  for (const auto& lane : lanes_) bytes += lane->scheduler.bytes();
  for (const auto& call : parked_) bytes += call->bytes;
  return bytes;
}

// ---- batches ----

void Dispatcher::ExpireLocked(Lane& lane, TimePoint now, Todo* todo) {
  std::array<sched::Ticket, 64> expired;
  size_t n;
  do {
    n = lane.scheduler.Expire(now, expired);
    for (size_t i = 0; i < n; ++i)
      FinishExpiredLocked(std::move(lane.calls[expired[i].slot]), todo);
  } while (n == expired.size());
}

void Dispatcher::ExpireParkedLocked(TimePoint now, Todo* todo) {
  for (auto& call : std::exchange(parked_, {})) {
    if (now > call->deadline)
      FinishExpiredLocked(std::move(call), todo);
    else
      parked_.push_back(std::move(call));
  }
}

void Dispatcher::FinishExpiredLocked(std::unique_ptr<InferCall> call, Todo* todo) {
  obs::Metrics& metrics = *call->model->metrics;
  metrics.Add(MetricId::kDeadlineMisses);
  CountBroken(metrics, Reason::kRejected);
  FinishLocked(std::move(call), DeadlineExceeded("Request timeout expired"), todo);
}

void Dispatcher::FinishLocked(std::unique_ptr<InferCall> call, Status status, Todo* todo) {
  RememberLocked(*call);
  todo->finished.push_back({std::move(call), std::move(status)});
}

void Dispatcher::StartLocked(TimePoint now, Todo* todo) {
  for (const auto& lane : lanes_) {
    if (lane->ready && !lane->scheduler.running()) StartLaneLocked(*lane, now, todo);
  }
}

void Dispatcher::StartLaneLocked(Lane& lane, TimePoint now, Todo* todo) {
  ExpireLocked(lane, now, todo);
  if (lane.scheduler.queued() == 0) StealLocked(lane, now);
  auto planned = lane.scheduler.NextBatch(now);
  if (!planned) return;
  Running& running = lane.running;
  running.batch = *planned;
  for (const sched::Ticket& ticket : planned->requests()) {
    auto call = std::move(lane.calls[ticket.slot]);
    call->waits = false;
    running.items.push_back({.inputs = call->inputs, .outputs = call->outputs});
    running.stamps.push_back(lane.scheduler.stamps(ticket));
    running.calls.push_back(std::move(call));
  }
  const ServedModel& model = *running.calls[0]->model;
  todo->starts.push_back({lane.index,
                          {.id = planned->id,
                           .model = model.kinds[*model.FindKind(lane.info.kind)].model.get(),
                           .items = running.items,
                           .predicted = planned->predicted_finish - planned->start}});
}

// Half of the longest queue of its kind, the most urgent first.
void Dispatcher::StealLocked(Lane& lane, TimePoint now) {
  Lane* victim = nullptr;
  for (const auto& other : lanes_) {
    if (other.get() == &lane || other->info.kind != lane.info.kind) continue;
    const uint32_t queued = other->scheduler.queued();
    if (queued > (victim ? victim->scheduler.queued() : 0)) victim = other.get();
  }
  if (victim == nullptr) return;
  // Its share comes by admission.
  if (!lane.probation.over(now) && victim->probation.over(now)) return;
  const uint32_t share = (victim->scheduler.queued() + 1) / 2;
  for (uint32_t i = 0; i < share; ++i) {
    const sched::Ticket ticket = *victim->scheduler.First();
    auto& call = victim->calls[ticket.slot];
    const size_t kind = *call->model->FindKind(lane.info.kind);
    if (!lane.Holds(*call->model, kind)) return;
    sched::RequestMeta meta = victim->scheduler.request(ticket);
    meta.model = call->model->kinds[kind].index[lane.index];
    const sched::Admission admission = lane.scheduler.Admit(meta, now);
    const auto* moved = std::get_if<sched::Ticket>(&admission);
    if (moved == nullptr) return;
    lane.Keep(*moved, std::move(call));
    victim->scheduler.Cancel(ticket);
  }
}

void Dispatcher::OnBatchDone(Lane& lane, ipc::BatchResult result) {
  Todo todo;
  {
    const std::lock_guard lock(mutex_);
    FUSEE_CHECK(lane.running.batch.id == result.id && !lane.running.calls.empty(),
                "the fleet reported a batch that is not running");
    const TimePoint now = clock_->Now();
    if (result.lost)
      LoseBatchLocked(lane, result.blameless, now, &todo);
    else
      FinishBatchLocked(lane, result, now, &todo);
    if (!stopping_) StartLocked(now, &todo);
    ++answering_;
  }
  Proceed(&todo);
  const std::lock_guard lock(mutex_);
  --answering_;
  changed_.notify_all();  // under the lock: Stop may be waiting, and this object ends with it
}

void Dispatcher::FinishBatchLocked(Lane& lane, const ipc::BatchResult& result, TimePoint now,
                                   Todo* todo) {
  Running& running = lane.running;
  const Duration took = lane.scheduler.Complete(running.batch, now, /*learn=*/!result.waited);
  obs::Metrics& model_metrics = *running.calls[0]->model->metrics;
  if (result.status.ok()) {
    model_metrics.Add(MetricId::kInferenceCount, running.batch.rows);
    model_metrics.Add(MetricId::kExecCount);
    model_metrics.Set(MetricId::kLastInferenceSeconds, UnixMicroseconds());
    model_metrics.ObserveSize(MetricId::kBatchRows, running.batch.rows);
  }
  for (size_t i = 0; i < running.calls.size(); ++i) {
    std::unique_ptr<InferCall> call = std::move(running.calls[i]);
    Status status = result.status;
    obs::Metrics& metrics = *call->model->metrics;
    const Duration queued = running.stamps[i].started - running.stamps[i].queued;
    metrics.Observe(MetricId::kQueueSeconds, queued);
    metrics.Observe(MetricId::kComputeSeconds, took);
    call->served_by = lane.info.name;
    call->survived_on = lane.info.kind;
    if (!status.ok()) {
      CountBroken(metrics, Reason::kBackend);
    } else if (now > call->deadline) {
      status = DeadlineExceeded("Request timeout expired");
      metrics.Add(MetricId::kDeadlineMisses);
      CountBroken(metrics, Reason::kOther);
    } else {
      metrics.Add(MetricId::kRequestSuccess);
      metrics.Add(MetricId::kGoodRequests);
      metrics.AddUs(MetricId::kRequestDurationUs, now - call->arrival);
      metrics.AddUs(MetricId::kQueueDurationUs, queued);
      metrics.AddUs(MetricId::kComputeInputDurationUs, result.gather);
      metrics.AddUs(MetricId::kComputeInferDurationUs, result.compute);
      metrics.AddUs(MetricId::kComputeOutputDurationUs, result.scatter);
      lane.metrics->Add(MetricId::kDeviceRequests);
      if (lane.info.kind != call->model->first_choice) metrics.Add(MetricId::kFallbackRequests);
    }
    FinishLocked(std::move(call), std::move(status), todo);
  }
  running.calls.clear();
  running.items.clear();
  running.stamps.clear();
}

// ---- devices come and go ----

void Dispatcher::OnDeviceReady(size_t device, std::vector<const ipc::Model*> models,
                               Probation probation) {
  Todo todo;
  {
    const std::lock_guard lock(mutex_);
    Lane& lane = *lanes_[device];
    std::ranges::sort(models);
    lane.models = std::move(models);
    lane.ready = true;
    lane.probation = probation;
    lane.spreader = {};
    const TimePoint now = clock_->Now();
    if (!stopping_) {
      UnparkLocked(now, &todo);
      StartLocked(now, &todo);
    }
  }
  Proceed(&todo);
}

void Dispatcher::OnDeviceLost(size_t device) {
  Todo todo;
  {
    const std::lock_guard lock(mutex_);
    const TimePoint now = clock_->Now();
    Lane& lane = *lanes_[device];
    lane.ready = false;
    lane.models.clear();
    if (!stopping_) {  // else Stop has answered what waited
      MoveQueueLocked(lane, now, &todo);
      if (lane.running.calls.empty()) UnparkLocked(now, &todo);
      StartLocked(now, &todo);
    }
  }
  Proceed(&todo);
}

// ---- outside the lock ----

void Dispatcher::Proceed(Todo* todo) {
  for (auto& [device, block] : todo->kept) fleet_->KeepUntilDead(device, std::move(block));
  for (const Start& start : todo->starts)
    fleet_->Execute(start.device, start.batch, lanes_[start.device].get());
  for (Finished& f : todo->finished) {
    f.call->model->metrics->Subtract(MetricId::kPendingRequests);
    pending_.fetch_sub(1, std::memory_order_relaxed);
    auto done = std::move(f.call->done);
    done(std::move(f.call), std::move(f.status));
  }
}

std::optional<TimePoint> Dispatcher::NextExpiryLocked() const {
  std::optional<TimePoint> next;
  for (const auto& lane : lanes_) {
    const auto expiry = lane->scheduler.NextExpiry();
    if (expiry && (!next || *expiry < *next)) next = expiry;
  }
  for (const auto& call : parked_) {
    const TimePoint expiry = call->deadline + Duration(1);
    if (!next || expiry < *next) next = expiry;
  }
  return next;
}

void Dispatcher::WatchDeadlines() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    watched_ = NextExpiryLocked();
    if (watched_)
      changed_.wait_for(lock, *watched_ - clock_->Now());
    else
      changed_.wait(lock);
    if (stopping_) return;
    Todo todo;
    for (const auto& lane : lanes_) ExpireLocked(*lane, clock_->Now(), &todo);
    ExpireParkedLocked(clock_->Now(), &todo);
    if (todo.finished.empty()) continue;
    lock.unlock();
    Proceed(&todo);
    lock.lock();
  }
}

bool Dispatcher::IdleLocked() const {
  return answering_ == 0 &&
         std::ranges::all_of(lanes_, [](const auto& l) { return l->running.calls.empty(); });
}

bool Dispatcher::Stop(std::chrono::milliseconds timeout) {
  Todo todo;
  {
    const std::lock_guard lock(mutex_);
    const bool first = !stopping_;
    stopping_ = true;
    changed_.notify_all();
    remembered_.notify_all();
    for (const auto& lane : lanes_) {
      for (size_t slot = 0; first && slot < lane->calls.size(); ++slot) {
        if (!lane->calls[slot]) continue;
        CountBroken(*lane->calls[slot]->model->metrics, Reason::kCanceled);
        FinishLocked(std::move(lane->calls[slot]), Unavailable("Server exiting"), &todo);
      }
    }
    for (auto& call : std::exchange(parked_, {})) {
      CountBroken(*call->model->metrics, Reason::kCanceled);
      FinishLocked(std::move(call), Unavailable("Server exiting"), &todo);
    }
  }
  if (watcher_.joinable()) watcher_.join();
  if (recorder_.joinable()) recorder_.join();
  poison_.DropPending();  // what it holds is the caller's memory
  Proceed(&todo);
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [this] { return IdleLocked(); });
}

}  // namespace fusee::server
