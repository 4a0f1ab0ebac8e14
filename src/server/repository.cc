#include "server/repository.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "base/file.h"
#include "plan/decode.h"
#include "server/model_config.h"

namespace fusee::server {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPlanFile = "model.plan";
const std::string kDefaultOrder[] = {"cuda", "cpu"};
constexpr std::string_view kKindOfOldPlans = "cpu";
constexpr const char* kConfigFile = "config.pbtxt";

// A positive decimal integer without leading zeros, as version folders are named.
std::optional<int64_t> ParseVersion(std::string_view text) {
  int64_t version = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, version);
  if (read.ec != std::errc() || read.ptr != end || version <= 0 || text[0] == '0')
    return std::nullopt;
  return version;
}

// Which kind of device a plan is for; one that cannot be read is left for a worker to complain of.
std::string KindOf(const std::string& plan_path) {
  std::ifstream file(plan_path, std::ios::binary);
  std::vector<std::byte> start(plan::kHeaderBytes);
  file.read(reinterpret_cast<char*>(start.data()), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<size_t>(std::max<std::streamsize>(0, file.gcount())));
  const auto header = plan::ReadHeader(start);
  if (!header.ok() || header->device.empty()) return std::string(kKindOfOldPlans);
  return header->device.substr(0, header->device.find(':'));
}

// The plans of a version folder, in device order.
std::vector<ModelSource::Plan> FindPlans(const fs::path& folder, const std::string& model,
                                         std::span<const std::string> order,
                                         std::vector<std::string>* warnings) {
  std::error_code ignored;
  std::vector<ModelSource::Plan> found;
  for (const std::string& kind : kDefaultOrder) {
    const fs::path path = folder / fmt::format("model.{}.plan", kind);
    if (fs::is_regular_file(path, ignored)) found.push_back({kind, path.string()});
  }
  const fs::path plain = folder / kPlanFile;
  if (fs::is_regular_file(plain, ignored)) {
    if (found.empty())
      found.push_back({KindOf(plain.string()), plain.string()});
    else
      warnings->push_back(
          fmt::format("{}: ignored beside a plan for each kind of device", plain.string()));
  }
  std::vector<ModelSource::Plan> ordered;
  for (const std::string& kind : order) {
    for (const auto& plan : found) {
      if (plan.kind == kind) ordered.push_back(plan);
    }
  }
  if (ordered.empty() && !found.empty()) {
    warnings->push_back(
        fmt::format("model '{}': no plan for the devices of its order ({}); running "
                    "on {}",
                    model, fmt::join(order, ","), found[0].kind));
    return found;
  }
  return ordered;
}

// What config.pbtxt has to say; the server's order when that is nothing.
Result<std::vector<std::string>> OrderOf(const fs::path& folder,
                                         std::span<const std::string> device_order,
                                         std::vector<std::string>* warnings) {
  const fs::path config = folder / kConfigFile;
  std::error_code ignored;
  if (!fs::is_regular_file(config, ignored))
    return std::vector<std::string>(device_order.begin(), device_order.end());
  FUSEE_TRY(const std::string text, ReadSmallFile(config.string(), kModelConfigBytesMax));
  auto order = ReadDeviceOrder(text);
  const bool unreadable = order.status().code() == StatusCode::kDataLoss;
  if (!order.ok() && !unreadable) return std::move(order).status().Annotate(config.string());
  if (order.ok() && !order->empty()) return order;
  warnings->push_back(fmt::format(
      "{}: ignored; inputs, outputs, batching and limits come from the plan itself, and {}",
      config.string(), unreadable ? order.status().message() : "it names no device_order"));
  return std::vector<std::string>(device_order.begin(), device_order.end());
}

// In a fixed order, and not more than a log can bear.
void BoundWarnings(std::vector<std::string>* warnings) {
  std::ranges::sort(*warnings);
  if (warnings->size() <= kWarningsMax) return;
  const size_t more = warnings->size() - kWarningsMax;
  warnings->resize(kWarningsMax);
  warnings->push_back(fmt::format("... and {} more files or folders that are ignored", more));
}

