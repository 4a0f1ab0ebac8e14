// Context: creation, preparation, running. One file of more than 900 lines, because every function
// here works on the one State below and its flags of what is up to date; what a device adds is in
// device_run.cc.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/checked_math.h"
#include "device/arena.h"
#include "device/fp_environment.h"
#include "runtime/bound_plan.h"
#include "runtime/device_run.h"
#include "runtime/runtime.h"

namespace fusee::runtime {

using plan::kNoTensor;
using plan::Plan;
using plan::Region;

namespace {

constexpr uint64_t kRegionAlignment = 4096;
constexpr int64_t kPiecesMax = 4096;  // of one input or output: requests of one batch

bool IsAligned(const void* data) {
  return reinterpret_cast<uintptr_t>(data) % kTensorAlignment == 0;
}

// Where a slot of the io region is during the next run.
struct SlotPlace {
  std::byte* base = nullptr;
  uint64_t bytes = 0;  // that may be touched from base on
};

struct InputState {
  Shape shape;
  const std::byte* bound = nullptr;  // the caller's, or null
  size_t bound_bytes = 0;
  std::vector<InputPiece> pieces;  // instead of bound; room for pieces_max from the start
};

struct OutputState {
  std::byte* bound = nullptr;
  size_t bound_bytes = 0;
  std::vector<OutputPiece> pieces;
};

template <typename Piece>
size_t TotalBytes(const std::vector<Piece>& pieces) {
  size_t total = 0;
  for (const Piece& piece : pieces) total += piece.size();
  return total;
}

Status SymbolOutOfRange(const plan::Symbol& s, int64_t value, const std::string& where) {
  return OutOfRange(fmt::format(
      "{}: {} = {} is outside the plan's profile [{}, {}]; send a shape within it, or rebuild "
      "with --minShapes/--maxShapes that cover it",
      where, s.name, value, s.min, s.max));
}

}  // namespace

// What one context owns. Vectors are sized at Create and only overwritten afterwards.
struct Context::State {
  std::shared_ptr<const LoadedPlan> loaded;
  const Plan* plan = nullptr;
  const BoundPlan* bound = nullptr;
  SerialParallel serial;
  Parallel* parallel = nullptr;
  StepHook* hook = nullptr;
  const Clock* clock = nullptr;

  Arena arena;                        // of contexts on the CPU
  std::unique_ptr<DeviceRun> device;  // of the others; null on the CPU
  size_t pieces_max = 1;
  std::byte* region_base[5] = {};  // by Region; kWeights stays null (read-only, elsewhere)
  std::vector<InputState> inputs;
  std::vector<OutputState> outputs;
  std::vector<SlotPlace> slots;

  std::vector<int64_t> symbol_values, next_symbol_values;
  std::vector<int64_t> dims;
  std::vector<TensorView> tensors;
  // Operands of all steps, one after the other; args' spans point into these.
  std::vector<ConstTensorView> step_inputs;
  std::vector<TensorView> step_outputs;
  std::vector<int64_t> step_dims, step_counts;
  std::vector<ops::RunArgs> args;
  // Sizes that runs find, one a plan::Count: as the last run found them, or at their bounds.
  std::vector<int64_t> counts;
  bool counts_at_bounds = true;
  bool shapes_ready = false;  // everything derived from shapes is up to date
  bool places_ready = false;  // everything derived from shapes and bindings is
  // What runs at the current shapes: the bucket whose shapes these are; on a device also one above
  // that a batch is filled up to. Of Prepare.
  const std::vector<const ops::BoundKernel*>* kernels = nullptr;
  std::optional<size_t> graph_bucket;

  Status Create(const ContextOptions& options);
  Status TakeMemory(const ContextOptions& options);
  Status CaptureBuckets();
  void CreateSteps();
  void ResetInputs();
  std::byte* OwnSlot(uint32_t slot) const {
    return region_base[static_cast<size_t>(Region::kIo)] + bound->slots[slot].offset;
  }
  // The context's own host memory for an input.
  std::byte* InputHome(size_t i) const {
    return device != nullptr ? device->input_home(i) : OwnSlot(bound->input_slot[i]);
  }
  const std::byte* InputData(size_t i) const {
    return inputs[i].bound != nullptr ? inputs[i].bound : InputHome(i);
  }
  uint64_t InputBytes(size_t i) const {
    return static_cast<uint64_t>(tensors[plan->inputs[i].tensor].size_bytes());
  }
  uint64_t OutputBytes(size_t i) const {
    return static_cast<uint64_t>(tensors[plan->outputs[i].tensor].size_bytes());
  }
  DeviceRun::Steps Steps() const { return {*kernels, args}; }

  Status Prepare();
  Status ReadSymbols();
  Status CheckInputShapes() const;
  Status CheckConstraints() const;
  Status SetTensorShapes();
  Status SetTensorShape(uint32_t tensor);
  Status SetStepShapes();
  Status SetStep(uint32_t step);
  void SetResults(size_t step);
  void ResetCounts();
  Status TakeCounts(const FoundSizes& found);
  Status PlaceSlots();
  Status CheckPieces() const;
  Status CheckPlaces() const;
  Status CheckPlace(uint32_t tensor) const;
  Status CheckOutput(size_t i) const;
  void PlaceTensors();
  void ChooseKernels();

