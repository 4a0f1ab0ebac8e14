#include <fmt/format.h>

#include "server/json.h"
#include "server/router.h"
#include "server/service.h"

namespace fusee::server::routes {
namespace {

using obs::MetricId;
using obs::Reason;

// Unlike every other endpoint, Triton's statistics answer 400 where there is no such model.
HttpResponse NotAvailable(Service& service, const RouteParams& params, const Status& status) {
  if (status.code() == StatusCode::kInvalidArgument) return HttpResponse::Error(status);
  const std::string_view name = std::string_view(params.model).substr(0, kModelNameMax);
  return HttpResponse::Error(
      400, service.catalogue().Find(params.model, {}).ok()
               ? fmt::format("requested model version is not available for model '{}'", name)
               : fmt::format("requested model '{}' is not available", name));
}

void WriteDuration(JsonWriter& json, const char* key, uint64_t count, uint64_t us) {
  json.Key(key);
  json.StartObject();
  json.Key("count");
  json.Uint(count);
  json.Key("ns");
  json.Uint(us * 1000);
  json.EndObject();
}

void WriteModel(JsonWriter& json, const Catalogue::Entry& entry, const obs::Metrics& metrics) {
  const uint64_t success = metrics.Value(MetricId::kRequestSuccess);
  uint64_t failed = 0;
  for (Reason reason : {Reason::kRejected, Reason::kCanceled, Reason::kBackend, Reason::kOther}) {
    failed += metrics.Value(MetricId::kRequestFailure, reason);
  }
  json.StartObject();
  json.Key("name");
  json.String(entry.name);
  json.Key("version");
  json.String(fmt::format_int(entry.version).str());
  json.Key("last_inference");
  json.Uint(metrics.Value(MetricId::kLastInferenceSeconds) / 1000);
  json.Key("inference_count");
  json.Uint(metrics.Value(MetricId::kInferenceCount));
  json.Key("execution_count");
  json.Uint(metrics.Value(MetricId::kExecCount));
  json.Key("inference_stats");
  json.StartObject();
  WriteDuration(json, "success", success, metrics.Value(MetricId::kRequestDurationUs));
  WriteDuration(json, "fail", failed, 0);
  WriteDuration(json, "queue", success, metrics.Value(MetricId::kQueueDurationUs));
  WriteDuration(json, "compute_input", success, metrics.Value(MetricId::kComputeInputDurationUs));
  WriteDuration(json, "compute_infer", success, metrics.Value(MetricId::kComputeInferDurationUs));
  WriteDuration(json, "compute_output", success, metrics.Value(MetricId::kComputeOutputDurationUs));
  WriteDuration(json, "cache_hit", 0, 0);
  WriteDuration(json, "cache_miss", 0, 0);
  json.EndObject();
  json.Key("response_stats");
  json.StartObject();
  json.EndObject();
  json.Key("batch_stats");
  json.StartArray();
  json.EndArray();
  json.Key("memory_usage");
  json.StartArray();
  json.StartObject();
  json.Key("type");
  json.String("CPU");
  json.Key("id");
  json.Uint(0);
  json.Key("byte_size");
  json.Uint(entry.model->info().memory_bytes);
  json.EndObject();
  json.EndArray();
  json.EndObject();
}

}  // namespace

void ModelStatistics(Service& service, const RouteParams& params, HttpRequest, Responder respond) {
  int64_t version = 0;
  if (!params.model.empty()) {
    const auto model = service.catalogue().Find(params.model, params.version);
    if (!model.ok()) return respond(NotAvailable(service, params, model.status()));
    version = (*model)->info().version;
  }
  JsonWriter json;
  json.StartObject();
  json.Key("model_stats");
  json.StartArray();
  for (const auto& entry : service.catalogue().List()) {
    if (!entry.model ||
        (!params.model.empty() && (entry.name != params.model || entry.version != version)))
      continue;
    WriteModel(json, entry, *entry.model->metrics);
  }
  json.EndArray();
  json.EndObject();
  respond(HttpResponse::Json(json.Take()));
}

}  // namespace fusee::server::routes