// ", though its folder has 'a.onnx'", of the first file by name; empty when there is none.
std::string FirstFileOf(const fs::path& folder) {
  std::string first;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with('.') && (first.empty() || name < first)) first = name;
  }
  return first.empty() ? "" : fmt::format(", though its folder has '{}'", first);
}

Status ScanModel(const fs::path& folder, std::span<const std::string> device_order,
                 ModelFolder* out, std::vector<std::string>* warnings) {
  ModelFolder& model = *out;
  if (!IsValidModelName(model.name)) {
    return InvalidArgument(
        fmt::format("folder '{}': a model's name has letters, digits, '.', '_' and '-' "
                    "only, and at most {} of them; rename it",
                    folder.string(), kModelNameMax));
  }
  std::error_code error;
  fs::path version_folder;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.')) continue;
    std::error_code ignored;
    const std::string path = entry.path().string();
    if (!entry.is_directory(ignored)) {
      if (name != kConfigFile) {
        warnings->push_back(fmt::format("{}: ignored; plans lie in version folders: {}/1/{}", path,
                                        folder.string(), kPlanFile));
      }
      continue;
    }
    const auto version = ParseVersion(name);
    if (!version) {
      warnings->push_back(
          fmt::format("{}: ignored; a version folder's name is a positive integer", path));
      continue;
    }
    if (*version > model.version) {
      model.version = *version;
      version_folder = entry.path();
    }
  }
  if (error)
    return InvalidArgument(fmt::format("folder '{}': {}", folder.string(), error.message()));
  if (model.version == 0) {
    return InvalidArgument(fmt::format("folder '{}' has no version folder; expected {}/1/{}",
                                       folder.string(), folder.string(), kPlanFile));
  }
  FUSEE_TRY(const auto order, OrderOf(folder, device_order, warnings));
  model.plans = FindPlans(version_folder, model.name, order, warnings);
  if (model.plans.empty()) {
    const std::string path = (version_folder / kPlanFile).string();
    return InvalidArgument(
        fmt::format("no file '{}'{}; write it with: fusee build MODEL.onnx --save-plan {}", path,
                    FirstFileOf(version_folder), path));
  }
  return OkStatus();
}

// The bucket time that may be promised: the best-founded high quantile there is.
double PromisedUs(const ipc::BucketInfo& bucket) {
  return bucket.count >= 1000 ? bucket.p999_us : bucket.p99_us;
}

std::vector<int64_t> WithoutBatch(const ipc::ModelInfo& info, const std::vector<int64_t>& values) {
  std::vector<int64_t> rest;
  for (size_t i = 0; i < values.size(); ++i) {
    if (static_cast<int32_t>(i) != info.batch_symbol) rest.push_back(values[i]);
  }
  return rest;
}

}  // namespace

bool IsValidModelName(std::string_view name) {
  if (name.empty() || name.size() > kModelNameMax || name[0] == '.') return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

Result<RepositoryScan> ScanRepository(const std::string& path,
                                      std::span<const std::string> device_order) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return NotFound(
        fmt::format("model repository '{}' is not a folder; expected <model>/<version>/{} below it",
                    path, kPlanFile));
  }
  if (device_order.empty()) device_order = kDefaultOrder;
  RepositoryScan scan;
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    std::error_code ignored;
    if (entry.path().filename().string().starts_with('.')) continue;
    if (entry.is_directory(ignored)) {
      folders.push_back(entry.path());
    } else {
      scan.warnings.push_back(fmt::format("{}: ignored; a plan is served from {}/<model>/1/{}",
                                          entry.path().string(), path, kPlanFile));
    }
    if (folders.size() > kModelsMax) {
      return ResourceExhausted(fmt::format(
          "model repository '{}' has more than {} models, the limit", path, kModelsMax));
    }
  }
  if (error)
    return InvalidArgument(fmt::format("model repository '{}': {}", path, error.message()));
  std::sort(folders.begin(), folders.end());
  for (const fs::path& folder : folders) {
    ModelFolder model{.name = folder.filename().string()};
    model.fault = ScanModel(folder, device_order, &model, &scan.warnings);
    scan.models.push_back(std::move(model));
  }
  BoundWarnings(&scan.warnings);
  return scan;
}