  Status CheckPinned() const;
  Status Run();
  Status RunOnDevice();
  Status Move(DeviceRun::Side side);
  bool Holds(size_t step) const;
  Status RunSteps();
  Status RunStepsObserved();
  void FillTable();
  void CopyInputs();
  void CopyOutputs();
};

// --- creation
// --------------------------------------------------------------------------------------------------------

Status Context::State::TakeMemory(const ContextOptions& options) {
  if (bound->device != nullptr) {
    FUSEE_TRY(device, DeviceRun::Create(*plan, *bound, options, parallel, pieces_max));
    for (Region region : {Region::kActivations, Region::kIo, Region::kState, Region::kWorkspace})
      region_base[static_cast<size_t>(region)] = device->region_base(region);
    return OkStatus();
  }
  const std::pair<Region, uint64_t> regions[] = {{Region::kActivations, plan->activation_bytes},
                                                 {Region::kIo, plan->io_bytes},
                                                 {Region::kState, plan->state_bytes},
                                                 {Region::kWorkspace, plan->workspace_bytes}};
  uint64_t total = 0;
  for (const auto& [region, bytes] : regions)
    total += AlignUp(bytes, kRegionAlignment);  // each below 2^46
  FUSEE_TRY(arena,
            Arena::Allocate(total, options.huge_pages ? PageAdvice::kHuge : PageAdvice::kSmall));
  std::byte* next = arena.data();
  for (const auto& [region, bytes] : regions) {
    region_base[static_cast<size_t>(region)] = next;
    next += AlignUp(bytes, kRegionAlignment);
  }
  return OkStatus();
}

Status Context::State::Create(const ContextOptions& options) {
  plan = &loaded->plan();
  parallel = options.parallel != nullptr ? options.parallel : &serial;
  if (bound->batch_symbol)
    pieces_max = static_cast<size_t>(
        std::clamp<int64_t>(plan->symbols[*bound->batch_symbol].max, 1, kPiecesMax));
  FUSEE_TRY(TakeMemory(options));
  inputs.resize(plan->inputs.size());
  outputs.resize(plan->outputs.size());
  for (InputState& input : inputs) input.pieces.reserve(pieces_max);
  for (OutputState& output : outputs) output.pieces.reserve(pieces_max);
  slots.resize(bound->slots.size());
  symbol_values = plan::SymbolValues(*plan, plan::ProfilePoint::kOpt);
  next_symbol_values = symbol_values;
  dims.resize(plan->dims.size());
  FUSEE_TRY(plan::EvaluateDims(plan->dims, symbol_values, dims));
  for (const plan::TensorDef& t : plan->tensors) {
    FUSEE_TRY(const Shape shape, plan::ShapeOf(t, dims));
    tensors.push_back({t.dtype, shape, nullptr});
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    inputs[i].shape = tensors[plan->inputs[i].tensor].shape;
  ResetInputs();
  CreateSteps();
  if (device != nullptr && options.graphs) FUSEE_TRY(CaptureBuckets());
  return OkStatus();
}

// One graph for the exact shapes of each bucket, then back to the optimum. Inputs hold zeros, or
// what ResetInputs gave them.
Status Context::State::CaptureBuckets() {
  std::vector<Shape> shapes;
  for (const InputState& input : inputs) shapes.push_back(input.shape);
  for (size_t b = 0; b < plan->buckets.size(); ++b) {
    const auto& values = plan->buckets[b].symbol_values;
    FUSEE_TRY(plan::EvaluateDims(plan->dims, values, dims));
    for (size_t i = 0; i < inputs.size(); ++i) {
      FUSEE_TRY(inputs[i].shape, plan::ShapeOf(plan->tensors[plan->inputs[i].tensor], dims));
    }
    for (size_t index : bound->element_symbols) {
      const plan::Symbol& symbol = plan->symbols[index];
      if (plan->inputs[symbol.input].is_pinned) continue;
      StoreInt({plan->tensors[plan->inputs[symbol.input].tensor].dtype, inputs[symbol.input].shape,
                InputHome(symbol.input)},
               symbol.element, values[index]);
    }
    shapes_ready = false;
    Status status = Prepare();
    if (status.ok()) {
      FillTable();
      status = device->Capture(b, Steps());
    }
    if (!status.ok()) return std::move(status).Annotate(fmt::format("bucket {}", b));
  }
  for (size_t i = 0; i < inputs.size(); ++i) inputs[i].shape = shapes[i];
  shapes_ready = false;
  ResetInputs();
  return OkStatus();
}

// Content that satisfies the plan before the caller wrote any: pinned bytes, and optimum values
// where symbols are read.
void Context::State::ResetInputs() {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto& pinned = plan->inputs[i].pinned;
    if (!pinned.empty()) std::memcpy(InputHome(i), pinned.data(), pinned.size());
  }
  for (size_t index : bound->element_symbols) {
    const plan::Symbol& s = plan->symbols[index];
    const plan::IoDef& io = plan->inputs[s.input];
    if (io.is_pinned) continue;
    StoreInt({plan->tensors[io.tensor].dtype, inputs[s.input].shape, InputHome(s.input)}, s.element,
             s.opt);
  }
}

void Context::State::CreateSteps() {
  size_t input_count = 0, output_count = 0, dim_count = 0, count_count = 0;
  for (const plan::Step& s : plan->steps) {
    input_count += s.inputs.size();
    output_count += s.outputs.size();
    dim_count += s.dims.size();
    count_count += s.counts.size();
  }
  step_inputs.resize(input_count);
  step_outputs.resize(output_count);
  step_dims.resize(dim_count);
  step_counts.resize(count_count);
  for (const plan::Count& c : plan->counts) counts.push_back(c.max);
  auto in = std::span(step_inputs);
  auto out = std::span(step_outputs);
  auto dim = std::span(step_dims);
  auto count = std::span(step_counts);
  for (const plan::Step& s : plan->steps) {
    std::byte* workspace =
        region_base[static_cast<size_t>(Region::kWorkspace)] + s.workspace_offset;
    args.push_back({.inputs = in.first(s.inputs.size()),
                    .outputs = out.first(s.outputs.size()),
                    .dims = dim.first(s.dims.size()),
                    .workspace = {workspace, s.workspace_bytes},
                    .parallel = parallel,
                    .queue = device != nullptr ? device->queue().native() : nullptr,
                    .error = device != nullptr ? device->error_word(args.size()) : nullptr,
                    .counts = count.first(s.counts.size())});
    for (size_t i = 0; i < s.counts.size(); ++i) count[i] = plan->counts[s.counts[i]].max;
    in = in.subspan(s.inputs.size());
    out = out.subspan(s.outputs.size());
    dim = dim.subspan(s.dims.size());
    count = count.subspan(s.counts.size());
  }
}

// --- preparation
// -----------------------------------------------------------------------------------------------------

Status Context::State::ReadSymbols() {
  for (size_t i = 0; i < plan->symbols.size(); ++i) {
    const plan::Symbol& s = plan->symbols[i];
    const InputState& input = inputs[s.input];
    int64_t value = 0;
    if (s.axis >= 0) {
      value = input.shape[s.axis];
    } else {
      const ConstTensorView view{plan->tensors[plan->inputs[s.input].tensor].dtype, input.shape,
                                 InputData(s.input)};
      if (s.element >= view.elements() ||
          (input.bound != nullptr && input.bound_bytes < static_cast<size_t>(view.size_bytes()))) {
        return InvalidArgument(
            fmt::format("input '{}': {} bytes do not hold element {}, which gives {}",
                        plan->inputs[s.input].name, input.bound_bytes, s.element, s.name));
      }
      value = IntAt(view, s.element);
    }
    if (value < s.min || value > s.max) {
      return SymbolOutOfRange(s, value, fmt::format("input '{}'", plan->inputs[s.input].name));
    }
    next_symbol_values[i] = value;
  }
  return OkStatus();
}

Status Context::State::CheckInputShapes() const {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const plan::TensorDef& t = plan->tensors[plan->inputs[i].tensor];
    for (int axis = 0; axis < inputs[i].shape.rank(); ++axis) {
      const int64_t want = dims[t.shape[static_cast<size_t>(axis)]];
      if (inputs[i].shape[axis] != want) {
        return InvalidArgument(fmt::format(
            "input '{}': shape {}, expected {} on axis {} beside the other inputs' shapes",
            plan->inputs[i].name, inputs[i].shape.ToString(), want, axis));
      }
    }
  }
  return OkStatus();
}

