#include "server/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "server/http_server.h"
#include "server/service.h"

namespace fusee::server {
namespace {

constexpr std::chrono::milliseconds kDrainPoll{5};

Status Validate(const ServeOptions& o) {
  if (o.model_repository.empty()) {
    return InvalidArgument(
        "no model repository was given; expected --model-repository DIR with "
        "DIR/<model>/<version>/model.plan");
  }
  if (o.http_threads < 1 || o.http_threads > kHttpThreadsMax) {
    return InvalidArgument(
        fmt::format("http threads: expected 1 to {}, got {}", kHttpThreadsMax, o.http_threads));
  }
  if (o.http.body_bytes < 1 || o.http.body_bytes > kBodyBytesMax) {
    return InvalidArgument(fmt::format("request bodies: expected a limit of 1 to {} bytes, got {}",
                                       kBodyBytesMax, o.http.body_bytes));
  }
  if (o.http.body_bytes_in_flight < 2 * o.http.body_bytes) {
    return InvalidArgument(
        fmt::format("bytes in flight: expected at least {}, twice the limit of one body, got {}; "
                    "larger bodies would be refused for ever",
                    2 * o.http.body_bytes, o.http.body_bytes_in_flight));
  }
  if (o.queue.requests < 1 || o.queue.requests > kQueueRequestsMax) {
    return InvalidArgument(fmt::format("queue size: expected 1 to {} requests, got {}",
                                       kQueueRequestsMax, o.queue.requests));
  }
  if (o.default_deadline <= std::chrono::milliseconds(0) || o.max_deadline < o.default_deadline) {
    return InvalidArgument(
        fmt::format("deadlines: expected 0 < default <= maximum, got default {} ms, maximum {} ms",
                    o.default_deadline.count(), o.max_deadline.count()));
  }
  return OkStatus();
}

Status WritePort(const std::string& path, uint16_t port) {
  if (path.empty()) return OkStatus();
  return WriteFileAtomically(path, fmt::format("{}\n", port));
}

// "model 'a' version 3"; without a version when its folder has none.
std::string NameOf(const ModelFolder& folder) {
  return folder.version > 0 ? fmt::format("model '{}' version {}", folder.name, folder.version)
                            : fmt::format("model '{}'", folder.name);
}

}  // namespace

// Also what the fleet talks to.
struct Server::Impl final : FleetListener {
  Impl(const ServeOptions& o, Fleet* f)
      : options(o),
        fleet(f),
        service(std::make_unique<Service>(o, f, &SteadyClock())),
        metrics_service(service.get()) {
    fleet->Attach(this, &service->registry());
  }

  void OnDeviceReady(size_t device, std::vector<const ipc::Model*> models,
                     Probation probation) override {
    service->dispatcher().OnDeviceReady(device, std::move(models), probation);
    service->RefreshReady();
  }
  void OnDeviceLost(size_t device) override {
    service->dispatcher().OnDeviceLost(device);
    service->RefreshReady();
  }
  void OnModelArrived(size_t model, KindModel on_kind) override;

  // What has become of one model of the repository. Errors: no kind of device can serve it.
  Status Settle(size_t model, std::vector<KindModel> kinds);
  Status Usable(const ipc::ModelInfo& info) const;

  const ServeOptions options;
  std::unique_ptr<SingleDevice> own_fleet;  // around a test's executor
  Fleet* const fleet;
  std::unique_ptr<Service> service;
  MetricsService metrics_service;
  // After the service, so that they end first: their threads call it.
  std::unique_ptr<HttpServer> http, metrics;
  bool shut_down = false;

