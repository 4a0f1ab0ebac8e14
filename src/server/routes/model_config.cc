// The configuration a Triton model would have, derived from the plan: perf_analyzer and others read
// it. Triton writes every field, so its clients ask for none of them whether it is there.
#include <fmt/format.h>

#include <algorithm>

#include "server/json.h"
#include "server/router.h"
#include "server/service.h"

namespace fusee::server::routes {
namespace {

void WriteText(JsonWriter& json, const char* key, std::string_view value) {
  json.Key(key);
  json.String(value);
}
void WriteFalse(JsonWriter& json, const char* key) {
  json.Key(key);
  json.Bool(false);
}
void WriteEmptyArray(JsonWriter& json, const char* key) {
  json.Key(key);
  json.StartArray();
  json.EndArray();
}
void WriteEmptyObject(JsonWriter& json, const char* key) {
  json.Key(key);
  json.StartObject();
  json.EndObject();
}

enum class Side { kInput, kOutput };

// Triton's dims leave the batch dimension out when max_batch_size > 0.
void WriteTensor(JsonWriter& json, const ipc::TensorInfo& tensor, Side side, bool batched) {
  json.StartObject();
  WriteText(json, "name", tensor.name);
  WriteText(json, "data_type", fmt::format("TYPE_{}", KserveName(tensor.dtype)));
  if (side == Side::kInput) WriteText(json, "format", "FORMAT_NONE");
  json.Key("dims");
  json.StartArray();
  for (size_t i = batched ? 1 : 0; i < tensor.shape.size(); ++i) json.Int(tensor.shape[i]);
  json.EndArray();
  if (side == Side::kOutput) WriteText(json, "label_filename", "");
  WriteFalse(json, "is_shape_tensor");
  if (side == Side::kInput) {
    WriteFalse(json, "allow_ragged_batch");
    WriteFalse(json, "optional");
  }
  WriteFalse(json, "is_non_linear_format_io");
  json.EndObject();
}

// No row waits for others: the scheduler's batches are what happens to wait already.
void WriteDynamicBatching(JsonWriter& json, uint32_t rows_max) {
  json.Key("dynamic_batching");
  json.StartObject();
  json.Key("preferred_batch_size");
  json.StartArray();
  json.Uint(rows_max);
  json.EndArray();
  json.Key("max_queue_delay_microseconds");
  json.Uint(0);
  WriteFalse(json, "preserve_ordering");
  json.Key("priority_levels");
  json.Uint(0);
  json.Key("default_priority_level");
  json.Uint(0);
  WriteEmptyObject(json, "priority_queue_policy");
  json.EndObject();
}

// One group for each kind of device the model is on, in the order they are tried.
void WriteInstanceGroups(JsonWriter& json, const ServedModel& model, const Fleet& fleet) {
  json.Key("instance_group");
  json.StartArray();
  for (size_t i = 0; i < model.kinds.size(); ++i) {
    const std::string& kind = model.kinds[i].kind;
    json.StartObject();
    WriteText(json, "name", fmt::format("{}_{}", model.info().name, i));
    WriteText(json, "kind", kind == "cpu" ? "KIND_CPU" : "KIND_GPU");
    json.Key("count");
    json.Uint(static_cast<uint64_t>(std::ranges::count(fleet.devices(), kind, &DeviceInfo::kind)));
    WriteEmptyArray(json, "gpus");
    WriteEmptyArray(json, "secondary_devices");
    WriteEmptyArray(json, "profile");
    WriteFalse(json, "passive");
    WriteText(json, "host_policy", "");
    json.EndObject();
  }
  json.EndArray();
}

void WriteParameters(JsonWriter& json, const ipc::ModelInfo& info) {
  const auto parameter = [&](const char* key, std::string_view value) {
    json.Key(key);
    json.StartObject();
    WriteText(json, "string_value", value);
    json.EndObject();
  };
  json.Key("parameters");
  json.StartObject();
  parameter("verification", info.verification);
  parameter("plan_sha256", info.plan_digest);
  if (info.batch_symbol < 0) parameter("not_batched_because", info.not_batched_because);
  json.EndObject();
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
  WriteText(json, "runtime", "");
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
  json.Key("input");
  json.StartArray();
  for (const auto& input : info.inputs) WriteTensor(json, input, Side::kInput, batched);
  json.EndArray();
  json.Key("output");
  json.StartArray();
  for (const auto& output : info.outputs) WriteTensor(json, output, Side::kOutput, batched);
  json.EndArray();
  WriteEmptyArray(json, "batch_input");
  WriteEmptyArray(json, "batch_output");
  if (batched) WriteDynamicBatching(json, (*model)->kinds[0].rows_max);
  WriteInstanceGroups(json, **model, service.fleet());
  WriteText(json, "default_model_filename", "model.plan");
  WriteEmptyObject(json, "cc_model_filenames");
  WriteEmptyObject(json, "metric_tags");
  WriteParameters(json, info);
  WriteEmptyArray(json, "model_warmup");
  json.EndObject();
  respond(HttpResponse::Json(json.Take()));
}

}  // namespace fusee::server::routes