Status Context::State::CheckConstraints() const {
  for (size_t i = 0; i < plan->constraints.size(); ++i) {
    const plan::EqualConstraint& c = plan->constraints[i];
    if (bound->constraint_waits[i] || dims[c.a] == dims[c.b]) continue;
    return InvalidArgument(
        fmt::format("the inputs' shapes do not fit each other: {} and {} must be equal ({})",
                    dims[c.a], dims[c.b], c.reason));
  }
  return OkStatus();
}

Status Context::State::SetTensorShape(uint32_t tensor) {
  const plan::TensorDef& t = plan->tensors[tensor];
  FUSEE_TRY(const Shape shape, plan::ShapeOf(t, dims));
  const Shape& max_shape = bound->max_shapes[tensor];
  bool fits = true;
  for (int axis = 0; axis < shape.rank(); ++axis) fits = fits && shape[axis] <= max_shape[axis];
  tensors[tensor].shape = shape;
  if (!fits || static_cast<uint64_t>(tensors[tensor].size_bytes()) > t.capacity_bytes) {
    return OutOfRange(fmt::format(
        "tensor '{}' would be {}, the plan sets {} bytes aside for at most {}; rebuild with "
        "--maxShapes that cover these shapes",
        t.name, shape.ToString(), t.capacity_bytes, max_shape.ToString()));
  }
  return OkStatus();
}

Status Context::State::SetTensorShapes() {
  for (uint32_t i = 0; i < tensors.size(); ++i) FUSEE_TRY(SetTensorShape(i));
  return OkStatus();
}

