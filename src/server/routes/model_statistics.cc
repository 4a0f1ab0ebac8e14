#include <fmt/format.h>

#include "server/json.h"
#include "server/router.h"
#include "server/service.h"

namespace fusee::server::routes {
namespace {

using obs::MetricId;
using obs::Reason;

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
  json.Uint(0);
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
  json.Key("batch_stats");
  json.StartArray();
  json.EndArray();
  json.EndObject();
}

}  // namespace

void ModelStatistics(Service& service, const RouteParams& params, HttpRequest, Responder respond) {
  int64_t version = 0;
  if (!params.model.empty()) {
    const auto model = service.catalogue().Find(params.model, params.version);
    if (!model.ok()) return respond(HttpResponse::Error(model.status()));
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
