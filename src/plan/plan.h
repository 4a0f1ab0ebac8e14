// A plan as data: everything the runtime needs to run a model, and everything a person may ask
// about how it was made. This is the one thing that crosses from the compile side to the run side.
// encode.h writes it, decode.h reads and verifies it, print.h shows it; docs/plan_format.md draws
// the bytes.
//
// No code lives in a plan: kernels are named by id into the runtime's own library. All indices are
// into the vectors of the same Plan. Plain structs, value types; immutable and thread-safe once
// decoded.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "plan/config_bytes.h"
#include "plan/gpu_target.h"
#include "tensor/attrs.h"
#include "tensor/dim_program.h"
#include "tensor/dtype.h"
#include "tensor/random.h"
#include "tensor/shape.h"

namespace fusee::plan {

inline constexpr uint32_t kFormatVersion = 2;  // 2: sizes that a run finds, and guards
// The oldest reader that understands what this writer writes: of a plan without either, and with
// one.
inline constexpr uint32_t kMinimumReader = 1;
inline constexpr uint32_t kMinimumReaderOfFormat2 = 2;
inline constexpr uint64_t kSectionAlignment = 4096;
inline constexpr uint32_t kNoTensor = 0xffffffffu;  // an absent operand or unwanted result
// The longest configuration that a reader accepts; a plan cannot see ops::kConfigurationBytesMax,
// which is the same.
inline constexpr size_t kMaxConfigBytes = size_t{4} << 20;

// Where a tensor lies: (region, offset). Stored; never renumber.
enum class Region : uint8_t {
  kWeights = 0,      // in the plan file, mapped read-only
  kActivations = 1,  // in the context's arena, planned by lifetime
  kIo = 2,           // model inputs and outputs: bound by the caller, else in the context's arena
  kState = 3,        // survives between runs (later: KV caches)
  kWorkspace = 4,    // scratch of one step
};

// The table of dimension expressions; its symbols are Plan::symbols.
using fusee::DimExpr;
using fusee::DimOp;

// A named run-time quantity: a dimension of an input, or an element of a small integer input.
struct Symbol {
  std::string name;  // "batch"
  int64_t min = 0, opt = 0, max = 0;
  uint32_t input = 0;  // read from this model input ...
  int32_t axis = 0;    // ... this axis; or -1: from element `element` of its data
  int64_t element = 0;
};

// A size that only a run finds: how many elements are not zero, how many boxes are kept. What it
// sizes lies in memory for the most of it.
struct Count {
  std::string name;  // "nonzero_0/i:1": node, result and axis, as --bound spells it
  int64_t max = 0;   // at least 0; the least is 0
};

struct TensorDef {
  std::string name;  // the ONNX name where one exists
  DType dtype = DType::kInvalid;
  std::vector<uint32_t> shape;  // indices into Plan::dims
  Region region = Region::kActivations;
  uint64_t offset = 0;          // bytes from the region's start, a multiple of 64
  uint64_t capacity_bytes = 0;  // bytes set aside: the size at every symbol's maximum, or more
};

// A tactic the builder looked at for a step.
struct TriedTactic {
  std::string kernel;
  std::string verdict;  // "chosen", "accepted", or the reason for the refusal
  double time_us = 0;   // median, 0 when not timed
};

// The tactic of a step at one bucket's exact shapes, where the tuner found a better one than the
// step's own.
struct BucketTactic {
  uint32_t bucket = 0;  // index into Plan::buckets
  std::string kernel;   // KernelDef::id; takes the step's operands as they are (packing included)
  ConfigBytes config;   // as Step::config
};

// A condition of a step: a tensor of one bool that is true (holds) or false.
struct Guard {
  uint32_t tensor = 0;
  bool holds = true;
  friend bool operator==(const Guard&, const Guard&) = default;
};

struct Step {
  std::string op;      // IR operator
  std::string kernel;  // KernelDef::id; shape-generic: serves every shape of the profile
  // Opaque bytes for the kernel (StepSpec::config): a library's algorithm or serialised plan; empty
  // for most. Stored in the vendor section, which only the kernels themselves parse.
  ConfigBytes config;
  std::vector<BucketTactic> bucket_tactics;  // ascending by bucket, at most one a bucket
  Attrs attrs;
  std::vector<uint32_t> inputs;  // tensor indices or kNoTensor
  std::vector<uint32_t> outputs;
  std::vector<uint32_t> dims;  // indices into Plan::dims, handed to the kernel as RunArgs::dims
  // Indices into Plan::counts: what the kernel finds, in the operator's order (RunArgs::counts).
  // Each count is found by one step; what it sizes is this step's results and what comes after it.
  // On the CPU only.
  std::vector<uint32_t> counts;
  // The outermost first; a run leaves the step out unless all hold. What such a step writes is read
  // only where it ran (verify.h). On the CPU only.
  std::vector<Guard> guards;
  uint64_t workspace_offset = 0;
  uint64_t workspace_bytes = 0;
  // DeviceKind: the target's, or 0 (CPU), which in a plan for another device makes it a host step:
  // operands come from the device, results go back to it.
  uint8_t device = 0;
  uint8_t queue = 0;
  std::vector<std::string> sources;  // ONNX nodes it stands for
  std::vector<TriedTactic> tried;
};

struct IoDef {
  std::string name;
  uint32_t tensor = 0;
  // Inputs the plan was specialised on must hold exactly these bytes; empty for ordinary ones.
  std::vector<std::byte> pinned;
  bool is_pinned = false;
  // The model has its channels on axis 1, the plan takes or gives them on the last axis (rank 3 to
  // 5). The tensor's shape is the plan's; nothing at run time depends on this.
  bool channels_last = false;
};

// Two expressions that must be equal at every run.
struct EqualConstraint {
  uint32_t a = 0, b = 0;  // indices into Plan::dims
  std::string reason;
};

struct Latency {
  uint64_t count = 0;  // timed runs; 0: not measured
  double min_us = 0, p50_us = 0, p99_us = 0, p999_us = 0, max_us = 0;
};

// A tuned point: one value per symbol.
struct Bucket {
  std::vector<int64_t> symbol_values;
  uint64_t arena_bytes = 0;  // what the live activations need at this point
  Latency latency;
};

// One comparison with the reference kernels.
struct VerifiedCorner {
  std::vector<int64_t> symbol_values;
  Fill fill = Fill::kUniform;
  std::string output;
  bool sampled = false;  // whole tensors, or a seeded sample within the time budget
  int64_t elements = 0;
  double max_abs_error = 0;
  double max_rel_error = 0;
  double max_abs_value = 0;  // the reference's largest finite magnitude: the errors' scale
};

// Replayed at load: inputs made from (fill, seed) at these symbol values give outputs with these
// digests.
struct Golden {
  std::vector<int64_t> symbol_values;
  Fill fill = Fill::kUniform;
  uint64_t seed = 0;
  std::vector<Sha256Digest> output_digests;  // one per model output, over its bytes
};

struct Certificate {
  bool verified = false;
  std::string reason;  // why not, when not
  bool figures_from_lockfile = false;
  double rtol = 0, atol = 0;
  bool batch_invariant = false;  // checked: a row's bits do not depend on its position in the batch
  bool batch_checked = false;
  std::vector<VerifiedCorner> corners;
  std::vector<Golden> golden;
};

struct FusionRecord {
  std::string pass;
  bool made = false;
  std::string nodes;   // "Conv_0 + BatchNormalization_1"
  std::string reason;  // for a declined one
};

struct Provenance {
  std::string builder_version;
  std::string model_name;       // "digits"
  Sha256Digest model_digest{};  // of the ONNX file (external data included, in order of use)
  std::vector<std::pair<std::string, int64_t>> opsets;
  std::string options;  // the options that shape the plan, canonical text
  Sha256Digest lockfile_digest{};
};

struct Target {
  std::string device = "cpu";  // DeviceKindName: "cpu" or "cuda"
  uint8_t isa = 1;             // Isa: the highest level any chosen kernel needs
  // Isa: the level the builder could choose kernels for, at least isa; 0: not said, taken as isa.
  // A host above it may have faster kernels than the plan's; a host between the two has none.
  uint8_t available_isa = 0;
  GpuTarget gpu = {};  // of device "cuda"
  uint8_t selected_for() const { return available_isa == 0 ? isa : available_isa; }
};

// The DeviceKind (device/device.h, which this room cannot see) that a target's device name stands
// for; 0xff for a name that this reader does not know.
inline constexpr uint8_t kUnknownDevice = 0xff;
inline uint8_t DeviceNumber(std::string_view name) {
  return name == "cpu" ? 0 : name == "cuda" ? 1 : kUnknownDevice;
}

struct Plan {
  Provenance provenance;
  Target target;
  std::vector<Symbol> symbols;
  std::vector<Count> counts;
  std::vector<DimExpr> dims;
  std::vector<TensorDef> tensors;
  std::vector<Step> steps;  // in execution order
  std::vector<IoDef> inputs, outputs;
  std::vector<EqualConstraint> constraints;
  std::vector<Bucket> buckets;    // ascending; the last is the profile's maximum
  uint64_t activation_bytes = 0;  // size of the activations region
  uint64_t io_bytes = 0;
  uint64_t state_bytes = 0;
  uint64_t workspace_bytes = 0;
  Certificate certificate;
  std::vector<FusionRecord> fusions;
  // The weights region. Borrowed: from the builder's buffers when encoding, from the mapping when
  // decoded.
  std::span<const std::byte> weights;
  std::shared_ptr<const void> weights_owner;

  bool is_host_step(const Step& step) const { return step.device == 0 && target.device != "cpu"; }
};

// Whether a reader of format 1 would not know what to do.
inline bool NeedsFormat2(const Plan& plan) {
  for (const Step& step : plan.steps) {
    if (!step.guards.empty()) return true;
  }
  return !plan.counts.empty();
}

// Steps that run on the host inside a plan for another device.
inline uint32_t HostStepCount(const Plan& plan) {
  uint32_t count = 0;
  for (const Step& step : plan.steps) count += plan.is_host_step(step) ? 1 : 0;
  return count;
}

}  // namespace fusee::plan
