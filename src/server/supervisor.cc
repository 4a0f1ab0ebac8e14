#include "server/supervisor.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "ipc/messages.h"
#include "ipc/slab.h"
#include "ipc/worker_exit.h"
#include "server/worker_process.h"

namespace fusee::server {
namespace {

using ipc::MessageType;
using obs::MetricId;

constexpr std::chrono::milliseconds kStopGrace{1000};  // told to stop, before being killed
constexpr std::chrono::milliseconds kPollMax{1000};    // a lost wake-up costs no more than this
constexpr uint32_t kMessagesAtOnce = 256;              // of one worker before the next is heard

// A model that lives in workers: what one of them said about it.
class RemoteModel final : public ipc::Model {
 public:
  RemoteModel(uint32_t number, ipc::ModelInfo info, ipc::ShapeProgram shapes)
      : number_(number), info_(std::move(info)), shapes_(std::move(shapes)) {}
  const ipc::ModelInfo& info() const override { return info_; }
  Status OutputShapes(std::span<const Shape> inputs, std::span<Shape> outputs) const override {
    return ipc::OutputShapes(info_, shapes_, inputs, outputs);
  }
  uint32_t number() const { return number_; }

 private:
  const uint32_t number_;
  const ipc::ModelInfo info_;
  const ipc::ShapeProgram shapes_;
};

// One model on one kind of device.
struct Holding {
  std::string path;                          // of the plan; empty: none for this kind
  std::shared_ptr<const RemoteModel> model;  // shared with requests; null until a worker loaded it
  Status failure;                            // not ok: it cannot be loaded on this kind
  uint32_t load_deaths = 0;
  bool told = false;  // LoadAll has reported on it
};

struct Worker {
  explicit Worker(const Supervisor::Device& d) : device(d), life(d.limits), faults(d.faults) {}

  const Supervisor::Device device;
  size_t index = 0;  // in State::workers
  size_t kind = 0;   // index into State::kinds
  WorkerLife life;
  std::string faults;
  WorkerProcess process;
  std::optional<ipc::Channel> channel;
  std::optional<ipc::RingWriter> writer;
  std::optional<ipc::RingReader> reader;
  // Of this life.
  size_t loading = 0;                // the model it was told to load last
  std::vector<bool> held;            // by model
  bool announced = false;            // the listener knows it as ready, or is about to
  bool told = false;                 // it does
  bool rang = false, ended = false;  // what poll said of its bell and its process
  // Of the worker.
  bool given_up = false;  // absent or quarantined since its last hello: nobody waits for it
  std::string absent_text;
  uint64_t lives = 0, pings = 0;
  struct InFlight {
    ipc::Batch batch;
    ipc::BatchListener* listener;
  };
  std::optional<InFlight> in_flight;
  std::vector<ipc::Block> kept;  // until the process is dead
  // Reused from batch to batch.
  ipc::BatchMessage message;
  std::vector<std::byte> payload;
};

// What listeners are told, in order, once the lock is released.
struct Event {
  enum class What : uint8_t { kDone, kReady, kGone, kArrived } what;
  size_t device = 0;
  ipc::BatchListener* listener = nullptr;    // kDone
  ipc::BatchResult result;                   // kDone
  std::vector<const ipc::Model*> models;     // kReady
  size_t model = 0;                          // kArrived
  std::string kind;                          // kArrived
  std::shared_ptr<const ipc::Model> loaded;  // kArrived; shared with the holding
};

}  // namespace

struct Supervisor::State {
  State(Options o, const Clock* c) : options(std::move(o)), clock(c) {}

