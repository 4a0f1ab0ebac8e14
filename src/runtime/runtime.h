// Load a plan, run it. After load a run allocates nothing, takes no lock of its own, reads no clock
// and no file, and gives the same bits every time.
//
//   FUSEE_TRY(auto plan, LoadedPlan::Load("digits.plan"));       // immutable, shared by any number
//   of contexts FUSEE_TRY(auto context, Context::Create(plan, {.parallel = &pool}));  // one per
//   thread that runs FUSEE_TRY(context->SetInputShape(0, Shape{4, 1, 8, 8}));
//   FUSEE_TRY(context->BindInput(0, pixels));                     // or write into
//   context->input(0) FUSEE_TRY(context->Run()); const float* logits =
//   context->output(0).as<float>();
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "device/device.h"
#include "device/parallel.h"
#include "ops/kernel.h"
#include "plan/header.h"
#include "plan/plan.h"

namespace fusee::runtime {

// Where the weights lie while the plan is loaded.
enum class WeightsMemory : uint8_t {
  kPrivate = 0,  // read into pre-faulted huge-page memory of our own: fastest, and nobody can
                 // change it under us
  kMapped =
      1,  // the mapped file: shared between processes; a file truncated while in use raises SIGBUS
};

struct LoadOptions {
  // Behaviour.
  bool replay_golden =
      true;  // run the certificate's golden inputs and compare digests before answering
  bool allow_unverified = true;  // false: refuse a plan built with --no-verify (servers)
  WeightsMemory weights =
      WeightsMemory::kPrivate;  // of Load; FromBytes borrows its bytes when they are aligned
  // Performance. Borrowed for the call; null: this thread alone.
  Parallel* parallel = nullptr;
  // The device that a plan for one runs on, and its kernels (ops::DeviceModule); both outlive the
  // plan. Null device: the CPU. Tests bring their own library.
  Device* device = nullptr;
  const ops::KernelLibrary* kernels = &ops::CpuKernels();
};

struct BoundPlan;  // bound_plan.h: kernels, shape bounds, in-place pairs, io slots

// A plan that passed every check: digests, structure, memory, and each step's kernel bound at its
// largest shapes. Immutable and thread-safe; keeps the weights alive.
class LoadedPlan {
 public:
  // Errors: kNotFound, kPermissionDenied (the file); kDataLoss, kInvalidArgument (damaged or
  // invalid); kFailedPrecondition (needs a higher ISA, a newer reader, an unknown kernel; or
  // unverified and not allowed; or golden outputs differ). Cost: one read and SHA-256 pass of the
  // file, then microseconds a step; the golden replay is a run per golden point.
  static Result<std::shared_ptr<const LoadedPlan>> Load(const std::string& path,
                                                        const LoadOptions& options = {});
  // The same from memory; owner keeps bytes alive (null: the caller does). Weights are copied once
  // if bytes is not 64-byte aligned.
  static Result<std::shared_ptr<const LoadedPlan>> FromBytes(std::span<const std::byte> bytes,
                                                             std::shared_ptr<const void> owner,
                                                             const LoadOptions& options = {});
  // From a plan in memory (the compiler's trial runs); the plan is verified as a decoded one would
  // be.
  static Result<std::shared_ptr<const LoadedPlan>> FromPlan(std::shared_ptr<const plan::Plan> plan,
                                                            const LoadOptions& options = {});
  ~LoadedPlan();
  LoadedPlan(const LoadedPlan&) = delete;
  LoadedPlan& operator=(const LoadedPlan&) = delete;

  const plan::Plan& plan() const { return *plan_; }
  // What the file's first page says, and the whole file as it was read: of the bytes that were
  // checked and run, whatever lies at the path by now. Both empty after FromPlan. file_bytes lives
  // as long as this (after FromBytes with a null owner: as long as the caller's bytes).
  const plan::Header& header() const { return header_; }
  std::span<const std::byte> file_bytes() const { return file_bytes_; }
  // Bytes one context takes, all of them at Create: of the device's memory for a plan on one.
  uint64_t context_bytes() const;
  // The device this was loaded for; null: the CPU.
  Device* device() const;
  // The symbol that leads every input and output and no other dimension, an index into
  // plan().symbols; nullopt when there is none.
  std::optional<size_t> batch_symbol() const;
  // Indices by name; nullopt when there is none.
  std::optional<size_t> FindInput(std::string_view name) const;
  std::optional<size_t> FindOutput(std::string_view name) const;

