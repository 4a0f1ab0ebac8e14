// What the runtime knows of an operator: kernels. One KernelDef per tactic; each family's
// tactics.inc lists its tactics in preference order, reference last. Kernels see tensor and device
// only.
//
// Life of a kernel: the compiler (select) and the loader (validate) both call bind with a StepSpec.
// Bind either returns a BoundKernel, which holds the decoded parameters, or says why not. At every
// change of run-time shapes the runtime calls CheckShapes; then Run, as often as it likes.
//
// The same contract serves every device. A CUDA kernel's bind and CheckShapes run on the host and
// touch no device (a build machine may have none); LoadOnDevice prepares what the device needs; Run
// enqueues on args.queue with device addresses in its operands, never waits, allocates nothing, and
// may be recorded into a graph. Its shapes, dims and constants at bind are the host's as ever.
//
// Safety: plans are untrusted. After Bind and CheckShapes succeeded, Run must stay within its
// operands for any operand contents (indices out of range are a Status). CheckShapes must therefore
// re-derive what the output shapes have to be from the operand shapes and dims, and refuse anything
// else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/status.h"
#include "device/cpu_features.h"
#include "device/device.h"
#include "device/parallel.h"
#include "tensor/attrs.h"
#include "tensor/tensor.h"

namespace fusee::ops {

// One operand or result as known before running.
struct TensorSpec {
  DType dtype = DType::kInvalid;  // kInvalid: an absent optional operand
  Shape max_shape;                // every dimension at its profile's maximum
  bool is_static = false;         // max_shape is the only shape
  const void* data = nullptr;     // the bytes when the operand is a constant (a weight), else null

  bool present() const { return dtype != DType::kInvalid; }
  ConstTensorView constant() const { return {dtype, max_shape, data}; }
};

// Borrowed by bind for the call only, except that constants' data outlives the bound kernel.
struct StepSpec {
  std::string_view op;
  const Attrs* attrs = nullptr;
  std::span<const TensorSpec> inputs;
  std::span<const TensorSpec> outputs;
  size_t dim_count = 0;  // run-time evaluated symbolic attributes that RunArgs::dims will have
  // One of the kernel's own configurations, as `configurations` gave it; empty: the kernel's
  // default. Untrusted like the rest of a plan.
  std::span<const std::byte> config = {};
  size_t count_count = 0;  // sizes that the step finds: how many RunArgs::counts will have

  size_t input_count() const { return inputs.size(); }
  bool has_input(size_t i) const { return i < inputs.size() && inputs[i].present(); }
};

enum class RunError : uint32_t { kNone = 0, kIndexOutOfRange = 1, kDivisionByZero = 2 };
Status ToStatus(RunError error, std::string_view op);  // kInvalidArgument
// kOutOfRange: a step finds more than its results have room for; says --bound. Whoever runs the
// step says which one.
Status MoreThanBound(int64_t found, int64_t room);

struct RunArgs {
  std::span<const ConstTensorView> inputs;  // absent operands have dtype kInvalid
  std::span<const TensorView> outputs;      // unwanted results have dtype kInvalid and null data
  std::span<const int64_t> dims;
  std::span<std::byte>
      workspace;  // workspace_bytes() of it, aligned to kTensorAlignment, content undefined
  Parallel* parallel = nullptr;  // never null in Run of a CPU kernel
  void* queue = nullptr;         // DeviceQueue::native(); null on the CPU
  // Where a kernel for a device says that its operands' contents are wrong (an index out of range),
  // which the CPU's would return: it stores a RunError, stays inside its operands and goes on. A
  // device address, zero before; null on the CPU.
  uint32_t* error = nullptr;
  // Of a step whose results are as large as its operands' contents make them (how many elements are
  // not zero). In CheckShapes and at the beginning of Run: the most that the results have room for.
  // At the end of an ok Run: how many there are; results then are contiguous at that size, from the
  // start of the same memory. Not read in other steps.
  std::span<int64_t> counts = {};