Status Context::State::SetStepShapes() {
  for (uint32_t i = 0; i < plan->steps.size(); ++i) FUSEE_TRY(SetStep(i));
  return OkStatus();
}

Status Context::State::SetStep(uint32_t step) {
  const plan::Step& s = plan->steps[step];
  const ops::RunArgs& a = args[step];
  // The spans lie in step_inputs and step_dims, which are ours to write.
  auto* in = const_cast<ConstTensorView*>(a.inputs.data());
  auto* dim = const_cast<int64_t*>(a.dims.data());
  for (uint32_t t : s.inputs)
    *in++ = t == kNoTensor ? ConstTensorView{} : ConstTensorView(tensors[t]);
  SetResults(step);
  for (uint32_t d : s.dims) *dim++ = dims[d];
  for (auto pair = std::ranges::lower_bound(bound->in_place, step, {}, &plan::InPlacePair::step);
       pair != bound->in_place.end() && pair->step == step; ++pair) {
    if (a.inputs[pair->input].size_bytes() == a.outputs[pair->output].size_bytes()) continue;
    return InvalidArgument(
        fmt::format("{}: result lies on operand {} but has another size for these shapes; please "
                    "report this plan",
                    DescribeStep(*plan, step), pair->input));
  }
  if (Status status = (*kernels)[step]->CheckShapes(a); !status.ok())
    return std::move(status).Annotate(DescribeStep(*plan, step));
  return OkStatus();
}

void Context::State::SetResults(size_t step) {
  auto* out = const_cast<TensorView*>(args[step].outputs.data());
  for (uint32_t t : plan->steps[step].outputs) *out++ = t == kNoTensor ? TensorView{} : tensors[t];
}

// --- sizes that a run finds

// Back to the bounds, as Prepare left them: every result has room for the most there may be.
void Context::State::ResetCounts() {
  if (counts_at_bounds) return;
  for (size_t i = 0; i < counts.size(); ++i) counts[i] = plan->counts[i].max;
  for (const FoundSizes& found : bound->found_sizes) {
    // These were evaluated and fitted when the context was prepared for its shapes.
    Status status = EvaluateSomeDims(plan->dims, found.dims, symbol_values, counts, dims);
    for (const uint32_t t : found.tensors) {
      if (status.ok()) status = SetTensorShape(t);
    }
    FUSEE_CHECK(status.ok(), "shapes at the bounds of counts do not evaluate any more");
  }
  for (const FoundSizes& found : bound->found_sizes) {
    const plan::Step& s = plan->steps[found.step];
    for (size_t i = 0; i < s.counts.size(); ++i) args[found.step].counts[i] = counts[s.counts[i]];
    SetResults(found.step);
  }
  counts_at_bounds = true;
}

// What a step found becomes the size of its results and of what comes after it. Allocates nothing
// when ok.
Status Context::State::TakeCounts(const FoundSizes& found) {
  const plan::Step& s = plan->steps[found.step];
  for (size_t i = 0; i < s.counts.size(); ++i) {
    const plan::Count& count = plan->counts[s.counts[i]];
    const int64_t value = args[found.step].counts[i];
    if (value < 0 || value > count.max) {
      return Internal(fmt::format("{}: finds {} = {}, outside [0, {}]; please report",
                                  DescribeStep(*plan, found.step), count.name, value, count.max));
    }
    counts[s.counts[i]] = value;
  }
  FUSEE_TRY(EvaluateSomeDims(plan->dims, found.dims, symbol_values, counts, dims));
  for (const uint32_t c : found.constraints) {
    const plan::EqualConstraint& constraint = plan->constraints[c];
    if (dims[constraint.a] == dims[constraint.b]) continue;
    return InvalidArgument(
        fmt::format("sizes that depend on the data do not fit each other: {} and {} must be equal "
                    "({})",
                    dims[constraint.a], dims[constraint.b], constraint.reason));
  }
  for (const uint32_t t : found.tensors) {
    FUSEE_TRY(SetTensorShape(t));
    FUSEE_TRY(CheckPlace(t));
  }
  for (const uint32_t i : found.outputs) FUSEE_TRY(CheckOutput(i));
  SetResults(found.step);
  for (const uint32_t step : found.steps) FUSEE_TRY(SetStep(step));
  return OkStatus();
}

Status Context::State::CheckPieces() const {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].pieces.empty() || TotalBytes(inputs[i].pieces) == InputBytes(i)) continue;
    return InvalidArgument(fmt::format("input '{}': {} bytes in {} pieces, its shape {} needs {}",
                                       plan->inputs[i].name, TotalBytes(inputs[i].pieces),
                                       inputs[i].pieces.size(), inputs[i].shape.ToString(),
                                       InputBytes(i)));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].pieces.empty() || TotalBytes(outputs[i].pieces) == OutputBytes(i)) continue;
    return InvalidArgument(
        fmt::format("output '{}': {} bytes in {} pieces, its shape {} needs {}",
                    plan->outputs[i].name, TotalBytes(outputs[i].pieces), outputs[i].pieces.size(),
                    tensors[plan->outputs[i].tensor].shape.ToString(), OutputBytes(i)));
  }
  return OkStatus();
}

