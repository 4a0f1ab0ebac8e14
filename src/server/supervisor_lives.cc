#include <fmt/format.h>

#include "base/log.h"
#include "ipc/worker_exit.h"
#include "server/supervisor_state.h"

namespace fusee::server {
namespace {

using ipc::MessageType;
using obs::MetricId;

constexpr uint32_t kMessagesAtOnce = 256;  // of one worker before the next is heard

obs::Reason ReasonOf(const ProcessEnd& end, const WorkerLife& life) {
  if (end.exited) {
    switch (static_cast<ipc::WorkerExit>(end.status)) {
      case ipc::WorkerExit::kDeviceAbsent: return obs::Reason::kDeviceAbsent;
      case ipc::WorkerExit::kDeviceLost: return obs::Reason::kDeviceLost;
      case ipc::WorkerExit::kGoldenMismatch: return obs::Reason::kGoldenMismatch;
      default: return obs::Reason::kExit;
    }
  }
  if (life.state() != WorkerState::kSuspect) return obs::Reason::kSignal;
  switch (life.fault()) {
    case WorkerLife::Fault::kHang: return obs::Reason::kHang;
    case WorkerLife::Fault::kSilent: return obs::Reason::kSilent;
    case WorkerLife::Fault::kProtocol: break;
  }
  return obs::Reason::kProtocol;
}

}  // namespace

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
  w.wrong_loads.resize(models.size());
  w.loading = models.size();
  w.told = w.rang = w.ended = false;
  w.last_words.clear();
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
    return holding.path.empty() || (!holding.model && holding.load_deaths >= kLoadDeathsMax) ||
           w.wrong_loads[model].deaths >= kLoadDeathsMax;
  };
  size_t next = w.loading == models.size() ? 0 : w.loading + 1;
  while (next < models.size() && passed_by(next)) ++next;
  w.loading = next;
  if (next == models.size()) {
    if (ForgiveWrongLoads(w)) return LoadNext(w, now);
    w.life.OnAllLoaded(now);
    w.announced = true;
    Event ready{.what = Event::What::kReady, .device = w.index, .probation = w.life.probation()};
    for (size_t m = 0; m < models.size(); ++m) {
      if (w.held[m]) ready.models.push_back(At(m, w.kind).model.get());
    }
    spdlog::info("worker {} is {}: process {}, {} models", w.device.info.name,
                 WorkerStateName(w.life.state()), w.process.pid(), ready.models.size());
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

bool Supervisor::State::ForgiveWrongLoads(Worker& w) {
  const bool serves = std::ranges::find(w.held, true) != w.held.end();
  bool forgiven = false;
  for (size_t m = 0; m < models.size(); ++m) {
    Worker::WrongLoads& wrong = w.wrong_loads[m];
    if (wrong.deaths < kLoadDeathsMax) continue;
    wrong.deaths = kLoadDeathsMax - 1;
    forgiven = true;
    Holding& holding = At(m, w.kind);
    if (!serves || holding.model || !holding.failure.ok()) continue;
    holding.failure =
        DataLoss(fmt::format("worker {} ended {} times while loading it ({}); its other models "
                             "are served without it",
                             w.device.info.name, kLoadDeathsMax, wrong.how));
    spdlog::error("model '{}' version {}: {}", models[m].name, models[m].version,
                  holding.failure.message());
  }
  return forgiven && !serves;
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
    case MessageType::kProbed: return OnProbed(w, message, now);
    case MessageType::kLastWords: {
      ipc::LastWordsMessage words;
      FUSEE_TRY(Decode(message.payload, &words));
      w.last_words = std::move(words.text);
      return OkStatus();
    }
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
                  .waited = w.in_flight->waited,
                  .gather = done.gather,
                  .compute = done.compute,
                  .scatter = done.scatter};
  events.push_back(std::move(event));
  w.in_flight.reset();
  w.life.OnBatchDone(now);
  return OkStatus();
}

Status Supervisor::State::OnProbed(Worker& w, const ipc::Message& message, TimePoint now) {
  ipc::ProbedMessage probed;
  FUSEE_TRY(Decode(message.payload, &probed));
  if (message.header.about != w.probes)
    return DataLoss("it made a golden run that nobody asked for");
  if (probed.probed) metrics[w.index]->Add(MetricId::kWorkerProbes);
  w.life.OnProbed(now, probed.probed);
  return OkStatus();
}

void Supervisor::State::Lose(Worker& w) {
  if (!w.in_flight) return;
  Event event{.what = Event::What::kDone, .device = w.index, .listener = w.in_flight->listener};
  event.result = {
      .id = w.in_flight->batch.id,
      .status = Unavailable(fmt::format("device {} ended before it answered", w.device.info.name)),
      .lost = true,
      .blameless = w.life.probing() || !w.in_flight->sent};
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
  const obs::Reason reason = ReasonOf(*end, w.life);
  const bool absent = reason == obs::Reason::kDeviceAbsent;
  const bool wrong = reason == obs::Reason::kGoldenMismatch;
  const bool was_loading = w.life.state() == WorkerState::kWarming && w.loading < models.size();
  const std::string why = w.life.state() == WorkerState::kSuspect ? w.life.why() + "; " : "";
  const std::string how =
      w.last_words.empty() ? end->Text() : fmt::format("{}: {}", end->Text(), w.last_words);
  Retire(w);
  w.reader.reset();
  w.writer.reset();
  w.channel.reset();
  w.kept.clear();
  w.life.OnExit(now, absent  ? WorkerLife::End::kAbsent
                     : wrong ? WorkerLife::End::kWrong
                             : WorkerLife::End::kCrashed);
  if (w.life.state() == WorkerState::kStopped) return;
  metrics[w.index]->Add(MetricId::kWorkerDeaths, reason);
  if (was_loading && wrong) {
    w.wrong_loads[w.loading].how = how;
    ++w.wrong_loads[w.loading].deaths;
  }
  if (was_loading && !absent && !wrong) {
    Holding& holding = At(w.loading, w.kind);
    if (++holding.load_deaths >= kLoadDeathsMax && !holding.model) {
      holding.failure = Internal(fmt::format("worker {} died {} times while loading it ({})",
                                             w.device.info.name, holding.load_deaths, how));
    }
  }
  w.absent_text = how;
  const bool repeated = absent && w.given_up;
  w.given_up = w.given_up || absent || w.life.state() == WorkerState::kQuarantined;
  if (!repeated) {
    spdlog::log(absent ? spdlog::level::info : spdlog::level::warn,
                "worker {} ended: {}{}{}; now {}", w.device.info.name, why, how,
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
      case WorkerLife::Action::kProbe:
        if (Status sent = Send(w, MessageType::kProbe, ++w.probes, {}); !sent.ok())
          w.life.OnFault(now, sent.message());
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

}  // namespace fusee::server
