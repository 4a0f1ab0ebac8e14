#include <fmt/format.h>

#include "server/json.h"
#include "server/router.h"
#include "server/service.h"

namespace fusee::server::routes {
namespace {

void WriteTensors(JsonWriter& json, const char* key, const std::vector<ipc::TensorInfo>& tensors) {
  json.Key(key);
  json.StartArray();
  for (const auto& tensor : tensors) {
    json.StartObject();
    json.Key("name");
    json.String(tensor.name);
    json.Key("datatype");
    json.String(KserveName(tensor.dtype));
    json.Key("shape");
    json.StartArray();
    for (int64_t dim : tensor.shape) json.Int(dim);
    json.EndArray();
    json.EndObject();
  }
  json.EndArray();
}

}  // namespace

void ModelMetadata(Service& service, const RouteParams& params, HttpRequest, Responder respond) {
  const auto model = service.catalogue().Find(params.model, params.version);
  if (!model.ok()) return respond(HttpResponse::Error(model.status()));
  const ipc::ModelInfo& info = (*model)->info();
  JsonWriter json;
  json.StartObject();
  json.Key("name");
  json.String(info.name);
  json.Key("versions");
  json.StartArray();
  for (const auto& entry : service.catalogue().List()) {
    if (entry.name == info.name && entry.model) json.String(fmt::format_int(entry.version).str());
  }
  json.EndArray();
  json.Key("platform");
  json.String("fusee_plan");
  WriteTensors(json, "inputs", info.inputs);
  WriteTensors(json, "outputs", info.outputs);
  json.EndObject();
  respond(HttpResponse::Json(json.Take()));
}

}  // namespace fusee::server::routes
