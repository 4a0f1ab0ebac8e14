// A plan opened through the C ABI, in C++'s terms: what `fusee run` and `fusee bench` run plans
// with. Uses nothing of the runtime but include/fusee/fusee.h, and so is its first client and test.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "fusee/fusee.h"
#include "plan/header.h"
#include "tensor/tensor.h"

namespace fusee::cli {

// Takes over the C status. ok for null.
Status FromC(fusee_status* status);

struct SessionOptions {
  int threads = 0;  // the calling one included; 0: all this process may use
  bool skip_golden = false;
  bool map_weights = false;
  std::string device;              // "cpu", "cuda:1"; empty: what the plan is for
  bool no_graphs = false;          // of plans on a device: launch step by step
  bool no_transfers = false;       // of plans on a device: inputs and outputs stay where they are
  bool marks = false;              // of plans on a device: name runs and steps for a profiler
  fusee_device* opened = nullptr;  // borrowed, used instead of opening `device`: of tests
};

// An input or output, with its profile.
struct IoPort {
  std::string name, shape_text;
  DType dtype = DType::kInvalid;
  Shape min, opt, max;
  bool pinned = false;
  bool channels_last = false;  // the model has the channels on axis 1
  bool is_static() const { return min == max; }
};

// A loaded plan and one context. Not thread-safe.
class Session {
 public:
  static Result<std::unique_ptr<Session>> Open(const std::string& path,
                                               const SessionOptions& options);
  // From a plan in memory, which is copied.
  static Result<std::unique_ptr<Session>> OpenBytes(std::span<const std::byte> bytes,
                                                    const SessionOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const fusee_plan_info& info() const { return info_; }
  const std::vector<IoPort>& inputs() const { return inputs_; }
  const std::vector<IoPort>& outputs() const { return outputs_; }
  int threads() const;
  // Is the plan for another device than the CPU?
  bool on_device() const { return device_ != nullptr; }
  // What it runs on: "NVIDIA H200"; empty on the CPU.
  std::string DeviceName() const;
  // Counts from now on what this process asks of the device's driver, and what was counted.
  // Precondition: on_device(). Errors: kUnavailable with the reason.
  Status WatchDriver() { return FromC(fusee_device_watch_driver(device_)); }
  Result<fusee_driver_calls> driver_calls() const;
  // One more context of the same plan, for a thread of its own: its steps on the CPU run on the
  // calling thread alone. This session must outlive it. No step names, no descriptions.
  Result<std::unique_ptr<Session>> Another(const SessionOptions& options) const;
  // What Open took apart from loading: taking the context's memory.
  double context_ms() const { return context_ms_; }

  // Errors: kNotFound listing what there is.
  Result<size_t> FindInput(std::string_view name) const;
  Result<size_t> FindOutput(std::string_view name) const;

  // Errors: kOutOfRange, kInvalidArgument, naming the input.
  Status SetShape(size_t input, const Shape& shape);
  // Sets the shape and copies the values into the context's memory. Errors: as above; another dtype
  // than the plan's.
  Status SetInput(size_t input, const Tensor& tensor);
  // The context's own memory at the input's current shape.
  Result<TensorView> Input(size_t input);
  // As of the last run; valid until the next.
  Result<ConstTensorView> Output(size_t output) const;
  // Allocates nothing when ok and the shapes did not change.
  Status Run() { return FromC(fusee_context_run(context_)); }
  // With no_transfers: what runs leave out, once. Else nothing.
  Status MoveInputs() { return FromC(fusee_context_move_inputs(context_)); }
  Status MoveOutputs() { return FromC(fusee_context_move_outputs(context_)); }
  // A run timed by the device itself, in microseconds. Errors: kFailedPrecondition on the CPU.
  Result<double> RunDeviceTimed();

  // Name of a step for a profile: "Conv 'conv1' (conv.f32.avx512)".
  Result<std::string> StepName(size_t step) const;
  // Calls callback(user, event) after every step of every run; null: off.
  void SetStepCallback(fusee_step_callback callback, void* user) {
    fusee_context_set_step_callback(context_, callback, user);
  }
  Result<std::string> Describe(fusee_text_kind kind) const;

 private:
  Session() = default;
  static Result<std::unique_ptr<Session>> Finish(std::unique_ptr<Session> session,
                                                 const SessionOptions& options,
                                                 fusee_status* load_status);
  Status ReadInterface();
  Status OpenDevice(const SessionOptions& options, Result<plan::Header> header);
  Status MakeContext(const SessionOptions& options, const fusee_plan* plan);

  fusee_device* device_ = nullptr;  // owned, unless borrowed: another's context, or opened
  bool owns_device_ = true;
  fusee_threads* threads_ = nullptr;
  fusee_plan* plan_ = nullptr;
  fusee_context* context_ = nullptr;
  fusee_plan_info info_{};
  std::vector<IoPort> inputs_, outputs_;
  double context_ms_ = 0;
};

// Gives the session its inputs from files: shapes from the files, for raw ones from shapes or a
// static plan. shapes: by input name, for raw files only; each must be used. Errors: of the files;
// kInvalidArgument naming the input (unknown, pinned, of another type, a shape missing or without
// effect).
using NamedShapes = std::vector<std::pair<std::string, std::vector<int64_t>>>;
struct NamedFile;
Status LoadInputs(Session& session, std::span<const NamedFile> files, const NamedShapes& shapes);

}  // namespace fusee::cli
