// What supervisor.h hides: the fleet's workers, models and events, and the thread that tends them.
//
//   supervisor_lives.cc   one life of a worker: start, load, listen, mourn
//   supervisor.cc         batches, models, the thread, construction and end
#pragma once

#include <poll.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ipc/messages.h"
#include "ipc/slab.h"
#include "server/supervisor.h"
#include "server/worker_process.h"

namespace fusee::server {

struct Supervisor::State {
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
    std::string path;  // of the plan; empty: none for this kind
    std::shared_ptr<const RemoteModel>
        model;       // shared with requests; null until a worker loaded it
    Status failure;  // not ok: it cannot be loaded on this kind
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
    std::string last_words;            // why it is about to end
    bool rang = false, ended = false;  // what poll said of its bell and its process
    // Of the worker.
    bool given_up = false;  // absent or quarantined since its last hello: nobody waits for it
    std::string absent_text;
    struct WrongLoads {
      uint32_t deaths = 0;
      std::string how;  // the last one
    };
    std::vector<WrongLoads> wrong_loads;  // by model: golden outputs differed while it was loaded
    uint64_t lives = 0, pings = 0, probes = 0;
    struct InFlight {
      ipc::Batch batch;
      ipc::BatchListener* listener;
      bool sent = true;     // the worker may have read it
      bool waited = false;  // for a probe
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
    Probation probation;                       // kReady
    size_t model = 0;                          // kArrived
    std::string kind;                          // kArrived
    std::shared_ptr<const ipc::Model> loaded;  // kArrived; shared with the holding
  };

  State(Options o, const Clock* c) : options(std::move(o)), clock(c) {}

  // --- one life of a worker; all need the lock ---
  Status StartProcess(Worker& w);
  void Spawn(Worker& w, TimePoint now);
  void LoadNext(Worker& w, TimePoint now);
  // For what wrong golden outputs made this worker leave out: says why to whoever waits, and allows
  // one more try. True when that is due now.
  bool ForgiveWrongLoads(Worker& w);
  void Hear(Worker& w, TimePoint now);
  Status OnMessage(Worker& w, const ipc::Message& message, TimePoint now);
  Status OnHello(Worker& w, const ipc::Message& message, TimePoint now);
  Status OnLoaded(Worker& w, const ipc::Message& message, TimePoint now);
  Status OnDone(Worker& w, const ipc::Message& message, TimePoint now);
  Status OnProbed(Worker& w, const ipc::Message& message, TimePoint now);
  void Reap(Worker& w, TimePoint now);
  void Act(Worker& w, TimePoint now);
  // The worker takes no more: says so, and reports its batch lost.
  void Retire(Worker& w);
  void Lose(Worker& w);
  Status Send(Worker& w, ipc::MessageType type, uint64_t about, std::span<const std::byte> payload);
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

}  // namespace fusee::server