Status Context::State::PlaceSlots() {
  FUSEE_TRY(CheckPieces());
  for (uint32_t i = 0; i < slots.size(); ++i) slots[i] = {OwnSlot(i), bound->slots[i].capacity};
  for (size_t i = 0; i < inputs.size(); ++i) {
    const InputState& input = inputs[i];
    if (input.bound == nullptr) continue;
    const int64_t need = tensors[plan->inputs[i].tensor].size_bytes();
    if (input.bound_bytes < static_cast<size_t>(need)) {
      return InvalidArgument(fmt::format("input '{}': {} bytes bound, its shape {} needs {}",
                                         plan->inputs[i].name, input.bound_bytes,
                                         input.shape.ToString(), need));
    }
    // Steps never write a model input (verified), so the caller's const is kept.
    if (device == nullptr && IsAligned(input.bound))
      slots[bound->input_slot[i]] = {const_cast<std::byte*>(input.bound), input.bound_bytes};
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputState& output = outputs[i];
    if (output.bound == nullptr) continue;
    FUSEE_TRY(CheckOutput(i));
    const uint32_t slot = bound->output_slot[i];
    if (device == nullptr && slot != kNoSlot && IsAligned(output.bound))
      slots[slot] = {output.bound, output.bound_bytes};
  }
  return CheckPlaces();
}

// Other tensors of a bound slot (views of an input, scratch in an output) must stay within the
// caller's memory too.
Status Context::State::CheckPlaces() const {
  for (uint32_t i = 0; i < tensors.size(); ++i) FUSEE_TRY(CheckPlace(i));
  return OkStatus();
}

Status Context::State::CheckPlace(uint32_t tensor) const {
  const uint32_t slot = bound->slot_of_tensor[tensor];
  if (slot == kNoSlot) return OkStatus();
  const uint64_t end = plan->tensors[tensor].offset - bound->slots[slot].offset +
                       static_cast<uint64_t>(tensors[tensor].size_bytes());
  if (end <= slots[slot].bytes) return OkStatus();
  return InvalidArgument(
      fmt::format("tensor '{}' needs {} bytes of a bound buffer that has {}; bind a larger one, or "
                  "let the context own it",
                  plan->tensors[tensor].name, end, slots[slot].bytes));
}

// Its whole size fits where the caller wants it.
Status Context::State::CheckOutput(size_t i) const {
  const OutputState& output = outputs[i];
  if (output.bound == nullptr || output.bound_bytes >= OutputBytes(i)) return OkStatus();
  return InvalidArgument(fmt::format(
      "output '{}': {} bytes bound, its shape {} needs {}", plan->outputs[i].name,
      output.bound_bytes, tensors[plan->outputs[i].tensor].shape.ToString(), OutputBytes(i)));
}

void Context::State::PlaceTensors() {
  for (size_t i = 0; i < tensors.size(); ++i) {
    const plan::TensorDef& t = plan->tensors[i];
    const uint32_t slot = bound->slot_of_tensor[i];
    if (slot != kNoSlot) {
      tensors[i].data = slots[slot].base + (t.offset - bound->slots[slot].offset);
    } else if (t.region == Region::kWeights) {
      // Results never lie in the weights (verified), so nothing writes through this.
      tensors[i].data = (device != nullptr ? device->weights_base()
                                           : const_cast<std::byte*>(plan->weights.data())) +
                        t.offset;
    } else {
      tensors[i].data = region_base[static_cast<size_t>(t.region)] + t.offset;
    }
  }
  auto in = step_inputs.begin();
  auto out = step_outputs.begin();
  for (const plan::Step& s : plan->steps) {
    for (uint32_t t : s.inputs) (in++)->data = t == kNoTensor ? nullptr : tensors[t].data;
    for (uint32_t t : s.outputs) (out++)->data = t == kNoTensor ? nullptr : tensors[t].data;
  }
}

// The bucket of exactly these symbol values; on a device, for a verified plan, also the next one
// that differs in the batch alone: its graph runs with rows repeated at the end, which no other row
// sees.
void Context::State::ChooseKernels() {
  kernels = &bound->at_any_shape;
  graph_bucket.reset();
  const auto covers = [&](const plan::Bucket& bucket, bool exactly) {
    for (size_t i = 0; i < next_symbol_values.size(); ++i) {
      const int64_t have = next_symbol_values[i], want = bucket.symbol_values[i];
      const bool may_grow = !exactly && bound->batch_symbol == i && have > 0 &&
                            want - have <= static_cast<int64_t>(pieces_max);
      if (have != want && !(may_grow && have < want)) return false;
    }
    return true;
  };
  for (size_t b = 0; b < plan->buckets.size(); ++b) {
    if (!covers(plan->buckets[b], /*exactly=*/true)) continue;
    kernels = &bound->at_bucket[b];
    if (device != nullptr && device->has_graph(b)) graph_bucket = b;
    return;
  }
  // batch_checked: no row sees another. A verified plan may mix rows; its certificate then says so
  // by leaving this false. Steps on the host run at the exact shapes, so nothing is filled up
  // there.
  const plan::Certificate& certificate = plan->certificate;
  if (device == nullptr || !certificate.verified || !certificate.batch_checked ||
      plan::HostStepCount(*plan) > 0)
    return;
  for (size_t b = 0; b < plan->buckets.size(); ++b) {
    if (covers(plan->buckets[b], /*exactly=*/false) && device->has_graph(b)) {
      graph_bucket = b;
      return;
    }
  }
}