  // Set before LoadAll.
  std::vector<ModelFolder> folders;
  TimePoint load_start{};
  std::mutex mutex;
  std::vector<std::shared_ptr<const ServedModel>> served;  // by model, guarded by mutex
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() { Shutdown(std::chrono::milliseconds(0)); }

Result<std::unique_ptr<Server>> Server::Start(const ServeOptions& options,
                                              ipc::Executor* executor) {
  auto fleet = std::make_unique<SingleDevice>(executor);
  FUSEE_TRY(auto server, Start(options, fleet.get()));
  server->impl_->own_fleet = std::move(fleet);
  return server;
}

Result<std::unique_ptr<Server>> Server::Start(const ServeOptions& options, Fleet* fleet) {
  FUSEE_TRY(Validate(options));
  auto impl = std::make_unique<Impl>(options, fleet);
  obs::Metrics* metrics = &impl->service->registry().server();
  FUSEE_TRY(impl->http, HttpServer::Listen({.address = options.address,
                                            .port = options.http_port,
                                            .threads = options.http_threads,
                                            .limits = options.http},
                                           impl->service.get(), metrics));
  if (options.metrics_on_own_port) {
    FUSEE_TRY(impl->metrics, HttpServer::Listen({.address = options.address,
                                                 .port = options.metrics_port,
                                                 .threads = 1,
                                                 .limits = options.http},
                                                &impl->metrics_service, metrics));
  }
  impl->http->Start();
  if (impl->metrics) impl->metrics->Start();
  auto server = std::unique_ptr<Server>(new Server(std::move(impl)));
  FUSEE_TRY(WritePort(options.port_file, server->http_port()));
  FUSEE_TRY(WritePort(options.metrics_port_file, server->metrics_port()));
  spdlog::info("listening on {}:{} (HTTP), metrics on port {}", options.address,
               server->http_port(), server->metrics_port());
  return server;
}

Status Server::Impl::Usable(const ipc::ModelInfo& info) const {
  FUSEE_TRY(CheckTypesHaveNames(info));
  if (info.verified || options.allow_unverified) return OkStatus();
  return FailedPrecondition(
      fmt::format("the plan is {}; build it without --no-verify, or serve it with "
                  "--allow-unverified",
                  info.verification));
}

Status Server::Impl::Settle(size_t model, std::vector<KindModel> kinds) {
  const ModelFolder& folder = folders[model];
  std::vector<std::pair<std::string, std::shared_ptr<const ipc::Model>>> good;
  Status why = FailedPrecondition(
      "this server has no device that its plans are for; see --workers and --device-order");
  bool first = true;
  for (KindModel& kind : kinds) {
    Status status = kind.model.status();
    if (status.ok()) status = Usable((*kind.model)->info());
    if (status.ok() && !good.empty())
      status = CheckSameInterface(good[0].second->info(), (*kind.model)->info());
    if (status.ok()) {
      good.emplace_back(kind.kind, *kind.model);
      continue;
    }
    if (kinds.size() > 1) {
      spdlog::warn("{}: not on {}: {}", NameOf(folder), kind.kind, status.message());
    }
    if (std::exchange(first, false)) why = std::move(status);
  }
  if (good.empty()) return why;
  const std::lock_guard lock(mutex);
  auto metrics = service->registry().Model(folder.name, folder.version);
  FUSEE_TRY(served[model], service->dispatcher().AddModel(std::move(good), folder.plans[0].kind,
                                                          metrics, options.default_deadline));
  const ServedModel& now = *served[model];
  const ipc::ModelInfo& info = now.info();
  const Duration took = SteadyClock().Now() - load_start;
  metrics->Set(obs::MetricId::kLoadDurationSeconds, static_cast<uint64_t>(took.count() / 1000));
  service->catalogue().SetReady(served[model]);
  spdlog::info("{} is ready on {}: {} ms, {} bytes, {}, {}", NameOf(folder), now.kinds[0].kind,
               took.count() / 1000000, info.memory_bytes, info.verification,
               info.batch_symbol >= 0 ? fmt::format("batches of up to {}", now.kinds[0].rows_max)
                                      : fmt::format("not batched: {}", info.not_batched_because));
  return OkStatus();
}

void Server::Impl::OnModelArrived(size_t model, KindModel on_kind) {
  const ModelFolder& folder = folders[model];
  if (Status usable = Usable((*on_kind.model)->info()); !usable.ok()) {
    spdlog::warn("{}: not on {}: {}", NameOf(folder), on_kind.kind, usable.message());
    return;
  }
  const auto rank = [&](std::string_view kind) {
    return std::ranges::find(folder.plans, kind, &ModelSource::Plan::kind) - folder.plans.begin();
  };
  std::unique_lock lock(mutex);
  const auto before = served[model];
  if (!before) {
    lock.unlock();
    if (Status status = Settle(model, {std::move(on_kind)}); !status.ok())
      spdlog::error("{}: {}", NameOf(folder), status.message());
  } else {
    const auto& kinds = before->kinds;
    const auto at = std::ranges::find_if(
        kinds, [&](const OnKind& k) { return rank(k.kind) > rank(on_kind.kind); });
    Status status = CheckSameInterface(before->info(), (*on_kind.model)->info());
    if (status.ok()) {
      auto extended =
          service->dispatcher().ExtendModel(*before, static_cast<size_t>(at - kinds.begin()),
                                            on_kind.kind, *on_kind.model, options.default_deadline);
      status = extended.status();
      if (extended.ok()) {
        served[model] = *extended;
        service->catalogue().SetReady(served[model]);
        spdlog::info("{} is now also on {}", NameOf(folder), on_kind.kind);
      }
    }
    if (!status.ok())
      spdlog::warn("{}: not on {}: {}", NameOf(folder), on_kind.kind, status.message());
    lock.unlock();
  }
  service->RefreshReady();
}

Status Server::LoadModels() {
  Impl& impl = *impl_;
  FUSEE_TRY(const RepositoryScan scan,
            ScanRepository(impl.options.model_repository, impl.options.device_order));
  for (const std::string& warning : scan.warnings) spdlog::warn("{}", warning);
  if (scan.models.empty())
    spdlog::warn("model repository '{}' holds no model", impl.options.model_repository);
  // A fault that is seen at once ends the process before any model is loaded.
  for (const ModelFolder& folder : scan.models) {
    if (impl.options.exit_on_error) FUSEE_TRY(Status(folder.fault).Annotate(NameOf(folder)));
  }
  Catalogue& catalogue = impl.service->catalogue();
  // All are known before the first is loaded, so that the index shows what is still to come.
  std::vector<ModelSource> sources;
  for (const ModelFolder& folder : scan.models) {
    catalogue.SetLoading(folder.name, folder.version);
    if (folder.fault.ok()) {
      impl.folders.push_back(folder);
      sources.push_back({folder.name, folder.version, folder.plans});
    } else {
      catalogue.SetUnavailable(folder.name, folder.version, folder.fault.message());
      spdlog::error("{}: {}", NameOf(folder), folder.fault.message());
    }
  }
  impl.served.resize(sources.size());
  impl.load_start = SteadyClock().Now();
  Status failed;
  impl.fleet->LoadAll(sources, [&](size_t model, std::vector<KindModel> kinds) {
    if (impl.service->state() == ServerState::kDraining) return false;
    Status status = impl.Settle(model, std::move(kinds));
    if (status.ok()) return true;
    const ModelFolder& folder = impl.folders[model];
    catalogue.SetUnavailable(folder.name, folder.version, status.message());
    // A device that is not there may come; a processor is always there.
    const bool may_come =
        status.code() == StatusCode::kUnavailable && folder.plans[0].kind != "cpu";
    if (impl.options.exit_on_error && !may_come) {
      failed = std::move(status).Annotate(NameOf(folder));
      return false;
    }
    spdlog::error("{}: {}", NameOf(folder), status.message());
    return true;
  });
  FUSEE_TRY(std::move(failed));
  if (impl.service->state() == ServerState::kStarting)
    impl.service->SetState(ServerState::kServing);
  impl.service->RefreshReady();
  return OkStatus();
}

uint16_t Server::http_port() const { return impl_->http->port(); }
uint16_t Server::metrics_port() const {
  return impl_->metrics ? impl_->metrics->port() : impl_->http->port();
}
Service& Server::service() { return *impl_->service; }

void Server::BeginDrain() {
  impl_->service->SetState(ServerState::kDraining);
  impl_->fleet->Interrupt();
}

bool Server::Shutdown(std::chrono::milliseconds timeout) {
  if (!impl_ || impl_->shut_down) return true;
  impl_->shut_down = true;
  BeginDrain();
  impl_->http->Drain();
  const TimePoint end = SteadyClock().Now() + timeout;
  // Only at the end of a process: five milliseconds of polling are simpler than a signal from every
  // connection.
  while (impl_->http->in_flight() > 0 && SteadyClock().Now() < end)
    std::this_thread::sleep_for(kDrainPoll);
  const bool complete = impl_->http->in_flight() == 0;
  const auto left = std::max(end - SteadyClock().Now(), Duration(0));
  const bool idle = impl_->service->dispatcher().Stop(
      std::chrono::duration_cast<std::chrono::milliseconds>(left));
  impl_->http->Stop();
  if (impl_->metrics) impl_->metrics->Stop();
  impl_->fleet->Shutdown();
  // A batch that will not end may still report to the dispatcher one day: it stays, reachable,
  // until the process ends.
  if (!idle) {
    static auto* const abandoned = new std::vector<std::unique_ptr<Service>>;
    abandoned->push_back(std::move(impl_->service));
  }
  return complete && idle;
}

}  // namespace fusee::server
