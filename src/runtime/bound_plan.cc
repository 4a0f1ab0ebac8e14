#include "runtime/bound_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "device/cpu_features.h"

namespace fusee::runtime {
namespace {

using plan::InPlacePair;
using plan::kNoTensor;
using plan::Plan;
using plan::Region;

Result<std::vector<Shape>> MaxShapes(const Plan& plan, std::vector<bool>* is_static) {
  const auto bounds = plan::BoundDims(plan.dims, plan.symbols);
  std::vector<int64_t> upper;
  upper.reserve(bounds.size());
  for (const auto& b : bounds) upper.push_back(std::max<int64_t>(b.max, 0));
  std::vector<Shape> shapes;
  for (const plan::TensorDef& t : plan.tensors) {
    FUSEE_TRY(Shape shape, plan::ShapeOf(t, upper));
    shapes.push_back(shape);
    is_static->push_back(
        std::ranges::all_of(t.shape, [&](uint32_t d) { return bounds[d].min == bounds[d].max; }));
  }
  return shapes;
}

ops::TensorSpec SpecOf(const Plan& plan, const std::vector<Shape>& max_shapes,
                       const std::vector<bool>& is_static, uint32_t index) {
  if (index == kNoTensor) return {};
  const plan::TensorDef& t = plan.tensors[index];
  const void* data = t.region == Region::kWeights ? plan.weights.data() + t.offset : nullptr;
  return {t.dtype, max_shapes[index], is_static[index], data};
}

// A CPU kernel needs its instruction set, a device's kernel its level of the device.
Status CheckLevel(const Plan& plan, size_t i, const ops::KernelDef& def, const Device* device) {
  const plan::Step& step = plan.steps[i];
  if (def.device != DeviceKind::kCpu) {
    FUSEE_CHECK(device != nullptr, "a device's kernel without a device");
    if (def.compute_capability > device->info().compute_capability) {
      return FailedPrecondition(
          fmt::format("{}: kernel '{}' needs compute capability {}, {} has {}; rebuild the plan on "
                      "this device",
                      DescribeStep(plan, i), step.kernel, def.compute_capability,
                      device->info().name, device->info().compute_capability));
    }
    return OkStatus();
  }
  if (!HostCpu().supported) {
    return FailedPrecondition(
        fmt::format("{}: kernel '{}' needs {}, this CPU ({}) lacks AVX2, FMA or F16C; run on an "
                    "x86-64-v3 CPU",
                    DescribeStep(plan, i), step.kernel, IsaName(def.isa), HostCpu().brand));
  }
  if (static_cast<uint8_t>(def.isa) > static_cast<uint8_t>(HostCpu().isa)) {
    return FailedPrecondition(fmt::format(
        "{}: kernel '{}' needs {}, this CPU ({}) has {}; rebuild with fusee build --isa {}",
        DescribeStep(plan, i), step.kernel, IsaName(def.isa), HostCpu().brand,
        IsaName(HostCpu().isa), IsaName(HostCpu().isa)));
  }
  return OkStatus();
}

// The kernel of this id for the step's device, or why there is none. Steps on the CPU in a plan for
// another device take the CPU's kernels.
Result<const ops::KernelDef*> KernelOf(const Plan& plan, size_t i, const std::string& id,
                                       std::span<const InPlacePair> pairs,
                                       const LoadOptions& options) {
  const plan::Step& step = plan.steps[i];
  const bool host = step.device == static_cast<uint8_t>(DeviceKind::kCpu);
  const DeviceKind kind =
      options.device == nullptr ? DeviceKind::kCpu : options.device->info().kind;
  if (!host && step.device != static_cast<uint8_t>(kind)) {
    return InvalidArgument(fmt::format("{}: is for device kind {}, the plan for {}",
                                       DescribeStep(plan, i), step.device, plan.target.device));
  }
  const ops::KernelLibrary& library =
      host && kind != DeviceKind::kCpu ? ops::CpuKernels() : *options.kernels;
  const ops::KernelDef* def = library.Find(id);
  if (def == nullptr) {
    return FailedPrecondition(fmt::format(
        "{}: this library has no kernel '{}'; rebuild the plan with this version of fusee",
        DescribeStep(plan, i), id));
  }
  if (def->op != step.op) {
    return InvalidArgument(
        fmt::format("{}: kernel '{}' computes {}", DescribeStep(plan, i), id, def->op));
  }
  if (static_cast<uint8_t>(def->device) != step.device) {
    return InvalidArgument(fmt::format("{}: kernel '{}' runs on {}", DescribeStep(plan, i), id,
                                       DeviceKindName(def->device)));
  }
  FUSEE_TRY(CheckLevel(plan, i, *def, options.device));
  for (const InPlacePair& pair : pairs) {
    if (pair.output != 0 || pair.input >= 32 || ((def->in_place_inputs >> pair.input) & 1u) == 0) {
      return InvalidArgument(
          fmt::format("{}: result {} lies on operand {}, which kernel '{}' does not allow",
                      DescribeStep(plan, i), pair.output, pair.input, id));
    }
  }
  return def;
}

void FindSlots(const Plan& plan, BoundPlan* bound) {
  std::map<uint64_t, uint64_t> slots;  // offset -> capacity
  const auto add = [&](uint32_t tensor) {
    const plan::TensorDef& t = plan.tensors[tensor];
    if (t.region == Region::kIo) slots[t.offset] = std::max(slots[t.offset], t.capacity_bytes);
  };
  for (const plan::IoDef& io : plan.inputs) add(io.tensor);
  for (const plan::IoDef& io : plan.outputs) add(io.tensor);
  for (const auto& [offset, capacity] : slots) bound->slots.push_back({offset, capacity});
  const auto slot_at = [&](uint64_t offset) {
    const auto it = std::ranges::upper_bound(bound->slots, offset, {}, &IoSlot::offset);
    return static_cast<uint32_t>(it - bound->slots.begin()) - 1;
  };
  for (const plan::TensorDef& t : plan.tensors) {
    const bool in_slot =
        t.region == Region::kIo && !bound->slots.empty() && t.offset >= bound->slots.front().offset;
    bound->slot_of_tensor.push_back(in_slot ? slot_at(t.offset) : kNoSlot);
  }
  std::vector<bool> taken(bound->slots.size());
  for (const plan::IoDef& io : plan.inputs) {
    bound->input_slot.push_back(bound->slot_of_tensor[io.tensor]);
    taken[bound->input_slot.back()] = true;
  }
  // An output that is a constant, an input, an activation's view or another output again has no
  // slot of its own: it is copied to where the caller wants it.
  for (const plan::IoDef& io : plan.outputs) {
    const uint32_t slot = bound->slot_of_tensor[io.tensor];
    const bool own = slot != kNoSlot && !taken[slot] &&
                     bound->slots[slot].offset == plan.tensors[io.tensor].offset;
    bound->output_slot.push_back(own ? slot : kNoSlot);
    if (own) taken[slot] = true;
  }
}

// Runs the kernel's own shape check at one point of the profile.
Status CheckShapesAt(const Plan& plan, size_t i, const ops::BoundKernel& kernel,
                     std::span<const int64_t> dims) {
  const plan::Step& step = plan.steps[i];
  std::vector<ConstTensorView> inputs(step.inputs.size());
  std::vector<TensorView> outputs(step.outputs.size());
  std::vector<int64_t> step_dims;
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (step.inputs[k] == kNoTensor) continue;
    const plan::TensorDef& t = plan.tensors[step.inputs[k]];
    FUSEE_TRY(const Shape shape, plan::ShapeOf(t, dims));
    inputs[k] = {t.dtype, shape, nullptr};
  }
  for (size_t k = 0; k < outputs.size(); ++k) {
    if (step.outputs[k] == kNoTensor) continue;
    const plan::TensorDef& t = plan.tensors[step.outputs[k]];
    FUSEE_TRY(const Shape shape, plan::ShapeOf(t, dims));
    outputs[k] = {t.dtype, shape, nullptr};
  }
  for (uint32_t d : step.dims) step_dims.push_back(dims[d]);
  std::vector<int64_t> counts;
  for (uint32_t c : step.counts) counts.push_back(plan.counts[c].max);
  SerialParallel serial;
  return kernel.CheckShapes({.inputs = inputs,
                             .outputs = outputs,
                             .dims = step_dims,
                             .workspace = {},
                             .parallel = &serial,
                             .counts = counts});
}

}  // namespace

