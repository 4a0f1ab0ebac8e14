#include "server/dispatcher.h"

#include <fmt/format.h>

#include <array>

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

void CountBroken(obs::Metrics& metrics, Reason reason) {
  metrics.Add(MetricId::kRequestFailure, reason);
  metrics.Add(MetricId::kBrokenPromises);
}

}  // namespace

Dispatcher::Dispatcher(const sched::Limits& limits, ipc::Executor* executor, const Clock* clock)
    : executor_(executor),
      clock_(clock),
      limits_(limits),
      scheduler_(limits),
      calls_(limits.requests) {
  running_.items.reserve(sched::kBatchRequestsMax);
  running_.calls.reserve(sched::kBatchRequestsMax);
  running_.stamps.reserve(sched::kBatchRequestsMax);
  watcher_ = std::thread([this] { WatchDeadlines(); });
}

Dispatcher::~Dispatcher() { Stop(std::chrono::hours(24)); }

Result<std::shared_ptr<const ServedModel>> Dispatcher::AddModel(
    std::shared_ptr<const ipc::Model> model, std::shared_ptr<obs::Metrics> metrics,
    Duration deadline_min) {
  auto served = std::make_shared<ServedModel>();
  const sched::ModelProfile profile =
      MakeProfile(model->info(), deadline_min, &served->latency_classes);
  served->rows_max = profile.rows_max;
  served->model = std::move(model);
  served->metrics = std::move(metrics);
  const std::lock_guard lock(mutex_);
  FUSEE_TRY(served->index, scheduler_.AddModel(profile));
  return std::shared_ptr<const ServedModel>(std::move(served));
}

std::optional<Dispatcher::Refused> Dispatcher::Submit(std::unique_ptr<InferCall> call) {
  const sched::RequestMeta meta{.model = call->model->index,
                                .arrival = call->arrival,
                                .deadline = call->deadline,
                                .rows = call->shape.rows,
                                .bytes = call->bytes,
                                .shape = call->shape.key,
                                .latency_class = call->shape.latency_class};
  obs::Metrics& metrics = *call->model->metrics;
  std::vector<Finished> finished;
  std::optional<ipc::Batch> batch;
  {
    const std::lock_guard lock(mutex_);
    const TimePoint now = clock_->Now();
    if (stopping_) {
      metrics.Add(MetricId::kRejections, Reason::kDraining);
      metrics.Add(MetricId::kRequestFailure, Reason::kRejected);
      return Refused{Unavailable("Server exiting"), Duration(0), Reason::kDraining};
    }
    const sched::Admission admission = scheduler_.Admit(meta, now);
    if (const auto* refusal = std::get_if<sched::Refusal>(&admission)) {
      metrics.Add(MetricId::kRejections, ReasonOf(refusal->reason));
      metrics.Add(MetricId::kRequestFailure, Reason::kRejected);
      return MakeRefusal(*refusal, *call);
    }
    metrics.Add(MetricId::kPendingRequests);
    calls_[std::get<sched::Ticket>(admission).slot] = std::move(call);
    pending_.fetch_add(1, std::memory_order_relaxed);
    if (!scheduler_.running()) {
      ExpireLocked(now, &finished);
      batch = StartLocked(now);
    }
    // The watcher sleeps towards the earliest expiry; wake it only when that moved forward.
    const auto expiry = scheduler_.NextExpiry();
    if (expiry && (!watched_ || *expiry < *watched_)) changed_.notify_one();
  }
  Proceed(batch, &finished);
  return std::nullopt;
}

bool Dispatcher::Full() const {
  const std::lock_guard lock(mutex_);
  return stopping_ || pending_.load(std::memory_order_relaxed) >= limits_.requests ||
         scheduler_.bytes() >= limits_.bytes;
}

void Dispatcher::ExpireLocked(TimePoint now, std::vector<Finished>* finished) {
  std::array<sched::Ticket, 64> expired;
  size_t n;
  do {
    n = scheduler_.Expire(now, expired);
    for (size_t i = 0; i < n; ++i) {
      Finished f{std::move(calls_[expired[i].slot]), DeadlineExceeded("Request timeout expired")};
      obs::Metrics& metrics = *f.call->model->metrics;
      metrics.Add(MetricId::kDeadlineMisses);
      CountBroken(metrics, Reason::kRejected);
      finished->push_back(std::move(f));
    }
  } while (n == expired.size());
}

