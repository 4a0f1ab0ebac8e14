#include "onnx/model.h"

#include <fmt/format.h>

#include "onnx/reader.h"
#include "tensor/tensor_file.h"

namespace fusee::onnx {
namespace {

// What a clone without Git LFS leaves in place of a large file.
constexpr std::string_view kLfsPointer = "version https://git-lfs";

Result<std::shared_ptr<Model>> ReadModel(std::span<const std::byte> bytes, const Limits& limits,
                                         std::shared_ptr<const void> owner,
                                         ExternalData* external) {
  if (bytes.empty()) return InvalidArgument("not an ONNX model: it is empty");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with(kLfsPointer)) {
    return InvalidArgument("a Git LFS pointer, not the model; fetch it with 'git lfs pull'");
  }
  const uint64_t budget_bytes = bytes.size() / 5 + limits.memory_slack_bytes;
  wire::Budget budget{budget_bytes, budget_bytes};
  auto model = std::make_shared<Model>();
  Status read = ModelReader(limits, std::move(owner), external)
                    .ReadModel(wire::Reader(bytes, &budget), model.get());
  if (!read.ok()) {
    const bool not_onnx = read.code() == StatusCode::kInvalidArgument;
    return std::move(read).Annotate(not_onnx ? "not a readable ONNX model"
                                             : "the model exceeds what is read");
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
