// The model repository: folders to served models, and what clients may ask about them.
//
//   REPO/<model>/<version>/model.plan        version: a positive integer; the highest one is served
//   REPO/<model>/<version>/model.cuda.plan   or one plan for each kind of device
//   REPO/<model>/<version>/model.cpu.plan
//   REPO/<model>/config.pbtxt                only its parameter device_order is read: a plan says
//                                            the rest itself
//   REPO/.anything                           ignored
//   anything else                            ignored with a warning that names it
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
#include "server/fleet.h"

namespace fusee::server {

inline constexpr size_t kModelNameMax = 128;
inline constexpr size_t kModelsMax = 256;
inline constexpr size_t kWarningsMax = 50;

struct ModelFolder {
  std::string name;
  int64_t version = 0;                   // the highest; 0 when there is none
  std::vector<ModelSource::Plan> plans;  // in the order in which their devices are to be used
  Status fault;                          // not ok: why it cannot be loaded
};

struct RepositoryScan {
  std::vector<ModelFolder> models;    // by name
  std::vector<std::string> warnings;  // for the log
};

// Letters, digits, '.', '_', '-'; not starting with '.'; at most kModelNameMax bytes.
bool IsValidModelName(std::string_view name);

// device_order: kinds of devices, first choice first, for models whose config.pbtxt names none;
// empty: cuda, cpu. Plans for kinds that the order leaves out are not used, unless there is no
// other. A model's own fault (its name, no version, no plan) is in its ModelFolder, without the
// model's name, and hides no other model. Errors: kNotFound, kInvalidArgument: the repository
// itself; kResourceExhausted beyond kModelsMax. Each message names the path and what belongs there.
Result<RepositoryScan> ScanRepository(const std::string& path,
                                      std::span<const std::string> device_order = {});

// A model on one kind of device.
struct OnKind {
  std::string kind;                         // "cpu"
  std::shared_ptr<const ipc::Model> model;  // shared with the fleet
  uint32_t rows_max = 1;
  // Distinct values of the non-batch symbols among the buckets, ascending; one latency table each.
  std::vector<std::vector<int64_t>> latency_classes;
  std::vector<sched::ModelIndex> index;  // by device; invalid for devices of other kinds
};

// A model ready to serve. Immutable; shared between the catalogue and the requests that use it.
struct ServedModel {
  std::vector<OnKind> kinds;              // at least one, first choice first
  std::string first_choice;               // the kind that its order begins with, there or not
  std::shared_ptr<obs::Metrics> metrics;  // shared with the registry

  // What clients see; the kinds agree in it but for ranges and times.
  const ipc::ModelInfo& info() const { return kinds[0].model->info(); }
  std::optional<size_t> FindKind(std::string_view kind) const;
};

// Whether the protocol has names for the types of all inputs and outputs; it has none for the
// narrow ones (tensor/dtype.h). Errors: kUnimplemented naming the first that has not.
Status CheckTypesHaveNames(const ipc::ModelInfo& info);

// Whether two plans can stand in for each other: names, types and fixed dimensions of inputs and
// outputs. Errors: kFailedPrecondition naming the difference.
Status CheckSameInterface(const ipc::ModelInfo& a, const ipc::ModelInfo& b);

// What the scheduler needs to know of a model, and the classes its tables stand for.
sched::ModelProfile MakeProfile(const ipc::ModelInfo& info, Duration deadline_min,
                                std::vector<std::vector<int64_t>>* classes);

// Rows, shape key and latency class of a request on one kind of device. fits: its OutputShapes
// accepted the shapes; otherwise nothing else is set.
struct RequestShape {
  bool fits = false;
  uint32_t rows = 1;
  sched::ShapeKey key;
  uint8_t latency_class = 0;
};
RequestShape ClassifyShape(const OnKind& model, std::span<const ConstTensorView> inputs);

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