  // --- one life of a worker; all need the lock ---
  Status StartProcess(Worker& w);
  void Spawn(Worker& w, TimePoint now);
  void LoadNext(Worker& w, TimePoint now);
  void Hear(Worker& w, TimePoint now);
  Status OnMessage(Worker& w, const ipc::Message& message, TimePoint now);
  Status OnHello(Worker& w, const ipc::Message& message, TimePoint now);
  Status OnLoaded(Worker& w, const ipc::Message& message, TimePoint now);
  Status OnDone(Worker& w, const ipc::Message& message, TimePoint now);
  void Reap(Worker& w, TimePoint now);
  void Act(Worker& w, TimePoint now);
  // The worker takes no more: says so, and reports its batch lost.
  void Retire(Worker& w);
  void Lose(Worker& w);
  Status Send(Worker& w, MessageType type, uint64_t about, std::span<const std::byte> payload);
  Status EncodeBatch(Worker& w, const ipc::Batch& batch);
  void ShowState(Worker& w);

  // --- models; all need the lock ---
  Holding& At(size_t model, size_t kind) { return holdings[model * kinds.size() + kind]; }
  // Whether there is nothing more to wait for, and what is known then.
  bool Settled(size_t model, size_t kind);
  std::vector<KindModel> Report(size_t model);

  void Loop();
  void Deliver(std::vector<Event>& due);
  // What to wait for, and how long, milliseconds.
  int FillPollSet(TimePoint now);
  bool AllStopped() const {
    return std::ranges::all_of(
        workers, [](const auto& w) { return w->life.state() == WorkerState::kStopped; });
  }

  const Options options;
  const Clock* const clock;
  std::vector<DeviceInfo> infos;
  std::vector<std::string> kinds;
  int cpu_workers = 0;
  std::shared_ptr<ipc::Slab> inputs, outputs;  // shared with every block of theirs
  Descriptor inputs_read_only;
  ipc::Bell control;
  FleetListener* listener = nullptr;
  obs::Registry* registry = nullptr;
  std::vector<std::shared_ptr<obs::Metrics>> metrics;  // by device; shared with the registry

