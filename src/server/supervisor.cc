#include "server/supervisor.h"

#include <fmt/format.h>

#include "base/log.h"
#include "server/supervisor_state.h"

namespace fusee::server {
namespace {

using ipc::MessageType;

constexpr std::chrono::milliseconds kStopGrace{1000};  // told to stop, before being killed
constexpr std::chrono::milliseconds kPollMax{1000};    // a lost wake-up costs no more than this

}  // namespace

// ---- batches ----

Status Supervisor::State::EncodeBatch(Worker& w, const ipc::Batch& batch) {
  ipc::BatchMessage& m = w.message;
  m.id = batch.id;
  m.model = static_cast<const RemoteModel*>(batch.model)->number();
  m.shapes.clear();
  m.places.clear();
  for (const auto& view : batch.items[0].inputs) m.shapes.push_back(view.shape);
  for (const auto& view : batch.items[0].outputs) m.shapes.push_back(view.shape);
  const auto place = [&m](const ipc::Slab& slab, const ConstTensorView& view) {
    const auto bytes = static_cast<size_t>(view.size_bytes());
    if (bytes > 0 && !slab.Holds(view.data, bytes)) return false;
    m.places.push_back({.offset = bytes > 0 ? slab.OffsetOf(view.data) : 0,
                        .rows = view.shape.rank() > 0 ? view.shape[0] : 1});
    return true;
  };
  for (const ipc::BatchItem& item : batch.items) {
    bool held = true;
    for (const auto& view : item.inputs) held = held && place(*inputs, view);
    for (const auto& view : item.outputs) held = held && place(*outputs, view);
    if (!held) return Internal("a tensor of the batch does not lie in the slabs");
  }
  return Encode(m, &w.payload);
}

void Supervisor::Execute(size_t device, const ipc::Batch& batch, ipc::BatchListener* listener) {
  State& st = *state_;
  const std::lock_guard lock(st.mutex);
  State::Worker& w = *st.workers[device];
  const TimePoint now = st.clock->Now();
  const auto finish = [&](ipc::BatchResult result) {
    st.events.push_back(
        {.what = State::Event::What::kDone, .device = device, .listener = listener});
    st.events.back().result = std::move(result);
    st.control.Ring();
  };
  const bool takes = w.announced && !w.in_flight && w.life.ready();
  if (!takes) {
    return finish({.id = batch.id,
                   .status = Unavailable("the device is gone"),
                   .lost = true,
                   .blameless = true});
  }
  if (Status encoded = st.EncodeBatch(w, batch); !encoded.ok())
    return finish({.id = batch.id, .status = std::move(encoded)});
  w.in_flight = {.batch = batch, .listener = listener, .waited = w.life.probing()};
  w.life.OnBatchSent(now, batch.predicted);
  if (Status sent = st.Send(w, MessageType::kBatch, batch.id, w.payload); !sent.ok()) {
    w.in_flight->sent = false;
    w.life.OnFault(now, sent.message());
  }
  // The thread sleeps towards the next thing it knows of; this may come sooner.
  const auto wake = w.life.next_wake();
  if (wake && *wake < st.sleeping_until) st.control.Ring();
}

void Supervisor::KeepUntilDead(size_t device, ipc::Block block) {
  const std::lock_guard lock(state_->mutex);
  State::Worker& w = *state_->workers[device];
  // A process that took the place of the lost one does not know the block.
  if (w.life.state() == WorkerState::kSuspect) w.kept.push_back(std::move(block));
}

// ---- models ----

bool Supervisor::State::Settled(size_t model, size_t kind) {
  const Holding& holding = At(model, kind);
  if (holding.model || !holding.failure.ok()) return true;
  return std::ranges::all_of(workers,
                             [&](const auto& w) { return w->kind != kind || w->given_up; });
}

std::vector<KindModel> Supervisor::State::Report(size_t model) {
  std::vector<KindModel> report;
  for (const ModelSource::Plan& plan : models[model].plans) {
    const auto kind = std::ranges::find(kinds, plan.kind);
    if (kind == kinds.end()) continue;
    Holding& holding = At(model, static_cast<size_t>(kind - kinds.begin()));
    holding.told = true;
    if (holding.model) {
      report.push_back({plan.kind, std::shared_ptr<const ipc::Model>(holding.model)});
    } else if (!holding.failure.ok()) {
      report.push_back({plan.kind, holding.failure});
    } else {
      std::string text;
      for (const auto& w : workers) {
        if (w->device.info.kind == plan.kind) text = w->absent_text;
      }
      report.push_back(
          {plan.kind, Unavailable(fmt::format("no {} worker is there now ({})", plan.kind, text))});
    }
  }
  return report;
}

void Supervisor::LoadAll(std::span<const ModelSource> models,
                         const std::function<bool(size_t, std::vector<KindModel>)>& settled) {
  State& st = *state_;
  {
    const std::lock_guard lock(st.mutex);
    st.models.assign(models.begin(), models.end());
    st.holdings.resize(models.size() * st.kinds.size());
    for (size_t m = 0; m < models.size(); ++m) {
      for (const ModelSource::Plan& plan : models[m].plans) {
        const auto kind = std::ranges::find(st.kinds, plan.kind);
        if (kind != st.kinds.end())
          st.At(m, static_cast<size_t>(kind - st.kinds.begin())).path = plan.path;
      }
    }
    if (st.interrupted || st.stopping) return;
    st.thread = std::thread([&st] { st.Loop(); });
  }
  for (size_t m = 0; m < models.size(); ++m) {
    std::vector<KindModel> report;
    {
      std::unique_lock lock(st.mutex);
      st.changed.wait(lock, [&] {
        if (st.interrupted) return true;
        for (size_t k = 0; k < st.kinds.size(); ++k) {
          if (!st.At(m, k).path.empty() && !st.Settled(m, k)) return false;
        }
        return true;
      });
      if (st.interrupted) return;
      report = st.Report(m);
    }
    if (!settled(m, std::move(report))) return;
  }
  // Loaded is not yet ready: whoever is told that the server serves may send at once.
  std::unique_lock lock(st.mutex);
  st.changed.wait(lock, [&] {
    return st.interrupted ||
           std::ranges::any_of(st.workers, [](const auto& w) { return w->told; }) ||
           std::ranges::all_of(st.workers, [](const auto& w) { return w->given_up; });
  });
}

void Supervisor::Interrupt() {
  const std::lock_guard lock(state_->mutex);
  state_->interrupted = true;
  state_->changed.notify_all();
}

// ---- the thread ----

void Supervisor::State::Deliver(std::vector<Event>& due) {
  for (Event& e : due) {
    switch (e.what) {
      case Event::What::kDone: e.listener->OnBatchDone(std::move(e.result)); break;
      case Event::What::kReady:
        listener->OnDeviceReady(e.device, std::move(e.models), e.probation);
        break;
      case Event::What::kGone: listener->OnDeviceLost(e.device); break;
      case Event::What::kArrived:
        listener->OnModelArrived(e.model, {std::move(e.kind), std::move(e.loaded)});
        break;
    }
  }
}

int Supervisor::State::FillPollSet(TimePoint now) {
  poll_set.assign(1, {.fd = control.fd(), .events = POLLIN, .revents = 0});
  poll_flags.assign(1, nullptr);
  const auto watch = [this](int fd, bool* flag) {
    poll_set.push_back({.fd = fd, .events = POLLIN, .revents = 0});
    poll_flags.push_back(flag);
  };
  sleeping_until = now + kPollMax;
  if (stopping) sleeping_until = std::min(sleeping_until, kill_at);
  for (const auto& w : workers) {
    if (w->channel) watch(w->channel->reply_bell().fd(), &w->rang);
    if (w->process.fd() >= 0) watch(w->process.fd(), &w->ended);
    if (const auto wake = w->life.next_wake()) sleeping_until = std::min(sleeping_until, *wake);
  }
  // Rounded up: a wake-up just before the moment would only be followed by another.
  const auto left = std::max(Duration(0), sleeping_until - now) + std::chrono::microseconds(999);
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(left).count());
}

