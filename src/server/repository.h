// The model repository: folders to served models, and what clients may ask about them.
//
//   REPO/<model>/<version>/model.plan      version: a positive integer; the highest one is served
//   REPO/<model>/config.pbtxt              ignored with a warning: a plan says everything itself
//   REPO/.anything                         ignored
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ipc/executor.h"
#include "obs/metrics.h"
#include "sched/scheduler.h"

namespace fusee::server {

inline constexpr size_t kModelNameMax = 128;
inline constexpr size_t kModelsMax = 256;

struct ModelFolder {
  std::string name;
  int64_t version = 0;  // the highest; 0 when there is none
  std::string plan_path;
  Status fault;  // not ok: why it cannot be loaded
};

struct RepositoryScan {
  std::vector<ModelFolder> models;    // by name
  std::vector<std::string> warnings;  // for the log
};

// Letters, digits, '.', '_', '-'; not starting with '.'; at most kModelNameMax bytes.
bool IsValidModelName(std::string_view name);

// A model's own fault (its name, no version, no plan) is in its ModelFolder and hides no other
// model. Errors: kNotFound, kInvalidArgument: the repository itself; kResourceExhausted beyond
// kModelsMax. Each message names the path and what belongs there.
Result<RepositoryScan> ScanRepository(const std::string& path);

// A model ready to serve. Immutable; shared between the catalogue and the requests that use it.
struct ServedModel {
  std::shared_ptr<const ipc::Model> model;  // shared with the executor's running batch
  sched::ModelIndex index;
  std::shared_ptr<obs::Metrics> metrics;  // shared with the registry
  uint32_t rows_max = 1;
  // Distinct values of the non-batch symbols among the buckets, ascending; one latency table each.
  std::vector<std::vector<int64_t>> latency_classes;

  const ipc::ModelInfo& info() const { return model->info(); }
};

// What the scheduler needs to know of a model, and the classes its tables stand for.
sched::ModelProfile MakeProfile(const ipc::ModelInfo& info, Duration deadline_min,
                                std::vector<std::vector<int64_t>>* classes);

// Rows, shape key and latency class of a request whose shapes OutputShapes accepted.
struct RequestShape {
  uint32_t rows = 1;
  sched::ShapeKey key;
  uint8_t latency_class = 0;
};
RequestShape ClassifyShape(const ServedModel& model, std::span<const ConstTensorView> inputs);

enum class ModelState : uint8_t { kLoading, kReady, kUnavailable };
std::string_view ModelStateName(ModelState state);

// Which models there are and which can serve. Thread-safe; look-ups take a short lock.
class Catalogue {
 public:
  void SetLoading(const std::string& name, int64_t version);
  void SetReady(std::shared_ptr<const ServedModel> model);
  void SetUnavailable(const std::string& name, int64_t version, std::string reason);

  // version_text: empty for the highest ready one. Errors, with Triton's texts: kNotFound (unknown
  // model or version), kInvalidArgument (the number does not fit), kUnavailable (not ready: Triton
  // says 404 here, which no client retries).
  Result<std::shared_ptr<const ServedModel>> Find(std::string_view name,
                                                  std::string_view version_text) const;

  struct Entry {
    std::string name;
    int64_t version = 0;
    ModelState state = ModelState::kLoading;
    std::string reason;
    std::shared_ptr<const ServedModel> model;  // shared with requests; null unless ready
  };
  std::vector<Entry> List() const;
  // True when nothing is loading or unavailable.
  bool AllReady() const;

 private:
  Entry& At(const std::string& name, int64_t version);
  mutable std::mutex mutex_;
  std::map<std::string, std::map<int64_t, Entry>, std::less<>> models_;
};

}  // namespace fusee::server