sched::ModelProfile MakeProfile(const ipc::ModelInfo& info, Duration deadline_min,
                                std::vector<std::vector<int64_t>>* classes) {
  sched::ModelProfile profile;
  profile.deadline_min = deadline_min;
  const auto batch = info.batch_symbol;
  if (batch >= 0) {
    const int64_t rows =
        std::clamp<int64_t>(info.symbols[static_cast<size_t>(batch)].max, 1, UINT32_MAX / 2);
    profile.rows_max = static_cast<uint32_t>(rows);
    profile.batchable = profile.rows_max > 1;
  }
  classes->clear();
  for (const auto& bucket : info.buckets)
    classes->push_back(WithoutBatch(info, bucket.symbol_values));
  if (classes->empty()) classes->emplace_back();
  std::sort(classes->begin(), classes->end());
  classes->erase(std::unique(classes->begin(), classes->end()), classes->end());
  // Too many: keep the largest, whose times bound the others'.
  while (classes->size() > sched::kLatencyClassesMax) classes->erase(classes->begin());
  for (size_t c = 0; c < classes->size(); ++c) {
    std::vector<sched::LatencyPoint> points;
    for (const auto& bucket : info.buckets) {
      if (bucket.count == 0 || WithoutBatch(info, bucket.symbol_values) != (*classes)[c]) continue;
      const int64_t rows = batch >= 0 ? bucket.symbol_values[static_cast<size_t>(batch)] : 1;
      points.push_back({static_cast<uint32_t>(std::clamp<int64_t>(rows, 1, UINT32_MAX / 2)),
                        Duration(static_cast<int64_t>(PromisedUs(bucket) * 1e3))});
    }
    std::sort(points.begin(), points.end(),
              [](const auto& a, const auto& b) { return a.rows < b.rows; });
    profile.latency[c] = sched::LatencyTable(points);
  }
  return profile;
}

std::optional<size_t> ServedModel::FindKind(std::string_view kind) const {
  for (size_t k = 0; k < kinds.size(); ++k) {
    if (kinds[k].kind == kind) return k;
  }
  return std::nullopt;
}

Status CheckTypesHaveNames(const ipc::ModelInfo& info) {
  for (const auto& [what, list] :
       {std::pair("input", &info.inputs), std::pair("output", &info.outputs)}) {
    for (const ipc::TensorInfo& tensor : *list) {
      if (!IsNarrow(tensor.dtype)) continue;
      return Unimplemented(
          fmt::format("{} '{}' is {}, a type that the inference protocol has no name for; convert "
                      "it inside the model (Cast, QuantizeLinear, DequantizeLinear)",
                      what, tensor.name, DTypeName(tensor.dtype)));
    }
  }
  return OkStatus();
}

Status CheckSameInterface(const ipc::ModelInfo& a, const ipc::ModelInfo& b) {
  const auto differ = [](std::string_view what) {
    return FailedPrecondition(
        fmt::format("its plans for two kinds of devices differ in {}; build both from one model "
                    "with one profile",
                    what));
  };
  for (const auto& lists : {std::pair(&a.inputs, &b.inputs), std::pair(&a.outputs, &b.outputs)}) {
    if (lists.first->size() != lists.second->size()) return differ("their number of tensors");
    for (size_t i = 0; i < lists.first->size(); ++i) {
      const ipc::TensorInfo& x = (*lists.first)[i];
      const ipc::TensorInfo& y = (*lists.second)[i];
      if (x.name != y.name || x.dtype != y.dtype || x.shape != y.shape)
        return differ(fmt::format("tensor '{}'", x.name));
    }
  }
  return OkStatus();
}