void Supervisor::State::Loop() {
  std::unique_lock lock(mutex);
  while (true) {
    const TimePoint now = clock->Now();
    for (const auto& w : workers) {
      // Replies first: one that came in time is in time, however late it is read.
      if (std::exchange(w->rang, false)) Hear(*w, now);
      if (std::exchange(w->ended, false)) Reap(*w, now);
      Act(*w, now);
      if (stopping && w->life.alive() && now >= kill_at) w->process.Kill();
      ShowState(*w);
    }
    if (stopping && AllStopped()) return;
    std::vector<Event> due = std::exchange(events, {});
    if (!due.empty()) {
      const bool deaf = stopping;
      lock.unlock();
      if (!deaf) Deliver(due);  // it may give us more to do
      lock.lock();
      for (const Event& e : due) {
        if (e.what == Event::What::kReady) workers[e.device]->told = true;
      }
      changed.notify_all();
      continue;
    }
    const int timeout_ms = FillPollSet(now);
    lock.unlock();
    const int count = poll(poll_set.data(), poll_set.size(), timeout_ms);
    lock.lock();
    // Only this thread opens and closes what is in the set, so it is still what it was.
    for (size_t i = 1; count > 0 && i < poll_set.size(); ++i)
      *poll_flags[i] = *poll_flags[i] || poll_set[i].revents != 0;
    if (count > 0 && poll_set[0].revents != 0) control.Hear();
  }
}