std::string DescribeStep(const Plan& plan, size_t step) {
  const plan::Step& s = plan.steps[step];
  std::string sources;
  for (const std::string& source : s.sources) {
    if (sources.size() > 200) {
      sources += ", ...";
      break;
    }
    sources += (sources.empty() ? "" : ", ") + source;
  }
  std::string finds;  // what --bound calls them
  for (const uint32_t count : s.counts)
    finds += (finds.empty() ? ", which finds " : ", ") + plan.counts[count].name;
  return fmt::format("step {} '{}'{}{}", step, s.op, sources.empty() ? "" : " (" + sources + ")",
                     finds);
}

// The plan's target against what it is loaded on.
Status CheckTarget(const Plan& plan, const LoadOptions& options) {
  const DeviceKind kind =
      options.device == nullptr ? DeviceKind::kCpu : options.device->info().kind;
  if (plan.target.device != DeviceKindName(kind)) {
    return FailedPrecondition(fmt::format(
        "plan is for device '{}', this runtime drives '{}'; load it on such a device, or build the "
        "model again for '{}'",
        plan.target.device, DeviceKindName(kind), DeviceKindName(kind)));
  }
  if (kind == DeviceKind::kCpu) return OkStatus();
  const DeviceInfo& have = options.device->info();
  const plan::GpuTarget& need = plan.target.gpu;
  const auto differs = [&](std::string_view field, uint64_t needed, uint64_t had,
                           std::string_view remedy) {
    return FailedPrecondition(
        fmt::format("plan needs {} {}, {} has {}; {}", field, needed, have.name, had, remedy));
  };
  const std::string_view rebuild = "rebuild the plan on this device (fusee check lists everything)";
  if (need.compute_capability != 0 && need.compute_capability != have.compute_capability) {
    return differs("compute capability", static_cast<uint64_t>(need.compute_capability),
                   static_cast<uint64_t>(have.compute_capability), rebuild);
  }
  if (need.driver_min > have.driver_version) {
    return differs("driver version", static_cast<uint64_t>(need.driver_min),
                   static_cast<uint64_t>(have.driver_version), "update the driver");
  }
  for (const plan::PinnedLibrary& library : need.libraries) {
    const uint64_t version = library.name == "cublaslt" ? have.cublaslt_version
                             : library.name == "cudnn"  ? have.cudnn_version
                                                        : 0;
    if (version != library.version)
      return differs(library.name, library.version, version,
                     "install that version, or rebuild the plan here");
  }
  return OkStatus();
}