Status Context::State::Prepare() {
  ResetCounts();  // buffers are bound for the most that may come
  if (!shapes_ready || !bound->element_symbols.empty()) {
    const bool values_may_stay = shapes_ready;
    shapes_ready = false;
    FUSEE_TRY(ReadSymbols());
    if (values_may_stay && next_symbol_values == symbol_values) {
      shapes_ready = true;
    } else {
      places_ready = false;
      FUSEE_TRY(plan::EvaluateDims(plan->dims, next_symbol_values, dims));
      FUSEE_TRY(CheckInputShapes());
      FUSEE_TRY(CheckConstraints());
      FUSEE_TRY(SetTensorShapes());
      ChooseKernels();
      FUSEE_TRY(SetStepShapes());
      symbol_values.assign(next_symbol_values.begin(), next_symbol_values.end());
      shapes_ready = true;
    }
  }
  if (!places_ready) {
    FUSEE_TRY(PlaceSlots());
    PlaceTensors();
    places_ready = true;
  }
  return OkStatus();
}

// --- running
// ---------------------------------------------------------------------------------------------------------

void Context::State::CopyInputs() {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorView& view = tensors[plan->inputs[i].tensor];
    auto* to = static_cast<std::byte*>(view.data);
    for (const InputPiece& piece : inputs[i].pieces) {
      if (!piece.empty()) std::memcpy(to, piece.data(), piece.size());
      to += piece.size();
    }
    if (inputs[i].bound == nullptr || IsAligned(inputs[i].bound)) continue;
    std::memcpy(view.data, inputs[i].bound, static_cast<size_t>(view.size_bytes()));
  }
}

void Context::State::CopyOutputs() {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorView& view = tensors[plan->outputs[i].tensor];
    const auto* from = static_cast<const std::byte*>(view.data);
    for (const OutputPiece& piece : outputs[i].pieces) {
      if (!piece.empty()) std::memcpy(piece.data(), from, piece.size());
      from += piece.size();
    }
    if (outputs[i].bound == nullptr || outputs[i].bound == view.data || view.size_bytes() == 0)
      continue;
    std::memcpy(outputs[i].bound, view.data, static_cast<size_t>(view.size_bytes()));
  }
}

Status Context::State::CheckPinned() const {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const plan::IoDef& io = plan->inputs[i];
    if (!io.is_pinned || io.pinned.empty()) continue;
    if (std::memcmp(InputData(i), io.pinned.data(), io.pinned.size()) != 0) {
      return InvalidArgument(fmt::format(
          "input '{}' must hold exactly the value the plan was built for; leave it unset, or "
          "rebuild for the new value",
          io.name));
    }
  }
  return OkStatus();
}

// What a device's run moves: one piece for a whole tensor, or the caller's pieces. A batch below
// its graph's is filled up with its own last row, whose content is known to be valid.
void Context::State::FillTable() {
  device->BeginTable();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorView& view = tensors[plan->inputs[i].tensor];
    const InputPiece whole(InputData(i), InputBytes(i));
    device->AddInput(i, inputs[i].pieces.empty() ? std::span(&whole, 1) : inputs[i].pieces,
                     view.data);
    if (!graph_bucket || !bound->batch_symbol) continue;
    const int64_t rows = symbol_values[*bound->batch_symbol];
    const int64_t graph_rows = plan->buckets[*graph_bucket].symbol_values[*bound->batch_symbol];
    if (rows > 0 && rows < graph_rows) {
      device->RepeatLastRow(InputBytes(i) / static_cast<uint64_t>(rows),
                            static_cast<uint64_t>(graph_rows - rows));
    }
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorView& view = tensors[plan->outputs[i].tensor];
    std::byte* to = outputs[i].bound != nullptr ? outputs[i].bound : device->output_home(i);
    const OutputPiece whole(to, OutputBytes(i));
    device->AddOutput(i, outputs[i].pieces.empty() ? std::span(&whole, 1) : outputs[i].pieces,
                      view.data);
  }
}

Status Context::State::RunOnDevice() {
  FillTable();
  Status status = hook != nullptr ? device->RunObserved(Steps(), *hook, clock != nullptr)
                                  : device->Enqueue(graph_bucket, Steps());
  if (!status.ok()) {
    device->Abandon();
    return status;
  }
  return device->Finish();
}

Status Context::State::Move(DeviceRun::Side side) {
  if (device == nullptr || device->transfers()) return OkStatus();
  FUSEE_TRY(Prepare());
  FillTable();
  return device->Move(side);
}

Status Context::State::Run() {
  FUSEE_TRY(Prepare());
  FUSEE_TRY(CheckPinned());
  if (device != nullptr) return RunOnDevice();
  CopyInputs();
  const ScopedFpEnvironment fp;
  FUSEE_TRY(hook == nullptr ? RunSteps() : RunStepsObserved());
  CopyOutputs();
  return OkStatus();
}