RequestShape ClassifyShape(const OnKind& served, std::span<const ConstTensorView> inputs) {
  const ipc::ModelInfo& info = served.model->info();
  RequestShape shape{.fits = true};
  std::vector<int64_t> rest;
  bool exact = true;
  for (size_t i = 0; i < info.symbols.size(); ++i) {
    const ipc::SymbolInfo& symbol = info.symbols[i];
    const int64_t value = symbol.axis >= 0 ? inputs[symbol.input].shape[symbol.axis] : symbol.max;
    if (static_cast<int32_t>(i) == info.batch_symbol) {
      shape.rows = static_cast<uint32_t>(std::clamp<int64_t>(value, 1, served.rows_max));
      continue;
    }
    exact = exact && value >= 0 && value <= UINT32_MAX && rest.size() < 4;
    rest.push_back(value);
  }
  if (exact) {  // up to four values of 32 bits are the key itself: no two shapes share one
    for (size_t i = 0; i < rest.size(); ++i) {
      (i < 2 ? shape.key.high : shape.key.low) |= static_cast<uint64_t>(rest[i]) << (32 * (i % 2));
    }
  } else {  // a key of its own: such a request runs alone
    static std::atomic<uint64_t> unique{0};
    shape.key = {.high = UINT64_MAX, .low = unique.fetch_add(1, std::memory_order_relaxed)};
  }
  const auto& classes = served.latency_classes;
  const auto covers = [&](const std::vector<int64_t>& c) {
    return std::ranges::equal(c, rest, [](int64_t have, int64_t need) { return have >= need; });
  };
  const auto found = std::find_if(classes.begin(), classes.end(), covers);
  shape.latency_class = static_cast<uint8_t>(
      found == classes.end() ? classes.size() - 1 : static_cast<size_t>(found - classes.begin()));
  return shape;
}

std::string_view ModelStateName(ModelState state) {
  switch (state) {
    case ModelState::kLoading: return "LOADING";
    case ModelState::kReady: return "READY";
    case ModelState::kUnavailable: return "UNAVAILABLE";
  }
  return "UNKNOWN";
}

Catalogue::Entry& Catalogue::At(const std::string& name, int64_t version) {
  Entry& entry = models_[name][version];
  entry.name = name;
  entry.version = version;
  return entry;
}

void Catalogue::SetLoading(const std::string& name, int64_t version) {
  const std::lock_guard lock(mutex_);
  At(name, version).state = ModelState::kLoading;
}

void Catalogue::SetReady(std::shared_ptr<const ServedModel> model) {
  const std::lock_guard lock(mutex_);
  Entry& entry = At(model->info().name, model->info().version);
  entry.state = ModelState::kReady;
  entry.reason.clear();
  entry.model = std::move(model);
}

void Catalogue::SetUnavailable(const std::string& name, int64_t version, std::string reason) {
  const std::lock_guard lock(mutex_);
  Entry& entry = At(name, version);
  entry.state = ModelState::kUnavailable;
  entry.reason = std::move(reason);
  entry.model.reset();
}

Result<std::shared_ptr<const ServedModel>> Catalogue::Find(std::string_view name,
                                                           std::string_view version_text) const {
  const std::string_view shown = name.substr(0, kModelNameMax);
  const std::lock_guard lock(mutex_);
  const auto found = models_.find(name);
  if (found == models_.end())
    return NotFound(fmt::format("Request for unknown model: '{}' is not found", shown));
  const auto& versions = found->second;
  if (version_text.empty()) {
    for (auto it = versions.rbegin(); it != versions.rend(); ++it) {
      if (it->second.model) return it->second.model;
    }
    return Unavailable(
        fmt::format("Request for unknown model: '{}' has no available versions", shown));
  }
  int64_t version = 0;
  const auto read =
      std::from_chars(version_text.data(), version_text.data() + version_text.size(), version);
  if (read.ec != std::errc()) {  // digits, by the route: too many of them
    return InvalidArgument(
        fmt::format("failed to get model version from specified version string '{}' (details: "
                    "stol), version should be an integral value > 0",
                    version_text.substr(0, 32)));
  }
  const auto at = versions.find(version);
  if (at == versions.end()) {
    return NotFound(
        fmt::format("Request for unknown model: '{}' version {} is not found", shown, version));
  }
  if (!at->second.model) {
    return Unavailable(fmt::format(
        "Request for unknown model: '{}' version {} is not at ready state", shown, version));
  }
  return at->second.model;
}

std::vector<Catalogue::Entry> Catalogue::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<Entry> entries;
  for (const auto& [name, versions] : models_) {
    for (const auto& [version, entry] : versions) entries.push_back(entry);
  }
  return entries;
}

bool Catalogue::AllReady() const {
  const auto entries = List();
  return std::ranges::all_of(entries, [](const Entry& e) { return e.state == ModelState::kReady; });
}

}  // namespace fusee::server