  bool has_input(size_t i) const { return i < inputs.size() && inputs[i].present(); }
};

// Immutable after bind; Run is const and keeps all scratch in RunArgs, so one bound kernel serves
// many contexts.
class BoundKernel {
 public:
  virtual ~BoundKernel() = default;
  // Upper bound over the profile. Default: none.
  virtual size_t workspace_bytes() const { return 0; }
  // Of kernels for a device: loads code and library handles, once, before the first Run and outside
  // any capture; afterwards Run loads nothing. Not const: called by the loader alone. Errors:
  // kFailedPrecondition when the device or a library does not fit what the step is pinned to.
  virtual Status LoadOnDevice(Device& device) { return OkStatus(); }
  // Do these exact shapes fit together? Reads shapes, dims and dtypes only, never data. No
  // allocation when ok.
  virtual Status CheckShapes(const RunArgs& args) const = 0;
  // Computes the results. Precondition: CheckShapes accepted these shapes. No allocation when ok,
  // no locks, no clock.
  virtual Status Run(const RunArgs& args) const = 0;
};

// One way a kernel can run a step: opaque bytes that bind takes back as StepSpec::config. The tuner
// times them; plan and lockfile store the chosen one.
struct Configuration {
  std::string name;  // for reports: "algo 21 tile 64x64 stages 4"
  std::vector<std::byte> bytes;
};

inline constexpr size_t kConfigurationBytesMax = size_t{4} << 20;

// A weight rewritten for a kernel, at build. Replaces operand `input` in the plan by opaque bytes
// (a u8 tensor).
struct PackedConstant {
  size_t input = 0;
  std::vector<std::byte> bytes;
};

// A kernel's bind behind a gate. The narrow element types (tensor/dtype.h) have no C++ type, so a
// kernel that picks code by dtype must not meet one: a step that has such an operand or result is
// refused here, unless the kernel says that it takes them.
class BindFunction {
 public:
  using Function = Result<std::unique_ptr<BoundKernel>> (*)(const StepSpec& spec);
  enum class Narrow : uint8_t { kRefused, kTaken };

  template <typename F>
  requires std::is_convertible_v<F, Function>
  constexpr BindFunction(F function, Narrow narrow = Narrow::kRefused)  // NOLINT: as the function
      : function_(function), narrow_(narrow) {}
  Result<std::unique_ptr<BoundKernel>> operator()(const StepSpec& spec) const;
  explicit constexpr operator bool() const { return function_ != nullptr; }

 private:
  Function function_;
  Narrow narrow_;
};
inline constexpr BindFunction::Narrow kNarrowToo = BindFunction::Narrow::kTaken;

struct KernelDef {
  // Stable name with version: "conv_f32_nchw_cpu.1". Plans store it; a change of results or packing
  // needs a new one.
  std::string_view id;
  std::string_view op;  // the IR operator it implements
  DeviceKind device = DeviceKind::kCpu;
  Isa isa = Isa::kAvx2;         // lowest CPU level that can run it
  int compute_capability = 75;  // the same of a CUDA device
  bool reference = false;       // the plain double-accumulating kernel
  uint32_t in_place_inputs =
      0;  // bit i: result 0 may share operand i's memory when their sizes are equal
  // False: bits of one item or row of the result may depend on how many there are (a library
  // chooses an algorithm by the shape). Speaks of the kernel without a configuration; one that
  // splits a sum gives other bits than the others, at every batch.
  bool batch_invariant = true;
  // kUnimplemented with the reason when this tactic does not take such a step; kInvalidArgument
  // when no kernel could. {Bind, kNarrowToo}: takes the narrow element types.
  BindFunction bind = nullptr;
  // Null, or what to do to constant operands at build. The spec given to bind afterwards has the
  // packed operands.
  Result<std::vector<PackedConstant>> (*pack)(const StepSpec& spec) = nullptr;
  // Null, or what a tuner may choose from for this step on this device, in preference order; not
  // empty. The spec's shapes are exact (is_static). Called at build only; may query libraries.
  Result<std::vector<Configuration>> (*configurations)(const StepSpec& spec,
                                                       Device& device) = nullptr;
  // The vendor library it calls, by its name in plans ("cublaslt", "cudnn"); empty: none. A plan
  // with such a step is pinned to the version that the builder's device had.
  std::string_view library = {};
};

// The kernels of one device kind. Immutable, thread-safe.
class KernelLibrary {
 public:
  // Every def has a unique id; order is preference order.
  explicit KernelLibrary(std::vector<const KernelDef*> kernels);

  // Families in order, each family's tactics.inc in order.
  std::span<const KernelDef* const> all() const { return all_; }
  // Tactics of one operator in preference order.
  std::span<const KernelDef* const> For(std::string_view op) const;
  // By id; null when this library has no such kernel.
  const KernelDef* Find(std::string_view id) const;

 private:
  std::vector<const KernelDef*> all_;
  std::map<std::string_view, const KernelDef*> by_id_;
  std::map<std::string_view, std::vector<const KernelDef*>> by_op_;
};

// The CPU's: part of this program; each operator's reference is last of its own.
const KernelLibrary& CpuKernels();
inline std::span<const KernelDef* const> AllKernels() { return CpuKernels().all(); }
inline std::span<const KernelDef* const> KernelsFor(std::string_view op) {
  return CpuKernels().For(op);
}
inline const KernelDef* FindKernel(std::string_view id) { return CpuKernels().Find(id); }

// Helpers for bind and CheckShapes, so that refusals read alike.
Status RefuseTactic(const StepSpec& spec, std::string_view reason);  // kUnimplemented
Status BadStep(const StepSpec& spec, std::string_view reason);       // kInvalidArgument
Status ShapeMismatch(std::string_view op, std::string_view what, const Shape& want,
                     const Shape& got);

}  // namespace fusee::ops
