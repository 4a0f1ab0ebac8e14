// What loading adds to a plan: bound kernels, and everything a context needs that does not change
// from run to run. Internal to this room.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ops/kernel.h"
#include "plan/dims.h"
#include "plan/verify.h"
#include "runtime/runtime.h"

namespace fusee::runtime {

// A stretch of the io region that a caller may bind: one model input or output that lies there.
struct IoSlot {
  uint64_t offset = 0;
  uint64_t capacity = 0;
};

inline constexpr uint32_t kNoSlot = 0xffffffffu;

// What follows from the sizes that one step finds, once it ran: indices into the plan's lists, each
// ascending. What also waits for sizes that a later step finds is listed there.
struct FoundSizes {
  size_t step = 0;
  std::vector<uint32_t> dims;
  std::vector<uint32_t> tensors;
  std::vector<uint32_t> steps;  // later ones, whose operands, results or dims these are
  std::vector<uint32_t> constraints;
  std::vector<uint32_t> outputs;  // of the model
};

struct BoundPlan {
  std::vector<std::unique_ptr<ops::BoundKernel>> kernels;  // one a step, for every shape
  // What runs at exactly a bucket's shapes: kernels, or the bucket's own tactic of a step. One list
  // a bucket, one entry a step, borrowed from kernels and bucket_kernels.
  std::vector<std::vector<const ops::BoundKernel*>> at_bucket;
  std::vector<const ops::BoundKernel*> at_any_shape;
  std::vector<std::unique_ptr<ops::BoundKernel>> bucket_kernels;
  // The symbol that is dimension 0 of every input and output; nullopt when there is none.
  std::optional<size_t> batch_symbol;
  Device* device = nullptr;                      // null: the CPU
  std::unique_ptr<DeviceMemory> device_weights;  // of plans on a device
  std::vector<Shape> max_shapes;  // one a tensor: interval bounds at the profile's maximum
  std::vector<plan::InPlacePair> in_place;
  std::vector<IoSlot> slots;             // ascending by offset
  std::vector<uint32_t> slot_of_tensor;  // kNoSlot outside the io region
  std::vector<uint32_t> input_slot;      // one a model input; never kNoSlot
  std::vector<uint32_t>
      output_slot;  // one a model output: the slot it alone is bound through, else kNoSlot (copied)
  std::vector<size_t> element_symbols;  // symbols read from input data
  std::vector<size_t> guarded_steps;    // ascending
  std::vector<FoundSizes> found_sizes;  // ascending by step
  std::vector<bool> constraint_waits;   // for sizes that a run finds; one a constraint
};

// plan is verified and outlives the result. Errors as LoadedPlan::Load.
Result<std::unique_ptr<BoundPlan>> BindPlan(const plan::Plan& plan, const LoadOptions& options);

// "step 17 'Conv' (conv1, relu1)": how every message names a step.
std::string DescribeStep(const plan::Plan& plan, size_t step);

}  // namespace fusee::runtime
