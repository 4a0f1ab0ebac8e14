#include "server/server.h"

#include <fmt/format.h>

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

}  // namespace

struct Server::Impl {
  Impl(const ServeOptions& o, ipc::Executor* e)
      : options(o),
        executor(e),
        service(std::make_unique<Service>(o, e, &SteadyClock())),
        metrics_service(service.get()) {}

  Status LoadOne(const ModelFolder& folder);

  const ServeOptions options;
  ipc::Executor* const executor;
  std::unique_ptr<Service> service;
  MetricsService metrics_service;
  // After the service, so that they end first: their threads call it.
  std::unique_ptr<HttpServer> http, metrics;
  bool shut_down = false;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() { Shutdown(std::chrono::milliseconds(0)); }

Result<std::unique_ptr<Server>> Server::Start(const ServeOptions& options,
                                              ipc::Executor* executor) {
  FUSEE_TRY(Validate(options));
  auto impl = std::make_unique<Impl>(options, executor);
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

Status Server::Impl::LoadOne(const ModelFolder& folder) {
  service->catalogue().SetLoading(folder.name, folder.version);
  const TimePoint start = SteadyClock().Now();
  FUSEE_TRY(auto model, executor->Load(folder.plan_path, folder.name, folder.version));
  const ipc::ModelInfo& info = model->info();
  if (!info.verified && !options.allow_unverified) {
    return FailedPrecondition(fmt::format(
        "model '{}' version {}: the plan was not verified when it was built ({}); build it "
        "without --no-verify, or serve it with --allow-unverified",
        folder.name, folder.version, info.verification));
  }
  auto metrics = service->registry().Model(folder.name, folder.version);
  FUSEE_TRY(auto served, service->dispatcher().AddModel(model, metrics, options.default_deadline));
  const Duration took = SteadyClock().Now() - start;
  metrics->Set(obs::MetricId::kLoadDurationSeconds, static_cast<uint64_t>(took.count() / 1000));
  service->catalogue().SetReady(served);
  spdlog::info("model '{}' version {} is ready: {} ms, {} bytes, {}, {}", folder.name,
               folder.version, took.count() / 1000000, info.memory_bytes, info.verification,
               info.batch_symbol >= 0 ? fmt::format("batches of up to {}", served->rows_max)
                                      : fmt::format("not batched: {}", info.not_batched_because));
  return OkStatus();
}

Status Server::LoadModels() {
  FUSEE_TRY(const RepositoryScan scan, ScanRepository(impl_->options.model_repository));
  for (const std::string& warning : scan.warnings) spdlog::warn("{}", warning);
  if (scan.models.empty())
    spdlog::warn("model repository '{}' holds no model", impl_->options.model_repository);
  // A fault that is seen at once ends the process before any model is loaded.
  for (const ModelFolder& folder : scan.models) {
    if (impl_->options.exit_on_error) FUSEE_TRY(Status(folder.fault));
  }
  // All are known before the first is loaded, so that the index shows what is still to come.
  for (const ModelFolder& folder : scan.models)
    impl_->service->catalogue().SetLoading(folder.name, folder.version);
  for (const ModelFolder& folder : scan.models) {
    if (impl_->service->state() == ServerState::kDraining) return OkStatus();
    Status status = folder.fault.ok() ? impl_->LoadOne(folder) : folder.fault;
    if (status.ok()) continue;
    impl_->service->catalogue().SetUnavailable(folder.name, folder.version, status.message());
    if (impl_->options.exit_on_error)
      return std::move(status).Annotate(
          fmt::format("model '{}' version {}", folder.name, folder.version));
    spdlog::error("model '{}' version {}: {}", folder.name, folder.version, status.message());
  }
  impl_->service->RefreshReady();
  if (impl_->service->state() == ServerState::kStarting)
    impl_->service->SetState(ServerState::kServing);
  return OkStatus();
}

uint16_t Server::http_port() const { return impl_->http->port(); }
uint16_t Server::metrics_port() const {
  return impl_->metrics ? impl_->metrics->port() : impl_->http->port();
}
Service& Server::service() { return *impl_->service; }

void Server::BeginDrain() { impl_->service->SetState(ServerState::kDraining); }

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
  // A batch that will not end may still report to the dispatcher one day: it stays, reachable,
  // until the process ends.
  if (!idle) {
    static auto* const abandoned = new std::vector<std::unique_ptr<Service>>;
    abandoned->push_back(std::move(impl_->service));
  }
  return complete && idle;
}

}  // namespace fusee::server
