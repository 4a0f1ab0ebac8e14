#include "server/service.h"

#include <charconv>

#include "base/checked_math.h"
#include "server/router.h"

namespace fusee::server {
namespace {

// A body larger than this is not read for a request that is bound to be refused.
constexpr uint64_t kLargeBodyBytes = 64 << 10;

HttpResponse NotMatched(int status) {
  return HttpResponse::Error(status, status == 405 ? "Method Not Allowed" : "Not Found");
}

}  // namespace

Service::Service(const ServeOptions& options, Fleet* fleet, const Clock* clock)
    : options_(options),
      fleet_(fleet),
      clock_(clock),
      dispatcher_(std::make_unique<Dispatcher>(sched::Limits{.requests = options.queue.requests,
                                                             .bytes = options.queue.bytes,
                                                             .models = kModelsMax},
                                               fleet, &registry_, clock)) {}

void Service::SetState(ServerState state) {
  state_.store(state, std::memory_order_relaxed);
  registry_.server().Set(obs::MetricId::kReady, ready() ? 1 : 0);
}

void Service::RefreshReady() {
  models_ready_.store((!options_.strict_readiness || catalogue_.AllReady()) &&
                          (catalogue_.List().empty() || dispatcher_->AnyReady()),
                      std::memory_order_relaxed);
  registry_.server().Set(obs::MetricId::kReady, ready() ? 1 : 0);
}

std::optional<HttpResponse> Service::OnHeaders(const HttpRequest& request) {
  const RouteMatch match = MatchRoute(request.method, request.path);
  if (match.route == nullptr) return NotMatched(match.status);
  if (match.route->endpoint != &routes::Infer) return std::nullopt;
  auto model = catalogue_.Find(match.params.model, match.params.version);
  if (!model.ok()) return HttpResponse::Error(model.status());
  if (request.content_length.value_or(0) > kLargeBodyBytes && dispatcher_->Full()) {
    HttpResponse response = HttpResponse::Error(503, "Exceeds maximum queue size");
    response.headers.emplace_back("Retry-After", "1");
    (*model)->metrics->Add(obs::MetricId::kRejections, obs::Reason::kQueueFull);
    (*model)->metrics->Add(obs::MetricId::kRequestFailure, obs::Reason::kRejected);
    return response;
  }
  return std::nullopt;
}

// A body with binary tensors goes where devices can read it, so placed that the first tensor is
// aligned. Everything else is converted or inflated, and that into a block of its own.
BodyPlace Service::PlaceBody(const HttpRequest& request, uint64_t bytes) {
  const std::string* text = request.Header("Inference-Header-Content-Length");
  if (text == nullptr || request.Header("Content-Encoding") != nullptr) return {};
  const RouteMatch match = MatchRoute(request.method, request.path);
  if (match.route == nullptr || match.route->endpoint != &routes::Infer) return {};
  uint64_t json = 0;
  const auto read = std::from_chars(text->data(), text->data() + text->size(), json);
  if (read.ec != std::errc() || json >= bytes) return {};
  const uint64_t offset = AlignUp(json, kTensorAlignment) - json;
  return {fleet_->request_memory().inputs->Take(offset + bytes), offset};
}

void Service::OnRequest(HttpRequest request, Responder respond) {
  const RouteMatch match = MatchRoute(request.method, request.path);
  if (match.route == nullptr) return respond(NotMatched(match.status));
  match.route->endpoint(*this, match.params, std::move(request), std::move(respond));
}

std::optional<HttpResponse> MetricsService::OnHeaders(const HttpRequest& request) {
  const RouteMatch match = MatchRoute(request.method, request.path);
  if (match.route == nullptr) return NotMatched(match.status);
  const Endpoint endpoint = match.route->endpoint;
  if (endpoint != &routes::MetricsText && endpoint != &routes::ServerLive &&
      endpoint != &routes::ServerReady) {
    return NotMatched(404);
  }
  return std::nullopt;
}

void MetricsService::OnRequest(HttpRequest request, Responder respond) {
  service_->OnRequest(std::move(request), std::move(respond));
}

}  // namespace fusee::server