  mutable std::mutex mutex;
  std::condition_variable changed;  // a model settled, or interrupted
  // All guarded by mutex.
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<ModelSource> models;
  std::vector<Holding> holdings;  // by model, then kind
  std::vector<Event> events;
  TimePoint sleeping_until{};
  bool interrupted = false, stopping = false, shut_down = false;
  TimePoint kill_at{};  // when stopping
  // Of the thread: what it polls, and which flag of a worker each entry sets.
  std::vector<pollfd> poll_set;
  std::vector<bool*> poll_flags;
  std::thread thread;
};

// ---- lives ----

Status Supervisor::State::StartProcess(Worker& w) {
  FUSEE_TRY(ipc::Channel channel, ipc::Channel::Create());
  std::vector<std::string> args = {options.worker_path,
                                   "--device",
                                   w.device.open_as,
                                   "--name",
                                   w.device.info.name,
                                   "--threads",
                                   std::to_string(options.threads),
                                   "--sharers",
                                   std::to_string(std::max(cpu_workers, 1))};
  if (options.marks) args.insert(args.end(), {"--nvtx", "1"});
  if (!w.faults.empty()) args.insert(args.end(), {"--faults", w.faults});
  // A CPU worker can read inputs but not change them: what is run again elsewhere is what came.
  const bool read_only = w.device.info.kind == "cpu" && inputs_read_only.ok();
  FUSEE_TRY(w.process,
            WorkerProcess::Start(options.worker_path, args, channel,
                                 read_only ? inputs_read_only.get() : inputs->memory().fd(),
                                 outputs->memory().fd()));
  w.channel.emplace(std::move(channel));
  w.writer.emplace(w.channel->requests());
  w.reader.emplace(w.channel->replies());
  return OkStatus();
}

void Supervisor::State::Spawn(Worker& w, TimePoint now) {
  w.held.assign(models.size(), false);
  w.loading = models.size();
  w.told = w.rang = w.ended = false;
  const Status started = StartProcess(w);
  if (!started.ok()) {
    spdlog::error("worker {}: {}", w.device.info.name, started.message());
    w.absent_text = started.message();
    w.life.OnExit(now, WorkerLife::End::kCrashed);
    w.given_up = true;
    changed.notify_all();
    return;
  }
  if (w.lives++ > 0) metrics[w.index]->Add(MetricId::kWorkerRestarts);
  w.life.OnSpawned(now);
}

Status Supervisor::State::Send(Worker& w, MessageType type, uint64_t about,
                               std::span<const std::byte> payload) {
  FUSEE_TRY(w.writer->Write({.type = static_cast<uint16_t>(type), .about = about}, payload));
  w.channel->request_bell().Ring();
  return OkStatus();
}

void Supervisor::State::LoadNext(Worker& w, TimePoint now) {
  // Passes by what has no plan for this device and what has proved deadly; a model that another
  // worker could not load is tried all the same, since that may have been the worker's fault.
  const auto passed_by = [this, &w](size_t model) {
    const Holding& holding = At(model, w.kind);
    return holding.path.empty() || (!holding.model && holding.load_deaths >= kLoadDeathsMax);
  };
  size_t next = w.loading == models.size() ? 0 : w.loading + 1;
  while (next < models.size() && passed_by(next)) ++next;
  w.loading = next;
  if (next == models.size()) {
    w.life.OnAllLoaded(now);
    w.announced = true;
    Event ready{.what = Event::What::kReady, .device = w.index};
    for (size_t m = 0; m < models.size(); ++m) {
      if (w.held[m]) ready.models.push_back(At(m, w.kind).model.get());
    }
    spdlog::info("worker {} is ready: process {}, {} models", w.device.info.name, w.process.pid(),
                 ready.models.size());
    events.push_back(std::move(ready));
    return;
  }
  Encode(ipc::LoadMessage{.model = static_cast<uint32_t>(next),
                          .path = At(next, w.kind).path,
                          .name = models[next].name,
                          .version = models[next].version},
         &w.payload);
  if (Status sent = Send(w, MessageType::kLoad, next, w.payload); !sent.ok())
    w.life.OnFault(now, sent.message());
}

void Supervisor::State::Hear(Worker& w, TimePoint now) {
  if (!w.reader) return;
  w.channel->reply_bell().Hear();
  ipc::Message message;
  for (uint32_t i = 0; i < kMessagesAtOnce; ++i) {
    const auto read = w.reader->Read(&message);
    if (read.ok() && !*read) return;
    const Status status = read.ok() ? OnMessage(w, message, now) : read.status();
    // Whatever a suspect still says no longer counts.
    if (!status.ok() || w.life.state() == WorkerState::kSuspect) {
      if (!status.ok()) w.life.OnFault(now, status.message());
      return;
    }
  }
  w.channel->reply_bell().Ring();  // there may be more
}

Status Supervisor::State::OnMessage(Worker& w, const ipc::Message& message, TimePoint now) {
  switch (static_cast<MessageType>(message.header.type)) {
    case MessageType::kHello: return OnHello(w, message, now);
    case MessageType::kLoaded: return OnLoaded(w, message, now);
    case MessageType::kDone: return OnDone(w, message, now);
    case MessageType::kPong: w.life.OnPong(now); return OkStatus();
    default: break;
  }
  return DataLoss(fmt::format("it sent a message of unknown type {}", message.header.type));
}

Status Supervisor::State::OnHello(Worker& w, const ipc::Message& message, TimePoint now) {
  ipc::HelloMessage hello;
  FUSEE_TRY(Decode(message.payload, &hello));
  if (hello.protocol != ipc::kProtocol) {
    return DataLoss(
        fmt::format("it speaks protocol {}, expected {}: front and worker are of two "
                    "builds",
                    hello.protocol, ipc::kProtocol));
  }
  if (w.life.state() != WorkerState::kStarting) return DataLoss("it said hello twice");
  w.life.OnHello(now);
  w.given_up = false;
  LoadNext(w, now);
  return OkStatus();
}

Status Supervisor::State::OnLoaded(Worker& w, const ipc::Message& message, TimePoint now) {
  ipc::LoadedMessage loaded;
  FUSEE_TRY(Decode(message.payload, &loaded));
  if (w.life.state() != WorkerState::kWarming || loaded.model != w.loading)
    return DataLoss("it loaded a model that it was not told to");
  const ModelSource& source = models[loaded.model];
  Holding& holding = At(loaded.model, w.kind);
  const auto complain = [&](std::string_view why) {
    spdlog::error("worker {}: model '{}' version {}: {}", w.device.info.name, source.name,
                  source.version, why);
  };
  if (!loaded.status.ok()) {
    complain(loaded.status.message());
    // What another life could load is this life's trouble.
    if (!holding.model) holding.failure = std::move(loaded.status);
  } else if (!holding.model) {
    loaded.info.name = source.name;  // ours, whatever came back
    loaded.info.version = source.version;
    holding.model = std::make_shared<RemoteModel>(loaded.model, std::move(loaded.info),
                                                  std::move(loaded.shapes));
    w.held[loaded.model] = true;
    if (holding.told) {
      events.push_back({.what = Event::What::kArrived,
                        .model = loaded.model,
                        .kind = w.device.info.kind,
                        .loaded = holding.model});
    }
  } else if (loaded.info.plan_digest != holding.model->info().plan_digest) {
    complain("the plan's file is another one than when the server started; not used here");
  } else {
    w.held[loaded.model] = true;
  }
  w.life.OnModelLoaded(now);
  LoadNext(w, now);
  changed.notify_all();
  return OkStatus();
}

Status Supervisor::State::OnDone(Worker& w, const ipc::Message& message, TimePoint now) {
  ipc::DoneMessage done;
  FUSEE_TRY(Decode(message.payload, &done));
  if (!w.in_flight || w.in_flight->batch.id != done.id)
    return DataLoss("it answered a batch that it does not have");
  const ipc::Batch& batch = w.in_flight->batch;
  if (done.status.ok() && batch.items.size() == 1) {
    const std::span<TensorView> outputs = batch.items[0].outputs;
    if (done.outputs.size() != outputs.size()) return DataLoss("it answered with other outputs");
    for (size_t o = 0; o < outputs.size(); ++o) {
      const Shape& is = done.outputs[o];
      const Shape& room = outputs[o].shape;
      bool fits = is.rank() == room.rank();
      for (int axis = 0; fits && axis < is.rank(); ++axis) fits = is[axis] <= room[axis];
      if (!fits) return DataLoss("it answered with an output larger than its place");
    }
    for (size_t o = 0; o < outputs.size(); ++o) outputs[o].shape = done.outputs[o];
  }
  Event event{.what = Event::What::kDone, .device = w.index, .listener = w.in_flight->listener};
  event.result = {.id = done.id,
                  .status = std::move(done.status),
                  .gather = done.gather,
                  .compute = done.compute,
                  .scatter = done.scatter};
  events.push_back(std::move(event));
  w.in_flight.reset();
  w.life.OnBatchDone(now);
  return OkStatus();
}

void Supervisor::State::Lose(Worker& w) {
  if (!w.in_flight) return;
  Event event{.what = Event::What::kDone, .device = w.index, .listener = w.in_flight->listener};
  event.result = {
      .id = w.in_flight->batch.id,
      .status = Unavailable(fmt::format("device {} ended before it answered", w.device.info.name)),
      .lost = true};
  events.push_back(std::move(event));
  w.in_flight.reset();
  metrics[w.index]->Add(MetricId::kWorkerBatchesLost);
}

void Supervisor::State::Retire(Worker& w) {
  if (std::exchange(w.announced, false))
    events.push_back({.what = Event::What::kGone, .device = w.index});
  Lose(w);
}

void Supervisor::State::Reap(Worker& w, TimePoint now) {
  const auto end = w.process.Reap();
  if (!end) return;
  Hear(w, now);  // what it finished before it died is finished
  const bool had_batch = w.in_flight.has_value();
  const bool absent =
      end->exited && end->status == static_cast<int>(ipc::WorkerExit::kDeviceAbsent);
  const bool was_loading = w.life.state() == WorkerState::kWarming && w.loading < models.size();
  const std::string why = w.life.state() == WorkerState::kSuspect ? w.life.why() + "; " : "";
  Retire(w);
  w.reader.reset();
  w.writer.reset();
  w.channel.reset();
  w.kept.clear();
  w.life.OnExit(now, absent ? WorkerLife::End::kAbsent : WorkerLife::End::kCrashed);
  if (w.life.state() == WorkerState::kStopped) return;
  metrics[w.index]->Add(MetricId::kWorkerDeaths);
  if (was_loading && !absent) {
    Holding& holding = At(w.loading, w.kind);
    if (++holding.load_deaths >= kLoadDeathsMax && !holding.model) {
      holding.failure = Internal(fmt::format("worker {} died {} times while loading it ({})",
                                             w.device.info.name, holding.load_deaths, end->Text()));
    }
  }
  w.absent_text = end->Text();
  const bool repeated = absent && w.given_up;
  w.given_up = w.given_up || absent || w.life.state() == WorkerState::kQuarantined;
  if (!repeated) {
    spdlog::log(absent ? spdlog::level::info : spdlog::level::warn,
                "worker {} ended: {}{}{}; now {}", w.device.info.name, why, end->Text(),
                had_batch ? ", with a batch in flight" : "", WorkerStateName(w.life.state()));
  }
  changed.notify_all();
}

void Supervisor::State::Act(Worker& w, TimePoint now) {
  while (true) {
    const WorkerLife::Action action = w.life.Poll(now);
    if (w.life.state() == WorkerState::kSuspect) Retire(w);
    switch (action) {
      case WorkerLife::Action::kNone: return;
      case WorkerLife::Action::kSpawn: Spawn(w, now); break;
      case WorkerLife::Action::kKill:
        spdlog::warn("worker {} is killed: {}", w.device.info.name, w.life.why());
        w.process.Kill();
        break;
      case WorkerLife::Action::kPing:
        if (Status sent = Send(w, MessageType::kPing, ++w.pings, {}); !sent.ok())
          w.life.OnFault(now, sent.message());
        break;
    }
  }
}

void Supervisor::State::ShowState(Worker& w) {
  metrics[w.index]->Set(MetricId::kWorkerState, static_cast<uint64_t>(w.life.state()));
}

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
  Worker& w = *st.workers[device];
  const TimePoint now = st.clock->Now();
  const auto finish = [&](ipc::BatchResult result) {
    st.events.push_back({.what = Event::What::kDone, .device = device, .listener = listener});
    st.events.back().result = std::move(result);
    st.control.Ring();
  };
  const bool takes = w.announced && !w.in_flight && w.life.ready();
  if (!takes) {
    return finish({.id = batch.id, .status = Unavailable("the device is gone"), .lost = true});
  }
  if (Status encoded = st.EncodeBatch(w, batch); !encoded.ok())
    return finish({.id = batch.id, .status = std::move(encoded)});
  w.in_flight = {batch, listener};
  w.life.OnBatchSent(now, batch.predicted);
  if (Status sent = st.Send(w, MessageType::kBatch, batch.id, w.payload); !sent.ok())
    w.life.OnFault(now, sent.message());
  // The thread sleeps towards the next thing it knows of; this may come sooner.
  const auto wake = w.life.next_wake();
  if (wake && *wake < st.sleeping_until) st.control.Ring();
}

void Supervisor::KeepUntilDead(size_t device, ipc::Block block) {
  const std::lock_guard lock(state_->mutex);
  Worker& w = *state_->workers[device];
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
      case Event::What::kReady: listener->OnDeviceReady(e.device, std::move(e.models)); break;
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
    auto worker = std::make_unique<Worker>(device);
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