// ---- construction and end ----

Result<std::unique_ptr<Supervisor>> Supervisor::Create(Options options, const Clock* clock) {
  if (options.devices.empty() || options.devices.size() > kDevicesMax) {
    return InvalidArgument(
        fmt::format("workers: expected 1 to {}, got {}", kDevicesMax, options.devices.size()));
  }
  auto state = std::make_unique<State>(std::move(options), clock);
  for (const Device& device : state->options.devices) {
    auto worker = std::make_unique<State::Worker>(device);
    worker->index = state->workers.size();
    const auto kind = std::ranges::find(state->kinds, device.info.kind);
    worker->kind = static_cast<size_t>(kind - state->kinds.begin());
    if (kind == state->kinds.end()) state->kinds.push_back(device.info.kind);
    state->cpu_workers += device.info.kind == "cpu";
    state->infos.push_back(device.info);
    state->workers.push_back(std::move(worker));
  }
  if (state->kinds.size() > kDeviceKindsMax)
    return InvalidArgument(fmt::format("at most {} kinds of devices", kDeviceKindsMax));
  FUSEE_TRY(state->control, ipc::Bell::Create());
  FUSEE_TRY(state->inputs, ipc::Slab::Create("fusee-inputs", state->options.slab_bytes));
  FUSEE_TRY(state->outputs, ipc::Slab::Create("fusee-outputs", state->options.slab_bytes));
  auto read_only = state->inputs->memory().ReadOnlyDescriptor();
  if (read_only.ok())
    state->inputs_read_only = std::move(*read_only);
  else
    spdlog::warn("workers can write to input tensors: {}", read_only.status().message());
  return std::unique_ptr<Supervisor>(new Supervisor(std::move(state)));
}

Supervisor::Supervisor(std::unique_ptr<State> state) : state_(std::move(state)) {}
Supervisor::~Supervisor() { Shutdown(); }

std::span<const DeviceInfo> Supervisor::devices() const { return state_->infos; }
ipc::RequestMemory Supervisor::request_memory() { return {state_->inputs, state_->outputs}; }

void Supervisor::Attach(FleetListener* listener, obs::Registry* registry) {
  state_->listener = listener;
  state_->registry = registry;
  for (const DeviceInfo& info : state_->infos)
    state_->metrics.push_back(registry->Device(info.name));
}

void Supervisor::Shutdown() {
  State& st = *state_;
  {
    const std::lock_guard lock(st.mutex);
    if (std::exchange(st.shut_down, true)) return;
    st.stopping = st.interrupted = true;
    const TimePoint now = st.clock->Now();
    st.kill_at = now + kStopGrace;
    for (const auto& w : st.workers) {
      w->life.Drain(now);
      if (w->life.alive() && w->writer) (void)st.Send(*w, MessageType::kStop, 0, {});
    }
    st.changed.notify_all();
    st.control.Ring();
  }
  if (st.thread.joinable()) st.thread.join();
}

void Supervisor::SetFaults(size_t device, std::string faults) {
  const std::lock_guard lock(state_->mutex);
  state_->workers[device]->faults = std::move(faults);
}
WorkerState Supervisor::state(size_t device) const {
  const std::lock_guard lock(state_->mutex);
  return state_->workers[device]->life.state();
}
pid_t Supervisor::pid(size_t device) const {
  const std::lock_guard lock(state_->mutex);
  return state_->workers[device]->process.pid();
}

}  // namespace fusee::server
