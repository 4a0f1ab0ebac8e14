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

Status CheckKernel(const Plan& plan, size_t i, const ops::KernelDef* def,
                   std::span<const InPlacePair> pairs) {
  const plan::Step& step = plan.steps[i];
  if (def == nullptr) {
    return FailedPrecondition(fmt::format(
        "{}: this library has no kernel '{}'; rebuild the plan with this version of fusee",
        DescribeStep(plan, i), step.kernel));
  }
  if (def->op != step.op) {
    return InvalidArgument(
        fmt::format("{}: kernel '{}' computes {}", DescribeStep(plan, i), step.kernel, def->op));
  }
  if (!HostCpu().supported) {
    return FailedPrecondition(
        fmt::format("{}: kernel '{}' needs {}, this CPU ({}) lacks AVX2, FMA or F16C; run on an "
                    "x86-64-v3 CPU",
                    DescribeStep(plan, i), step.kernel, IsaName(def->isa), HostCpu().brand));
  }
  if (static_cast<uint8_t>(def->isa) > static_cast<uint8_t>(HostCpu().isa)) {
    return FailedPrecondition(fmt::format(
        "{}: kernel '{}' needs {}, this CPU ({}) has {}; rebuild with fusee build --isa {}",
        DescribeStep(plan, i), step.kernel, IsaName(def->isa), HostCpu().brand,
        IsaName(HostCpu().isa), IsaName(HostCpu().isa)));
  }
  for (const InPlacePair& pair : pairs) {
    if (pair.output != 0 || pair.input >= 32 || ((def->in_place_inputs >> pair.input) & 1u) == 0) {
      return InvalidArgument(
          fmt::format("{}: result {} lies on operand {}, which kernel '{}' does not allow",
                      DescribeStep(plan, i), pair.output, pair.input, step.kernel));
    }
  }
  return OkStatus();
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
  SerialParallel serial;
  return kernel.CheckShapes({inputs, outputs, step_dims, {}, &serial});
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
  return fmt::format("step {} '{}'{}", step, s.op, sources.empty() ? "" : " (" + sources + ")");
}

Result<std::unique_ptr<BoundPlan>> BindPlan(const Plan& plan, const LoadOptions& options) {
  auto bound = std::make_unique<BoundPlan>();
  if (plan.target.device != "cpu") {
    return FailedPrecondition(
        fmt::format("plan is for device '{}', this runtime drives 'cpu'; build the model again "
                    "with a fusee that targets 'cpu'",
                    plan.target.device));
  }
  std::vector<bool> is_static;
  FUSEE_TRY(bound->max_shapes, MaxShapes(plan, &is_static));
  bound->in_place = plan::InPlacePairs(plan);
  std::vector<int64_t> dims_at_max(plan.dims.size());
  FUSEE_TRY(plan::EvaluateDims(plan.dims, plan::SymbolValues(plan, plan::ProfilePoint::kMax),
                               dims_at_max));

  auto pair = bound->in_place.begin();
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const plan::Step& step = plan.steps[i];
    const auto first_pair = pair;
    while (pair != bound->in_place.end() && pair->step == i) ++pair;
    const ops::KernelDef* def = options.find_kernel(step.kernel);
    FUSEE_TRY(CheckKernel(plan, i, def, std::span(first_pair, pair)));
    std::vector<ops::TensorSpec> inputs, outputs;
    for (uint32_t t : step.inputs) inputs.push_back(SpecOf(plan, bound->max_shapes, is_static, t));
    for (uint32_t t : step.outputs) {
      outputs.push_back(SpecOf(plan, bound->max_shapes, is_static, t));
      outputs.back().data = nullptr;
    }
    auto kernel = def->bind({step.op, &step.attrs, inputs, outputs, step.dims.size()});
    if (!kernel.ok())
      return std::move(kernel).status().Annotate(DescribeStep(plan, i) + ", kernel '" +
                                                 step.kernel + "'");
    if ((*kernel)->workspace_bytes() > step.workspace_bytes) {
      return InvalidArgument(fmt::format(
          "{}: kernel '{}' needs {} bytes of workspace, the plan gives {}", DescribeStep(plan, i),
          step.kernel, (*kernel)->workspace_bytes(), step.workspace_bytes));
    }
    if (Status s = CheckShapesAt(plan, i, **kernel, dims_at_max); !s.ok()) {
      return std::move(s).Annotate(DescribeStep(plan, i) + ", at the profile's maximum");
    }
    bound->kernels.push_back(std::move(kernel).value());
  }
  FindSlots(plan, bound.get());
  for (size_t i = 0; i < plan.symbols.size(); ++i) {
    if (plan.symbols[i].axis < 0) bound->element_symbols.push_back(i);
  }
  return bound;
}

}  // namespace fusee::runtime