// Whether all guards of the step hold. A later one is there only if those before it hold.
bool Context::State::Holds(size_t step) const {
  return std::ranges::all_of(plan->steps[step].guards, [&](const plan::Guard& guard) {
    return (*static_cast<const uint8_t*>(tensors[guard.tensor].data) != 0) == guard.holds;
  });
}

Status Context::State::RunSteps() {
  auto found = bound->found_sizes.begin();
  counts_at_bounds = counts.empty();  // from now on, also when a run ends half way
  auto guarded = bound->guarded_steps.begin();
  for (size_t i = 0; i < args.size(); ++i) {
    if (guarded != bound->guarded_steps.end() && *guarded == i && !Holds(*guarded++)) continue;
    if (Status status = (*kernels)[i]->Run(args[i]); !status.ok()) {
      return std::move(status).Annotate(DescribeStep(*plan, i));
    }
    if (found != bound->found_sizes.end() && found->step == i) FUSEE_TRY(TakeCounts(*found++));
  }
  return OkStatus();
}

Status Context::State::RunStepsObserved() {
  auto found = bound->found_sizes.begin();
  counts_at_bounds = counts.empty();
  auto guarded = bound->guarded_steps.begin();
  for (size_t i = 0; i < args.size(); ++i) {
    if (guarded != bound->guarded_steps.end() && *guarded == i && !Holds(*guarded++)) continue;
    const TimePoint begin = clock != nullptr ? clock->Now() : TimePoint();
    Status status = (*kernels)[i]->Run(args[i]);
    const TimePoint end = clock != nullptr ? clock->Now() : TimePoint();
    if (!status.ok()) return std::move(status).Annotate(DescribeStep(*plan, i));
    if (found != bound->found_sizes.end() && found->step == i) FUSEE_TRY(TakeCounts(*found++));
    hook->OnStep({i, args[i].inputs, args[i].outputs, std::chrono::nanoseconds(end - begin).count(),
                  args[i].counts});
  }
  return OkStatus();
}

// --- public
// ----------------------------------------------------------------------------------------------------------

Context::Context() : state_(std::make_unique<State>()) {}
Context::~Context() = default;

Result<std::unique_ptr<Context>> Context::Create(std::shared_ptr<const LoadedPlan> plan,
                                                 const ContextOptions& options) {
  std::unique_ptr<Context> context(new Context);
  context->state_->bound = plan->bound_.get();
  context->state_->loaded = std::move(plan);
  FUSEE_TRY(context->state_->Create(options));
  return context;
}

const LoadedPlan& Context::plan() const { return *state_->loaded; }
size_t Context::input_count() const { return state_->inputs.size(); }
size_t Context::output_count() const { return state_->outputs.size(); }

Status Context::SetInputShape(size_t input, const Shape& shape) {
  State& s = *state_;
  if (input >= s.inputs.size())
    return InvalidArgument(fmt::format("no input {}: the plan has {}", input, s.inputs.size()));
  InputState& state = s.inputs[input];
  if (state.shape == shape) return OkStatus();
  const plan::IoDef& io = s.plan->inputs[input];
  const plan::TensorDef& t = s.plan->tensors[io.tensor];
  const Shape& max_shape = s.bound->max_shapes[io.tensor];
  if (shape.rank() != max_shape.rank()) {
    return InvalidArgument(fmt::format("input '{}': shape {} has rank {}, expected {}", io.name,
                                       shape.ToString(), shape.rank(), max_shape.rank()));
  }
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const plan::DimExpr& e = s.plan->dims[t.shape[static_cast<size_t>(axis)]];
    if (e.op == plan::DimOp::kConstant && shape[axis] != e.a) {
      return InvalidArgument(fmt::format("input '{}': shape {}, expected {} on axis {}", io.name,
                                         shape.ToString(), e.a, axis));
    }
    if (e.op == plan::DimOp::kSymbol) {
      const plan::Symbol& symbol = s.plan->symbols[static_cast<size_t>(e.a)];
      if (shape[axis] < symbol.min || shape[axis] > symbol.max) {
        return SymbolOutOfRange(
            symbol, shape[axis],
            fmt::format("input '{}' of shape {}, axis {}", io.name, shape.ToString(), axis));
      }
    }
    if (shape[axis] < 0 || shape[axis] > max_shape[axis]) {
      return OutOfRange(fmt::format(
          "input '{}': shape {} exceeds the profile's {}; rebuild with larger --maxShapes", io.name,
          shape.ToString(), max_shape.ToString()));
    }
  }
  if (static_cast<uint64_t>(TensorView{t.dtype, shape, nullptr}.size_bytes()) > t.capacity_bytes) {
    return OutOfRange(fmt::format("input '{}': shape {} exceeds the {} bytes set aside", io.name,
                                  shape.ToString(), t.capacity_bytes));
  }
  state.shape = shape;
  s.shapes_ready = false;
  return OkStatus();
}

