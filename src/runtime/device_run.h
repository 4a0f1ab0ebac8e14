// What a context on a device has beyond one on the CPU: the device's arena, page-locked staging
// memory, the table of pieces that a run moves in and out, and one captured graph a bucket.
// Internal to this room.
//
//   Run:  fill the table -> [ copy pieces in | steps ... | copy pieces out ] -> wait, look at
//   errors
//                             one graph launch, or launches one by one
//
// Steps on the host inside a device's plan cut the graph: operands come down, the CPU's kernel
// runs, results go up.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "device/arena.h"
#include "device/device.h"
#include "ops/kernel.h"
#include "plan/plan.h"
#include "runtime/bound_plan.h"
#include "runtime/runtime.h"

namespace fusee::runtime {

class DeviceRun {
 public:
  // Takes all memory. Errors: kResourceExhausted.
  static Result<std::unique_ptr<DeviceRun>> Create(const plan::Plan& plan, const BoundPlan& bound,
                                                   const ContextOptions& options,
                                                   Parallel* parallel, size_t pieces_max);

  // The start of a region in the device's arena; null for the weights.
  std::byte* region_base(plan::Region region) const;
  std::byte* weights_base() const;
  // Staging memory on the host, as large as the input or output can be.
  std::byte* input_home(size_t input) const;
  std::byte* output_home(size_t output) const;
  // Where step i of a run reports errors; a device address.
  uint32_t* error_word(size_t step) const;
  DeviceQueue& queue() const { return *queue_; }

  // The kernels and operands of every step at the current shapes.
  struct Steps {
    std::span<const ops::BoundKernel* const> kernels;
    std::span<const ops::RunArgs> args;
  };

  // Runs the steps once on what the table moves in, so that everything they load lazily is loaded,
  // then records them as the bucket's graph. Called at Create only.
  Status Capture(size_t bucket, const Steps& steps);

  // Empties the table; AddInput and AddOutput then name what the next run moves. to and from are
  // device addresses; pieces lie on the host, in registered memory or anywhere (then they go
  // through the staging memory of input or output `index`).
  void BeginTable();
  void AddInput(size_t index, std::span<const InputPiece> pieces, void* to);
  // count copies of the last `bytes` bytes of input `index`, behind it: rows that fill a batch up.
  void RepeatLastRow(uint64_t bytes, uint64_t count);
  void AddOutput(size_t index, std::span<const OutputPiece> pieces, const void* from);

  // Enqueues one run: the bucket's graph, or step by step when nullopt.
  Status Enqueue(std::optional<size_t> bucket, const Steps& steps);
  // Waits; the first error of a step, with its name. Then moves staged outputs to their pieces.
  Status Finish();
  // What a run without transfers leaves out, once: moves what the table names on one side, and
  // waits.
  enum class Side : uint8_t { kInputs, kOutputs };
  Status Move(Side side);
  bool transfers() const { return options_.transfers; }
  // After a failed Enqueue: waits, so that nothing reads the caller's memory any more and a fault
  // of the device is known; forgets what steps reported.
  void Abandon();
  // Step by step, waiting for each, with host copies of its operands for the hook.
  Status RunObserved(const Steps& steps, StepHook& hook, bool timed);

  bool has_graph(size_t bucket) const { return !programs_[bucket].empty(); }

 private:
  // A stretch of device work as a graph, or one host step.
  struct Item {
    std::unique_ptr<DeviceGraph> graph;
    size_t host_step = 0;
  };
  struct StagedOutput {
    const std::byte* from = nullptr;
    OutputPiece to;
  };

  DeviceRun(const plan::Plan& plan, const BoundPlan& bound, const ContextOptions& options,
            Parallel* parallel)
      : plan_(plan), bound_(bound), options_(options), parallel_(parallel) {}
  Status TakeMemory(size_t pieces_max);
  Status TakeMirror();
  bool IsHostStep(size_t step) const;
  Status CheckErrors() const;
  Status RunHostStep(size_t step, const Steps& steps);
  Status RunPlain(const Steps& steps, bool transfers);
  Status CopyTable(Side side);
  void CopyStagedOutputs();
  // The host's view of a tensor in device memory: weights in the plan, the rest in the mirror.
  void* HostAddress(const void* device) const;
  Status Mirror(const ops::RunArgs& args, bool outputs);
  // The device's address for host memory that it reaches; null for other memory.
  const void* Reach(const void* host, size_t bytes) const;

  // What a profiler shows; none unless the options ask for marks.
  void NameMarks();
  Device* marks() const { return options_.marks ? bound_.device : nullptr; }
  const std::string& StepMark(size_t step) const {
    static const std::string none;
    return options_.marks ? step_marks_[step] : none;
  }

  const plan::Plan& plan_;
  const BoundPlan& bound_;
  const ContextOptions options_;
  Parallel* const parallel_;
  std::unique_ptr<DeviceQueue> queue_;
  std::unique_ptr<DeviceMemory> arena_;
  std::byte* region_base_[5] = {};
  std::unique_ptr<DeviceMemory> staging_;
  std::vector<uint64_t> input_home_, output_home_;  // offsets in staging_
  std::unique_ptr<DeviceMemory> table_;  // pieces in, pieces out, two counts, error words
  DeviceQueue::Piece* in_ = nullptr;     // host addresses in table_
  DeviceQueue::Piece* out_ = nullptr;
  uint32_t* counts_ = nullptr;
  uint32_t* errors_ = nullptr;
  size_t in_max_ = 0, out_max_ = 0;
  std::vector<StagedOutput> staged_;
  size_t staged_count_ = 0;
  std::vector<std::vector<Item>> programs_;  // one a bucket
  std::vector<std::string> step_marks_, bucket_marks_;
  std::string plain_mark_;                // of runs step by step
  std::unique_ptr<DeviceMemory> mirror_;  // the arena's bytes on the host; only where needed
  std::vector<ConstTensorView> host_inputs_;
  std::vector<TensorView> host_outputs_;
};

}  // namespace fusee::runtime
