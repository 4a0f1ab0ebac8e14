// The configuration a Triton model would have, derived from the plan: perf_analyzer and others read
// it.
#include <fmt/format.h>

#include "server/json.h"
#include "server/router.h"
#include "server/service.h"

namespace fusee::server::routes {
namespace {

// Triton's dims leave the batch dimension out when max_batch_size > 0.
void WriteTensors(JsonWriter& json, const char* key, const std::vector<ipc::TensorInfo>& tensors,
                  bool batched) {
  json.Key(key);
  json.StartArray();
  for (const auto& tensor : tensors) {
    json.StartObject();
    json.Key("name");
    json.String(tensor.name);
    json.Key("data_type");
    json.String(fmt::format("TYPE_{}", KserveName(tensor.dtype)));
    json.Key("dims");
    json.StartArray();
    for (size_t i = batched ? 1 : 0; i < tensor.shape.size(); ++i) json.Int(tensor.shape[i]);
    json.EndArray();
    json.EndObject();
  }
  json.EndArray();
}

void WriteText(JsonWriter& json, const char* key, std::string_view value) {
  json.Key(key);
  json.String(value);
}

}  // namespace

void ModelConfig(Service& service, const RouteParams& params, HttpRequest, Responder respond) {
  const auto model = service.catalogue().Find(params.model, params.version);
  if (!model.ok()) return respond(HttpResponse::Error(model.status()));
  const ipc::ModelInfo& info = (*model)->info();
  const bool batched = info.batch_symbol >= 0;
  JsonWriter json;
  json.StartObject();
  WriteText(json, "name", info.name);
  WriteText(json, "platform", "fusee_plan");
  WriteText(json, "backend", "fusee");
  json.Key("version_policy");
  json.StartObject();
  json.Key("latest");
  json.StartObject();
  json.Key("num_versions");
  json.Int(1);
  json.EndObject();
  json.EndObject();
  json.Key("max_batch_size");
  json.Uint(batched ? (*model)->kinds[0].rows_max : 0);
  WriteTensors(json, "input", info.inputs, batched);
  WriteTensors(json, "output", info.outputs, batched);
  WriteText(json, "default_model_filename", "model.plan");
  if (batched) {
    json.Key("dynamic_batching");
    json.StartObject();
    json.EndObject();
  }
  json.Key("parameters");
  json.StartObject();
  const auto parameter = [&](const char* key, std::string_view value) {
    json.Key(key);
    json.StartObject();
    WriteText(json, "string_value", value);
    json.EndObject();
  };
  parameter("verification", info.verification);
  parameter("plan_sha256", info.plan_digest);
  if (!batched) parameter("not_batched_because", info.not_batched_because);
  json.EndObject();
  json.EndObject();
  respond(HttpResponse::Json(json.Take()));
}

}  // namespace fusee::server::routes