Status Context::BindInput(size_t input, const void* data, size_t bytes) {
  State& s = *state_;
  if (input >= s.inputs.size())
    return InvalidArgument(fmt::format("no input {}: the plan has {}", input, s.inputs.size()));
  InputState& state = s.inputs[input];
  const auto* next = static_cast<const std::byte*>(data);
  if (state.bound != next || state.bound_bytes != bytes) s.places_ready = false;
  if (!state.pieces.empty()) s.places_ready = false;
  state.pieces.clear();
  state.bound = next;
  state.bound_bytes = next == nullptr ? 0 : bytes;
  return OkStatus();
}

size_t Context::pieces_max() const { return state_->pieces_max; }

Status Context::BindInputPieces(size_t input, std::span<const InputPiece> pieces) {
  State& s = *state_;
  FUSEE_TRY(BindInput(input, nullptr, 0));
  if (pieces.size() > s.pieces_max) {
    return ResourceExhausted(fmt::format("input '{}': {} pieces, a context takes at most {}",
                                         s.plan->inputs[input].name, pieces.size(), s.pieces_max));
  }
  const bool carries_symbol = std::ranges::any_of(s.bound->element_symbols, [&](size_t index) {
    return s.plan->symbols[index].input == input;
  });
  if (s.plan->inputs[input].is_pinned || carries_symbol) {
    return InvalidArgument(
        fmt::format("input '{}': its values decide how the plan runs, so it is bound whole",
                    s.plan->inputs[input].name));
  }
  s.inputs[input].pieces.assign(pieces.begin(), pieces.end());
  s.places_ready = false;
  return OkStatus();
}

Status Context::BindOutputPieces(size_t output, std::span<const OutputPiece> pieces) {
  State& s = *state_;
  FUSEE_TRY(BindOutput(output, nullptr, 0));
  const bool found = std::ranges::any_of(s.bound->found_sizes, [&](const FoundSizes& sizes) {
    return std::ranges::find(sizes.outputs, output) != sizes.outputs.end();
  });
  if (found) {
    return InvalidArgument(fmt::format("output '{}': a run finds its size, so it is bound whole",
                                       s.plan->outputs[output].name));
  }
  if (pieces.size() > s.pieces_max) {
    return ResourceExhausted(fmt::format("output '{}': {} pieces, a context takes at most {}",
                                         s.plan->outputs[output].name, pieces.size(),
                                         s.pieces_max));
  }
  s.outputs[output].pieces.assign(pieces.begin(), pieces.end());
  s.places_ready = false;
  return OkStatus();
}

Status Context::BindOutput(size_t output, void* data, size_t capacity_bytes) {
  State& s = *state_;
  if (output >= s.outputs.size())
    return InvalidArgument(fmt::format("no output {}: the plan has {}", output, s.outputs.size()));
  OutputState& state = s.outputs[output];
  auto* next = static_cast<std::byte*>(data);
  if (state.bound != next || state.bound_bytes != capacity_bytes) s.places_ready = false;
  if (!state.pieces.empty()) s.places_ready = false;
  state.pieces.clear();
  state.bound = next;
  state.bound_bytes = next == nullptr ? 0 : capacity_bytes;
  return OkStatus();
}

TensorView Context::input(size_t input) {
  State& s = *state_;
  return {s.plan->tensors[s.plan->inputs[input].tensor].dtype, s.inputs[input].shape,
          s.InputHome(input)};
}

ConstTensorView Context::output(size_t output) const {
  const State& s = *state_;
  ConstTensorView view = s.tensors[s.plan->outputs[output].tensor];
  if (s.device != nullptr) view.data = s.device->output_home(output);
  if (s.outputs[output].bound != nullptr) view.data = s.outputs[output].bound;
  return view;
}

Status Context::Prepare() { return state_->Prepare(); }

Status Context::Run() { return state_->Run(); }

Result<double> Context::RunDeviceTimed() {
  State& s = *state_;
  if (s.device == nullptr) return FailedPrecondition("this plan runs on the CPU: time Run itself");
  FUSEE_TRY(s.Prepare());
  FUSEE_TRY(s.CheckPinned());
  s.FillTable();
  DeviceQueue& queue = s.device->queue();
  FUSEE_TRY(queue.MarkStart());
  FUSEE_TRY(s.device->Enqueue(s.graph_bucket, s.Steps()));
  FUSEE_TRY(queue.MarkStop());
  FUSEE_TRY(s.device->Finish());
  return queue.ElapsedMicroseconds();
}

Status Context::MoveInputs() { return state_->Move(DeviceRun::Side::kInputs); }

Status Context::MoveOutputs() { return state_->Move(DeviceRun::Side::kOutputs); }

std::span<const int64_t> Context::symbol_values() const { return state_->symbol_values; }

std::optional<size_t> Context::bucket() const {
  const State& s = *state_;
  for (size_t i = 0; i < s.plan->buckets.size(); ++i) {
    const auto& values = s.plan->buckets[i].symbol_values;
    if (std::ranges::equal(s.symbol_values, values, std::ranges::less_equal())) return i;
  }
  return std::nullopt;
}

void Context::SetStepHook(StepHook* hook, const Clock* clock) {
  state_->hook = hook;
  state_->clock = clock;
}

}  // namespace fusee::runtime