std::optional<ipc::Batch> Dispatcher::StartLocked(TimePoint now) {
  auto planned = scheduler_.NextBatch(now);
  if (!planned) return std::nullopt;
  running_.batch = *planned;
  for (const sched::Ticket& ticket : planned->requests()) {
    auto call = std::move(calls_[ticket.slot]);
    running_.items.push_back({.inputs = call->inputs, .outputs = call->outputs});
    running_.stamps.push_back(scheduler_.stamps(ticket));
    running_.calls.push_back(std::move(call));
  }
  return ipc::Batch{
      .id = planned->id, .model = running_.calls[0]->model->model.get(), .items = running_.items};
}

void Dispatcher::OnBatchDone(ipc::BatchResult result) {
  std::vector<Finished> finished;
  std::optional<ipc::Batch> next;
  {
    const std::lock_guard lock(mutex_);
    FUSEE_CHECK(running_.batch.id == result.id && !running_.calls.empty(),
                "the executor reported a batch that is not running");
    const TimePoint now = clock_->Now();
    const Duration took = scheduler_.Complete(running_.batch, now);
    obs::Metrics& model_metrics = *running_.calls[0]->model->metrics;
    if (result.status.ok()) {
      model_metrics.Add(MetricId::kInferenceCount, running_.batch.rows);
      model_metrics.Add(MetricId::kExecCount);
      model_metrics.ObserveSize(MetricId::kBatchRows, running_.batch.rows);
    }
    for (size_t i = 0; i < running_.calls.size(); ++i) {
      Finished f{std::move(running_.calls[i]), result.status};
      obs::Metrics& metrics = *f.call->model->metrics;
      const Duration queued = running_.stamps[i].started - running_.stamps[i].queued;
      metrics.Observe(MetricId::kQueueSeconds, queued);
      metrics.Observe(MetricId::kComputeSeconds, took);
      if (!f.status.ok()) {
        CountBroken(metrics, Reason::kBackend);
      } else if (now > f.call->deadline) {
        f.status = DeadlineExceeded("Request timeout expired");
        metrics.Add(MetricId::kDeadlineMisses);
        CountBroken(metrics, Reason::kOther);
      } else {
        metrics.Add(MetricId::kRequestSuccess);
        metrics.Add(MetricId::kGoodRequests);
        metrics.AddUs(MetricId::kRequestDurationUs, now - f.call->arrival);
        metrics.AddUs(MetricId::kQueueDurationUs, queued);
        metrics.AddUs(MetricId::kComputeInputDurationUs, result.gather);
        metrics.AddUs(MetricId::kComputeInferDurationUs, result.compute);
        metrics.AddUs(MetricId::kComputeOutputDurationUs, result.scatter);
      }
      finished.push_back(std::move(f));
    }
    running_.calls.clear();
    running_.items.clear();
    running_.stamps.clear();
    if (!stopping_) {
      ExpireLocked(now, &finished);
      next = StartLocked(now);
    }
    ++answering_;
  }
  Proceed(next, &finished);
  const std::lock_guard lock(mutex_);
  --answering_;
  changed_.notify_all();  // under the lock: Stop may be waiting, and this object ends with it
}

void Dispatcher::Proceed(const std::optional<ipc::Batch>& batch, std::vector<Finished>* finished) {
  if (batch) executor_->Execute(*batch, this);
  for (Finished& f : *finished) {
    f.call->model->metrics->Subtract(MetricId::kPendingRequests);
    pending_.fetch_sub(1, std::memory_order_relaxed);
    auto done = std::move(f.call->done);
    done(std::move(f.call), std::move(f.status));
  }
  finished->clear();
}

void Dispatcher::WatchDeadlines() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    watched_ = scheduler_.NextExpiry();
    if (watched_)
      changed_.wait_for(lock, *watched_ - clock_->Now());
    else
      changed_.wait(lock);
    if (stopping_) return;
    std::vector<Finished> finished;
    ExpireLocked(clock_->Now(), &finished);
    if (finished.empty()) continue;
    lock.unlock();
    Proceed(std::nullopt, &finished);
    lock.lock();
  }
}

bool Dispatcher::Stop(std::chrono::milliseconds timeout) {
  std::vector<Finished> finished;
  {
    const std::lock_guard lock(mutex_);
    const bool first = !stopping_;
    stopping_ = true;
    changed_.notify_all();
    for (size_t slot = 0; first && slot < calls_.size(); ++slot) {
      if (!calls_[slot]) continue;
      CountBroken(*calls_[slot]->model->metrics, Reason::kCanceled);
      finished.push_back({std::move(calls_[slot]), Unavailable("Server exiting")});
    }
  }
  if (watcher_.joinable()) watcher_.join();
  Proceed(std::nullopt, &finished);
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout,
                           [this] { return running_.calls.empty() && answering_ == 0; });
}

}  // namespace fusee::server
