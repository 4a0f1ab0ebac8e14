#include "server/infer_response.h"

#include <fmt/format.h>

#include "server/json.h"

namespace fusee::server {

HttpResponse EncodeInferResponse(const ipc::ModelInfo& model, const InferRequest& request,
                                 std::span<const TensorView> outputs, std::string_view served_by,
                                 std::shared_ptr<const void> owner, ContentEncoding encoding) {
  HttpResponse response;
  JsonWriter json;
  json.StartObject();
  if (!request.id.empty()) {
    json.Key("id");
    json.String(request.id);
  }
  json.Key("model_name");
  json.String(model.name);
  json.Key("model_version");
  json.String(fmt::format_int(model.version).str());
  if (!served_by.empty()) {
    json.Key("parameters");
    json.StartObject();
    json.Key("served_by");
    json.String(std::string(served_by));
    json.EndObject();
  }
  json.Key("outputs");
  json.StartArray();
  for (const RequestedOutput& wanted : request.outputs) {
    const TensorView& output = outputs[wanted.index];
    json.StartObject();
    json.Key("name");
    json.String(model.outputs[wanted.index].name);
    json.Key("datatype");
    json.String(KserveName(output.dtype));
    json.Key("shape");
    json.StartArray();
    for (int64_t dim : output.shape.dims()) json.Int(dim);
    json.EndArray();
    if (wanted.binary) {
      json.Key("parameters");
      json.StartObject();
      json.Key("binary_data_size");
      json.Int(output.size_bytes());
      json.EndObject();
      if (output.size_bytes() > 0) response.blobs.push_back(output.bytes());
    } else {
      json.Key("data");
      json.StartArray();
      json.Elements(output);
      json.EndArray();
    }
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  response.body = json.Take();
  response.owner = std::move(owner);

  if (response.blobs.empty()) {
    response.headers.emplace_back("Content-Type", "application/json");
  } else {
    response.headers.emplace_back("Content-Type", "application/octet-stream");
    response.headers.emplace_back("Inference-Header-Content-Length",
                                  fmt::format_int(response.body.size()).str());
  }
  if (encoding == ContentEncoding::kIdentity) return response;
  std::vector<std::span<const std::byte>> parts{std::as_bytes(std::span(response.body))};
  parts.insert(parts.end(), response.blobs.begin(), response.blobs.end());
  auto compressed = Compress(parts, encoding);
  if (!compressed.ok()) return response;  // the plain answer is as good
  response.headers.emplace_back("Content-Encoding", EncodingName(encoding));
  response.body = std::move(*compressed);
  response.blobs.clear();
  response.owner.reset();
  return response;
}

}  // namespace fusee::server
