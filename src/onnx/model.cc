#include "onnx/model.h"

#include <fmt/format.h>

#include "onnx/foreign.h"
#include "onnx/reader.h"
#include "tensor/tensor_file.h"

namespace fusee::onnx {
namespace {

// Why a file could not be read, told by what it seems to be.
Status NotAModel(Status read, std::span<const std::byte> bytes) {
  const std::string_view kind = DescribeForeign(bytes);
  if (!kind.empty())
    return InvalidArgument(fmt::format("this is not an ONNX model: it is {}", kind));
  if (BeginsAsModel(bytes)) return std::move(read).Annotate("not a readable ONNX model");
  return InvalidArgument(fmt::format(
      "this is not an ONNX model: no known format begins like this ({})", read.message()));
}

Result<std::shared_ptr<Model>> ReadModel(std::span<const std::byte> bytes, const Limits& limits,
                                         std::shared_ptr<const void> owner,
                                         ExternalData* external) {
  if (bytes.empty()) return NotAModel(OkStatus(), bytes);
  const uint64_t budget_bytes = bytes.size() / 5 + limits.memory_slack_bytes;
  wire::Budget budget{budget_bytes, budget_bytes};
  auto model = std::make_shared<Model>();
  Status read = ModelReader(limits, std::move(owner), external)
                    .ReadModel(wire::Reader(bytes, &budget), model.get());
  if (!read.ok()) {
    const bool a_model = BeginsAsModel(bytes) && read.code() != StatusCode::kInvalidArgument;
    return a_model ? std::move(read).Annotate("the model exceeds what is read")
                   : NotAModel(std::move(read), bytes);
  }
  return model;
}

}  // namespace

std::string Node::DisplayName() const {
  return name.empty() ? fmt::format("{}_{}", op_type, index) : std::string(name);
}

const Attribute* Node::FindAttribute(std::string_view attribute) const {
  for (const Attribute& candidate : attributes) {
    if (candidate.name == attribute) return &candidate;
  }
  return nullptr;
}

std::optional<int64_t> Model::OpsetVersion(std::string_view opset_domain) const {
  if (opset_domain == "ai.onnx") opset_domain = "";
  for (const auto& [domain, version] : opset_imports) {
    if (domain == opset_domain) return version;
  }
  return std::nullopt;
}

Result<std::shared_ptr<const Model>> Load(const std::string& path, const Limits& limits) {
  FUSEE_TRY(auto file, MappedFile::Open(path));
  const size_t slash = path.find_last_of('/');
  ExternalData external(slash == std::string::npos ? "." : path.substr(0, slash + 1),
                        limits.max_external_files);
  auto model = ReadModel(file->bytes(), limits, file, &external);
  if (!model.ok()) return std::move(model).status().Annotate(fmt::format("'{}'", path));
  (*model)->file = std::move(file);
  return std::shared_ptr<const Model>(std::move(model).value());
}

Result<std::shared_ptr<const Model>> Parse(std::span<const std::byte> bytes, const Limits& limits) {
  FUSEE_TRY(auto model, ReadModel(bytes, limits, nullptr, nullptr));
  return std::shared_ptr<const Model>(std::move(model));
}

Result<Tensor> LoadTensorFile(const std::string& path) { return ReadTensorProtoFile(path); }

}  // namespace fusee::onnx