 private:
  friend class Context;
  LoadedPlan() = default;
  static Result<std::shared_ptr<const LoadedPlan>> Finish(std::shared_ptr<const plan::Plan> plan,
                                                          plan::Header header,
                                                          std::span<const std::byte> file_bytes,
                                                          const LoadOptions& options);
  std::shared_ptr<const plan::Plan> plan_;  // shared with a builder that still holds it
  plan::Header header_;
  std::span<const std::byte> file_bytes_;  // kept alive by plan_'s weights_owner
  std::unique_ptr<const BoundPlan> bound_;
};

// What a step just did; views are valid during the call only.
struct StepEvent {
  size_t step = 0;  // index into plan().steps
  std::span<const ConstTensorView> inputs;
  std::span<const TensorView> outputs;
  int64_t nanoseconds = 0;          // 0 without a clock
  std::span<const int64_t> counts;  // sizes the step found, in the order of plan::Step::counts
};

// For profiling and debugging: called on the running thread after each step
// that ran (plan::Step::guards). Null in normal runs.
class StepHook {
 public:
  virtual ~StepHook() = default;
  virtual void OnStep(const StepEvent& event) = 0;
};

struct ContextOptions {
  Parallel* parallel =
      nullptr;             // borrowed, must outlive the context; null: the calling thread alone
  bool huge_pages = true;  // ask the system for 2 MiB pages (advice; never an error)
  // --- of plans on a device; ignored on the CPU ---
  bool graphs = true;     // capture one graph a bucket at Create; false: launch step by step
  bool transfers = true;  // false: Run moves neither inputs nor outputs (timing the device alone)
  bool marks = false;     // name runs and steps for a profiler (Device::PushMark)
  // Host memory that the device reaches (Device::RegisterHost): pieces bound inside it are read and
  // written in place by the device; anything else is copied through the context's own. Borrowed.
  std::span<const DeviceMemory* const> host_memory = {};
};

// A stretch of the caller's memory that holds whole rows of an input or output.
using InputPiece = std::span<const std::byte>;
using OutputPiece = std::span<std::byte>;

// One stream of runs: owns one arena, taken whole at Create. Not thread-safe: one thread at a time.
// Contexts of one plan are independent. Keeps its plan alive.
//
// Inputs start at the profile's optimum shape, in memory of the context, zeroed (pinned inputs hold
// their bytes).
class Context {
 public:
  // Errors: kResourceExhausted when the arena cannot be had.
  static Result<std::unique_ptr<Context>> Create(std::shared_ptr<const LoadedPlan> plan,
                                                 const ContextOptions& options = {});
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const LoadedPlan& plan() const;
  size_t input_count() const;
  size_t output_count() const;

  // Sets an input's shape for the following runs. Each axis is checked against its own range at
  // once; how inputs fit together when prepared (Prepare or Run). Allocates nothing when ok. The
  // shape stays as it was on error. Errors: kInvalidArgument (no such input, another rank, a fixed
  // axis), kOutOfRange (outside the profile: names symbol, value, range and remedy).
  Status SetInputShape(size_t input, const Shape& shape);

  // Reads input i from the caller's memory at each Run: borrowed until bound again or unbound by
  // null (then the context's own memory, see input()). bytes: how many may be read; a Run that
  // needs more is refused. Zero-copy when data is 64-byte aligned, else one copy a run. Must not
  // overlap a bound output. Errors: kInvalidArgument (no such input).
  Status BindInput(size_t input, const void* data, size_t bytes);
  // Writes output i to the caller's memory; null: to the context's own. capacity_bytes: how many
  // may be written, also with scratch values of other steps that the plan placed there. Zero-copy
  // when aligned to 64 bytes and the plan computes the output in place, else one copy a run.
  Status BindOutput(size_t output, void* data, size_t capacity_bytes);

  // The same in pieces, for batches: the input's bytes are the pieces' one after the other, the
  // output's are spread over them. Replaces BindInput/BindOutput of that index until bound again.
  // Spans themselves are copied; what they point to is borrowed as above. Never zero-copy on the
  // CPU; on a device the copies are part of the graph. Errors: kInvalidArgument (no such index),
  // kResourceExhausted (more pieces than pieces_max()).
  Status BindInputPieces(size_t input, std::span<const InputPiece> pieces);
  Status BindOutputPieces(size_t output, std::span<const OutputPiece> pieces);
  // At least 1; the largest batch the profile allows where inputs have a batch dimension.
  size_t pieces_max() const;

  // The context's own memory for input i at its current shape, to be filled by the caller. Valid
  // until the shape changes. Precondition: index in range.
  TensorView input(size_t input);
  // Output i as of the last Prepare or Run: shape, and data where it lies. Valid until the next Run
  // or bind. Where a run finds the size (plan::Count), a shape is the largest possible until then,
  // which is also what a bound buffer has to have room for.
  ConstTensorView output(size_t output) const;

  // Makes everything ready for the current shapes without running: output shapes are known
  // afterwards. Run does it when something changed. Allocates nothing when ok. Errors: kOutOfRange:
  // a symbol leaves its range (names symbol, value, range, remedy); kInvalidArgument: shapes do not
  // fit each other, a bound buffer is too small, a pinned input holds other bytes.
  Status Prepare();
  // Runs every step on the calling thread and the context's Parallel; blocks until outputs are
  // complete. Errors: as Prepare; a step's own (an index out of range), with the step's name.
  // Outputs are then unspecified, and the context stays usable.
  Status Run();

  // Run on a device, timed by the device itself: microseconds from the first to the last of its
  // work, launch excluded. Errors: as Run; kFailedPrecondition for a plan on the CPU.
  Result<double> RunDeviceTimed();

  // For contexts on a device without transfers: what a Run leaves out. MoveInputs brings the inputs
  // there, for all runs until they are moved again; MoveOutputs fetches those of the last Run. Both
  // wait. Otherwise nothing is done. Errors: as Prepare; a device's.
  Status MoveInputs();
  Status MoveOutputs();

  // Symbol values of the last Prepare, in the plan's order.
  std::span<const int64_t> symbol_values() const;
  // The smallest bucket that covers symbol_values(), an index into plan().buckets; nullopt when
  // there is none.
  std::optional<size_t> bucket() const;

  // hook and clock are borrowed; null hook: off. With a clock, events carry each step's time.
  void SetStepHook(StepHook* hook, const Clock* clock = nullptr);

 private:
  Context();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fusee::runtime
