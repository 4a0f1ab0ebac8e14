// What endpoints work with: models, dispatcher, metrics, health. Also the HttpHandler that routes
// to them.
#pragma once

#include <atomic>
#include <memory>

#include "obs/metrics.h"
#include "server/dispatcher.h"
#include "server/http.h"
#include "server/repository.h"
#include "server/serve.h"

namespace fusee::server {

// STARTING --every model loaded--> SERVING --SIGTERM--> DRAINING
enum class ServerState : uint8_t { kStarting, kServing, kDraining };

class Service final : public HttpHandler {
 public:
  // Borrowed: fleet, clock.
  Service(const ServeOptions& options, Fleet* fleet, const Clock* clock);

  std::optional<HttpResponse> OnHeaders(const HttpRequest& request) override;
  BodyPlace PlaceBody(const HttpRequest& request, uint64_t bytes) override;
  void OnRequest(HttpRequest request, Responder respond) override;

  const ServeOptions& options() const { return options_; }
  const Clock& clock() const { return *clock_; }
  Fleet& fleet() { return *fleet_; }
  Catalogue& catalogue() { return catalogue_; }
  Dispatcher& dispatcher() { return *dispatcher_; }
  obs::Registry& registry() { return registry_; }

  // Health is two atomics: no lock, no model, nothing that can block a probe.
  ServerState state() const { return state_.load(std::memory_order_relaxed); }
  void SetState(ServerState state);
  bool ready() const {
    return state() == ServerState::kServing && models_ready_.load(std::memory_order_relaxed);
  }
  // Recomputes what ready() answers: every model is loaded, and a device is there to run them. Call
  // after the catalogue or a device changed.
  void RefreshReady();

 private:
  const ServeOptions options_;
  Fleet* const fleet_;
  const Clock* const clock_;
  obs::Registry registry_;
  Catalogue catalogue_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::atomic<ServerState> state_{ServerState::kStarting};
  std::atomic<bool> models_ready_{false};
};

// The same pages on the metrics port: /metrics and the health of the process, nothing that costs.
class MetricsService final : public HttpHandler {
 public:
  explicit MetricsService(Service* service) : service_(service) {}
  std::optional<HttpResponse> OnHeaders(const HttpRequest& request) override;
  void OnRequest(HttpRequest request, Responder respond) override;

 private:
  Service* const service_;
};

}  // namespace fusee::server