std::vector<ops::TensorSpec> SpecsOf(const Plan& plan, std::span<const uint32_t> tensors,
                                     const std::vector<Shape>& shapes,
                                     const std::vector<bool>& is_static, bool constants) {
  std::vector<ops::TensorSpec> specs;
  for (uint32_t t : tensors) {
    specs.push_back(SpecOf(plan, shapes, is_static, t));
    if (!constants) specs.back().data = nullptr;
  }
  return specs;
}

// Binds one tactic of step i for operands of these shapes.
Result<std::unique_ptr<ops::BoundKernel>> BindStep(
    const Plan& plan, size_t i, const ops::KernelDef& def, std::span<const std::byte> config,
    const std::vector<Shape>& shapes, const std::vector<bool>& is_static, Device* device) {
  const plan::Step& step = plan.steps[i];
  const auto inputs = SpecsOf(plan, step.inputs, shapes, is_static, true);
  const auto outputs = SpecsOf(plan, step.outputs, shapes, is_static, false);
  auto kernel = def.bind(
      {step.op, &step.attrs, inputs, outputs, step.dims.size(), config, step.counts.size()});
  Status status = kernel.ok() ? OkStatus() : std::move(kernel).status();
  if (status.ok() && (*kernel)->workspace_bytes() > step.workspace_bytes) {
    status = InvalidArgument(fmt::format("needs {} bytes of workspace, the plan gives {}",
                                         (*kernel)->workspace_bytes(), step.workspace_bytes));
  }
  if (status.ok() && def.device != DeviceKind::kCpu) status = (*kernel)->LoadOnDevice(*device);
  if (!status.ok())
    return std::move(status).Annotate(
        fmt::format("{}, kernel '{}'", DescribeStep(plan, i), def.id));
  return kernel;
}

// The tactics of buckets, bound at their exact shapes.
Status BindBuckets(const Plan& plan, const LoadOptions& options, BoundPlan* bound) {
  for (const auto& kernel : bound->kernels) bound->at_any_shape.push_back(kernel.get());
  bound->at_bucket.assign(plan.buckets.size(), bound->at_any_shape);
  const std::vector<bool> all_static(plan.tensors.size(), true);
  for (size_t b = 0; b < plan.buckets.size(); ++b) {
    std::vector<int64_t> dims(plan.dims.size());
    std::vector<Shape> shapes;
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      const auto& tactics = plan.steps[i].bucket_tactics;
      const auto tactic = std::ranges::find(tactics, b, &plan::BucketTactic::bucket);
      if (tactic == tactics.end()) continue;
      if (shapes.empty()) {
        FUSEE_TRY(plan::EvaluateDims(plan.dims, plan.buckets[b].symbol_values, dims));
        for (const plan::TensorDef& t : plan.tensors) {
          FUSEE_TRY(Shape shape, plan::ShapeOf(t, dims));
          shapes.push_back(shape);
        }
      }
      std::vector<InPlacePair> pairs;
      std::ranges::copy_if(bound->in_place, std::back_inserter(pairs),
                           [&](const InPlacePair& pair) { return pair.step == i; });
      FUSEE_TRY(const ops::KernelDef* def, KernelOf(plan, i, tactic->kernel, pairs, options));
      FUSEE_TRY(auto kernel,
                BindStep(plan, i, *def, tactic->config, shapes, all_static, options.device));
      if (Status s = CheckShapesAt(plan, i, *kernel, dims); !s.ok())
        return std::move(s).Annotate(fmt::format("{}, bucket {}", DescribeStep(plan, i), b));
      bound->at_bucket[b][i] = kernel.get();
      bound->bucket_kernels.push_back(std::move(kernel));
    }
  }
  return OkStatus();
}

// The symbol that is dimension 0 of every input and output and appears nowhere else in them.
std::optional<size_t> BatchSymbol(const Plan& plan) {
  std::optional<size_t> symbol;
  for (const auto* list : {&plan.inputs, &plan.outputs}) {
    for (const plan::IoDef& io : *list) {
      const auto& shape = plan.tensors[io.tensor].shape;
      if (shape.empty() || io.is_pinned) return std::nullopt;
      const plan::DimExpr& first = plan.dims[shape[0]];
      if (first.op != plan::DimOp::kSymbol) return std::nullopt;
      if (symbol && *symbol != static_cast<size_t>(first.a)) return std::nullopt;
      symbol = static_cast<size_t>(first.a);
      for (size_t axis = 1; axis < shape.size(); ++axis) {
        const plan::DimExpr& e = plan.dims[shape[axis]];
        const bool other =
            e.op == plan::DimOp::kConstant || (e.op == plan::DimOp::kSymbol && e.a != first.a);
        if (!other) return std::nullopt;
      }
    }
  }
  return symbol;
}

// Plans without such sizes have none of this.
void FindFoundSizes(const Plan& plan, BoundPlan* bound) {
  bound->constraint_waits.assign(plan.constraints.size(), false);
  if (plan.counts.empty()) return;
  const std::vector<int64_t> known = plan::KnownAfter(plan);
  std::map<int64_t, FoundSizes> by_step;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    if (!plan.steps[i].counts.empty()) by_step[static_cast<int64_t>(i)].step = i;
  }
  for (uint32_t d = 0; d < known.size(); ++d) {
    if (known[d] != plan::kKnownAtStart) by_step[known[d]].dims.push_back(d);
  }
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    if (const int64_t at = plan::LastKnown(plan, known, t); at != plan::kKnownAtStart)
      by_step[at].tensors.push_back(t);
  }
  for (uint32_t i = 0; i < plan.steps.size(); ++i) {
    const plan::Step& s = plan.steps[i];
    // A step that finds sizes itself is prepared for what was found before it; its own results are
    // at their bounds then.
    int64_t at = plan::LastKnown(plan, known, s.inputs);
    for (const uint32_t t : s.outputs) {
      if (const int64_t result = plan::LastKnown(plan, known, t); result < static_cast<int64_t>(i))
        at = std::max(at, result);
    }
    for (const uint32_t d : s.dims) at = std::max(at, known[d]);
    if (at != plan::kKnownAtStart) by_step[at].steps.push_back(i);
  }
  for (uint32_t i = 0; i < plan.outputs.size(); ++i) {
    const int64_t at = plan::LastKnown(plan, known, plan.outputs[i].tensor);
    if (at != plan::kKnownAtStart) by_step[at].outputs.push_back(i);
  }
  for (uint32_t c = 0; c < plan.constraints.size(); ++c) {
    const int64_t at = std::max(known[plan.constraints[c].a], known[plan.constraints[c].b]);
    if (at == plan::kKnownAtStart) continue;
    by_step[at].constraints.push_back(c);
    bound->constraint_waits[c] = true;
  }
  for (auto& [step, sizes] : by_step) bound->found_sizes.push_back(std::move(sizes));
}

Status UploadWeights(const Plan& plan, Device& device, BoundPlan* bound) {
  FUSEE_TRY(bound->device_weights, device.Allocate(plan.weights.size()));
  FUSEE_TRY(const auto queue, device.CreateQueue());
  FUSEE_TRY(queue->Upload(bound->device_weights->device_data(), plan.weights.data(),
                          plan.weights.size()));
  return queue->Synchronize();
}

Result<std::unique_ptr<BoundPlan>> BindPlan(const Plan& plan, const LoadOptions& options) {
  auto bound = std::make_unique<BoundPlan>();
  FUSEE_TRY(CheckTarget(plan, options));
  bound->device = options.device;
  if (options.device != nullptr) FUSEE_TRY(options.device->MakeCurrent());
  std::vector<bool> is_static;
  FUSEE_TRY(bound->max_shapes, MaxShapes(plan, &is_static));
  bound->in_place = plan::InPlacePairs(plan);
  std::vector<int64_t> dims_at_max(plan.dims.size());
  FUSEE_TRY(plan::EvaluateDims(plan.dims, plan::SymbolValues(plan, plan::ProfilePoint::kMax),
                               dims_at_max));

  auto pair = bound->in_place.begin();
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const auto first_pair = pair;
    while (pair != bound->in_place.end() && pair->step == i) ++pair;
    const plan::Step& step = plan.steps[i];
    FUSEE_TRY(const ops::KernelDef* def,
              KernelOf(plan, i, step.kernel, std::span(first_pair, pair), options));
    FUSEE_TRY(auto kernel,
              BindStep(plan, i, *def, step.config, bound->max_shapes, is_static, options.device));
    if (Status s = CheckShapesAt(plan, i, *kernel, dims_at_max); !s.ok()) {
      return std::move(s).Annotate(DescribeStep(plan, i) + ", at the profile's maximum");
    }
    bound->kernels.push_back(std::move(kernel));
  }
  FUSEE_TRY(BindBuckets(plan, options, bound.get()));
  bound->batch_symbol = BatchSymbol(plan);
  if (options.device != nullptr) FUSEE_TRY(UploadWeights(plan, *options.device, bound.get()));
  FindSlots(plan, bound.get());
  FindFoundSizes(plan, bound.get());
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    if (!plan.steps[i].guards.empty()) bound->guarded_steps.push_back(i);
  }
  for (size_t i = 0; i < plan.symbols.size(); ++i) {
    if (plan.symbols[i].axis < 0) bound->element_symbols.push_back(i);
  }
  return bound;
}

}  // namespace fusee::runtime
