#include "runtime/device_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/checked_math.h"
#include "device/fp_environment.h"

namespace fusee::runtime {

using plan::Region;

namespace {

constexpr uint64_t kStagingAlignment = 256;
// Regions follow each other without gaps, so that what is taken is what the plan's header says.
constexpr uint64_t kRegionAlignment = kTensorAlignment;
constexpr Region kArenaRegions[] = {Region::kActivations, Region::kIo, Region::kState,
                                    Region::kWorkspace};

uint64_t RegionBytes(const plan::Plan& plan, Region region) {
  switch (region) {
    case Region::kWeights: return plan.weights.size();
    case Region::kActivations: return plan.activation_bytes;
    case Region::kIo: return plan.io_bytes;
    case Region::kState: return plan.state_bytes;
    case Region::kWorkspace: return plan.workspace_bytes;
  }
  return 0;
}

// Ends a capture that an error left open.
class CaptureGuard {
 public:
  explicit CaptureGuard(DeviceQueue& queue) : queue_(queue) {}
  ~CaptureGuard() {
    if (open_) queue_.AbandonCapture();
  }
  Status Begin() {
    FUSEE_TRY(queue_.BeginCapture());
    open_ = true;
    return OkStatus();
  }
  Result<std::unique_ptr<DeviceGraph>> End() {
    open_ = false;
    return queue_.EndCapture();
  }

 private:
  DeviceQueue& queue_;
  bool open_ = false;
};

}  // namespace

Result<std::unique_ptr<DeviceRun>> DeviceRun::Create(const plan::Plan& plan, const BoundPlan& bound,
                                                     const ContextOptions& options,
                                                     Parallel* parallel, size_t pieces_max) {
  std::unique_ptr<DeviceRun> run(new DeviceRun(plan, bound, options, parallel));
  FUSEE_TRY(run->queue_, bound.device->CreateQueue());
  FUSEE_TRY(run->TakeMemory(pieces_max));
  run->programs_.resize(plan.buckets.size());
  size_t operands = 0, results = 0;
  bool host_steps = false;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    operands = std::max(operands, plan.steps[i].inputs.size());
    results = std::max(results, plan.steps[i].outputs.size());
    host_steps = host_steps || run->IsHostStep(i);
  }
  run->host_inputs_.resize(operands);
  run->host_outputs_.resize(results);
  if (host_steps) FUSEE_TRY(run->TakeMirror());
  run->NameMarks();
  return run;
}

// "step 17 'Conv' (conv1, relu1)"; "resnet50, bucket batch=8"; "resnet50, step by step".
void DeviceRun::NameMarks() {
  const std::string& model = plan_.provenance.model_name;
  plain_mark_ = model + ", step by step";
  bucket_marks_.resize(plan_.buckets.size());
  if (!options_.marks) return;
  for (size_t i = 0; i < plan_.steps.size(); ++i) step_marks_.push_back(DescribeStep(plan_, i));
  for (size_t b = 0; b < plan_.buckets.size(); ++b) {
    bucket_marks_[b] = model + ", bucket";
    for (size_t s = 0; s < plan_.symbols.size(); ++s) {
      bucket_marks_[b] +=
          fmt::format(" {}={}", plan_.symbols[s].name, plan_.buckets[b].symbol_values[s]);
    }
  }
}

Status DeviceRun::TakeMemory(size_t pieces_max) {
  Device& device = *bound_.device;
  uint64_t total = 0;
  for (Region region : kArenaRegions)
    total += AlignUp(RegionBytes(plan_, region), kRegionAlignment);
  FUSEE_TRY(arena_, device.Allocate(total));
  auto* next = static_cast<std::byte*>(arena_->device_data());
  for (Region region : kArenaRegions) {
    region_base_[static_cast<size_t>(region)] = next;
    next += AlignUp(RegionBytes(plan_, region), kRegionAlignment);
  }
  // Kernels may meet memory that no step wrote (the rows of a batch that nobody sent).
  FUSEE_TRY(queue_->Fill(arena_->device_data(), 0, arena_->size()));

  uint64_t staging = 0;
  const auto reserve = [&](const std::vector<plan::IoDef>& list, std::vector<uint64_t>* homes) {
    for (const plan::IoDef& io : list) {
      homes->push_back(staging);
      staging += AlignUp(std::max<uint64_t>(1, plan_.tensors[io.tensor].capacity_bytes),
                         kStagingAlignment);
    }
  };
  reserve(plan_.inputs, &input_home_);
  reserve(plan_.outputs, &output_home_);
  FUSEE_TRY(staging_, device.AllocateHost(staging));

  in_max_ = plan_.inputs.size() * pieces_max * 2;  // what was sent, and rows repeated
  out_max_ = plan_.outputs.size() * pieces_max;
  staged_.resize(out_max_);
  const uint64_t bytes = (in_max_ + out_max_) * sizeof(DeviceQueue::Piece) +
                         (2 + plan_.steps.size()) * sizeof(uint32_t);
  FUSEE_TRY(table_, device.AllocateHost(bytes));
  in_ = static_cast<DeviceQueue::Piece*>(table_->host_data());
  out_ = in_ + in_max_;
  counts_ = reinterpret_cast<uint32_t*>(out_ + out_max_);
  errors_ = counts_ + 2;
  return queue_->Synchronize();
}

Status DeviceRun::TakeMirror() {
  if (mirror_ != nullptr) return OkStatus();
  FUSEE_TRY(mirror_, bound_.device->AllocateHost(arena_->size()));
  return OkStatus();
}

std::byte* DeviceRun::region_base(Region region) const {
  return region_base_[static_cast<size_t>(region)];
}
std::byte* DeviceRun::weights_base() const {
  return static_cast<std::byte*>(bound_.device_weights->device_data());
}
std::byte* DeviceRun::input_home(size_t input) const {
  return static_cast<std::byte*>(staging_->host_data()) + input_home_[input];
}
std::byte* DeviceRun::output_home(size_t output) const {
  return static_cast<std::byte*>(staging_->host_data()) + output_home_[output];
}
uint32_t* DeviceRun::error_word(size_t step) const {
  const auto offset =
      reinterpret_cast<std::byte*>(errors_ + step) - static_cast<std::byte*>(table_->host_data());
  return reinterpret_cast<uint32_t*>(static_cast<std::byte*>(table_->device_data()) + offset);
}

bool DeviceRun::IsHostStep(size_t step) const {
  return plan_.steps[step].device == static_cast<uint8_t>(DeviceKind::kCpu);
}

// --- the table ---

const void* DeviceRun::Reach(const void* host, size_t bytes) const {
  const auto at = reinterpret_cast<uintptr_t>(host);
  const auto inside = [&](const DeviceMemory& memory) -> const void* {
    const auto begin = reinterpret_cast<uintptr_t>(memory.host_data());
    if (at < begin || bytes > memory.size() || at - begin > memory.size() - bytes) return nullptr;
    return static_cast<const std::byte*>(memory.device_data()) + (at - begin);
  };
  if (const void* own = inside(*staging_); own != nullptr) return own;
  for (const DeviceMemory* memory : options_.host_memory) {
    if (const void* found = inside(*memory); found != nullptr) return found;
  }
  return nullptr;
}

void DeviceRun::BeginTable() {
  counts_[0] = counts_[1] = 0;
  staged_count_ = 0;
}

void DeviceRun::AddInput(size_t index, std::span<const InputPiece> pieces, void* to) {
  std::byte* home = input_home(index);
  auto* target = static_cast<std::byte*>(to);
  for (const InputPiece& piece : pieces) {
    if (piece.empty()) continue;
    const void* from = Reach(piece.data(), piece.size());
    if (from == nullptr) {
      std::memcpy(home, piece.data(), piece.size());
      from = Reach(home, piece.size());
    }
    in_[counts_[0]++] = {from, target, piece.size()};
    home += piece.size();
    target += piece.size();
  }
}

void DeviceRun::RepeatLastRow(uint64_t bytes, uint64_t count) {
  if (counts_[0] == 0 || bytes == 0) return;
  const DeviceQueue::Piece& last = in_[counts_[0] - 1];
  const auto* from = static_cast<const std::byte*>(last.from) + last.bytes - bytes;
  auto* to = static_cast<std::byte*>(last.to) + last.bytes;
  for (uint64_t i = 0; i < count; ++i) in_[counts_[0]++] = {from, to + i * bytes, bytes};
}

void DeviceRun::AddOutput(size_t index, std::span<const OutputPiece> pieces, const void* from) {
  std::byte* home = output_home(index);
  const auto* source = static_cast<const std::byte*>(from);
  for (const OutputPiece& piece : pieces) {
    if (piece.empty()) continue;
    const void* to = Reach(piece.data(), piece.size());
    if (to == nullptr) {
      staged_[staged_count_++] = {home, piece};
      to = Reach(home, piece.size());
    }
    out_[counts_[1]++] = {source, const_cast<void*>(to), piece.size()};
    home += piece.size();
    source += piece.size();
  }
}

// --- running ---

namespace {

// The device's address of something in the table.
template <typename T>
const T* OnDevice(const DeviceMemory& table, const T* host) {
  const auto offset =
      reinterpret_cast<const std::byte*>(host) - static_cast<const std::byte*>(table.host_data());
  return reinterpret_cast<const T*>(static_cast<const std::byte*>(table.device_data()) + offset);
}

}  // namespace

Status DeviceRun::CopyTable(Side side) {
  if (side == Side::kInputs)
    return queue_->CopyPieces(OnDevice(*table_, in_), OnDevice(*table_, counts_));
  return queue_->CopyPieces(OnDevice(*table_, out_), OnDevice(*table_, counts_ + 1));
}

Status DeviceRun::RunPlain(const Steps& steps, bool transfers) {
  if (transfers) FUSEE_TRY(CopyTable(Side::kInputs));
  for (size_t i = 0; i < steps.args.size(); ++i) {
    const ScopedMark mark(marks(), StepMark(i));
    Status status = IsHostStep(i) ? RunHostStep(i, steps) : steps.kernels[i]->Run(steps.args[i]);
    if (!status.ok()) return std::move(status).Annotate(DescribeStep(plan_, i));
  }
  if (!transfers) return OkStatus();
  return CopyTable(Side::kOutputs);
}

Status DeviceRun::Capture(size_t bucket, const Steps& steps) {
  FUSEE_TRY(bound_.device->MakeCurrent());
  const ScopedMark whole(marks(), bucket_marks_[bucket]);
  FUSEE_TRY(RunPlain(steps, options_.transfers));
  FUSEE_TRY(queue_->Synchronize());
  std::fill_n(errors_, plan_.steps.size(), 0u);  // made-up inputs may have been refused

  std::vector<Item> items;
  CaptureGuard capture(*queue_);
  FUSEE_TRY(capture.Begin());
  if (options_.transfers) FUSEE_TRY(CopyTable(Side::kInputs));
  for (size_t i = 0; i < steps.args.size(); ++i) {
    const ScopedMark mark(marks(), StepMark(i));
    if (IsHostStep(i)) {
      FUSEE_TRY(auto graph, capture.End());
      items.push_back({std::move(graph), 0});
      items.push_back({nullptr, i});
      FUSEE_TRY(capture.Begin());
    } else if (Status status = steps.kernels[i]->Run(steps.args[i]); !status.ok()) {
      return std::move(status).Annotate(DescribeStep(plan_, i) + ", while recorded into a graph");
    }
  }
  if (options_.transfers) FUSEE_TRY(CopyTable(Side::kOutputs));
  FUSEE_TRY(auto graph, capture.End());
  items.push_back({std::move(graph), 0});
  // Once as it will run, so that the first request is like every other.
  for (const Item& item : items) {
    if (item.graph != nullptr) FUSEE_TRY(queue_->Launch(*item.graph));
  }
  FUSEE_TRY(queue_->Synchronize());
  std::fill_n(errors_, plan_.steps.size(), 0u);
  programs_[bucket] = std::move(items);
  return OkStatus();
}

Status DeviceRun::Enqueue(std::optional<size_t> bucket, const Steps& steps) {
  FUSEE_TRY(bound_.device->MakeCurrent());
  const ScopedMark whole(marks(), bucket ? bucket_marks_[*bucket] : plain_mark_);
  if (!bucket) return RunPlain(steps, options_.transfers);
  for (const Item& item : programs_[*bucket]) {
    if (item.graph != nullptr) {
      FUSEE_TRY(queue_->Launch(*item.graph));
      continue;
    }
    const ScopedMark mark(marks(), StepMark(item.host_step));
    if (Status status = RunHostStep(item.host_step, steps); !status.ok())
      return std::move(status).Annotate(DescribeStep(plan_, item.host_step));
  }
  return OkStatus();
}

void DeviceRun::Abandon() {
  (void)queue_->Synchronize();
  std::fill_n(errors_, plan_.steps.size(), 0u);
}

Status DeviceRun::CheckErrors() const {
  for (size_t i = 0; i < plan_.steps.size(); ++i) {
    if (errors_[i] == 0) continue;
    const auto error = static_cast<ops::RunError>(errors_[i]);
    std::fill_n(errors_, plan_.steps.size(), 0u);
    return ops::ToStatus(error, plan_.steps[i].op).Annotate(DescribeStep(plan_, i));
  }
  return OkStatus();
}

Status DeviceRun::Finish() {
  FUSEE_TRY(queue_->Synchronize());
  FUSEE_TRY(CheckErrors());
  if (options_.transfers) CopyStagedOutputs();
  return OkStatus();
}

void DeviceRun::CopyStagedOutputs() {
  for (const StagedOutput& s : std::span(staged_).first(staged_count_))
    std::memcpy(s.to.data(), s.from, s.to.size());
}

Status DeviceRun::Move(Side side) {
  FUSEE_TRY(bound_.device->MakeCurrent());
  FUSEE_TRY(CopyTable(side));
  FUSEE_TRY(queue_->Synchronize());
  if (side == Side::kOutputs) CopyStagedOutputs();
  return OkStatus();
}

// --- steps on the host, and hooks ---

void* DeviceRun::HostAddress(const void* device) const {
  const auto* at = static_cast<const std::byte*>(device);
  const auto* arena = static_cast<const std::byte*>(arena_->device_data());
  if (at >= arena && at < arena + arena_->size())
    return static_cast<std::byte*>(mirror_->host_data()) + (at - arena);
  // Results never lie in the weights (verified), so nothing writes through this.
  return const_cast<std::byte*>(plan_.weights.data()) + (at - weights_base());
}

// Brings operands (or results) of a step down and makes host views of both.
Status DeviceRun::Mirror(const ops::RunArgs& args, bool outputs) {
  const auto* weights = weights_base();
  for (size_t k = 0; k < args.inputs.size(); ++k) {
    host_inputs_[k] = args.inputs[k];
    if (!args.inputs[k].present()) continue;
    host_inputs_[k].data = HostAddress(args.inputs[k].data);
    const auto* at = static_cast<const std::byte*>(args.inputs[k].data);
    const bool weight = at >= weights && at < weights + plan_.weights.size();
    if (!weight && !outputs) {
      FUSEE_TRY(queue_->Download(const_cast<void*>(host_inputs_[k].data), args.inputs[k].data,
                                 static_cast<size_t>(args.inputs[k].size_bytes())));
    }
  }
  for (size_t k = 0; k < args.outputs.size(); ++k) {
    host_outputs_[k] = args.outputs[k];
    if (!args.outputs[k].present()) continue;
    host_outputs_[k].data = HostAddress(args.outputs[k].data);
    if (outputs) {
      FUSEE_TRY(queue_->Download(host_outputs_[k].data, args.outputs[k].data,
                                 static_cast<size_t>(args.outputs[k].size_bytes())));
    }
  }
  return queue_->Synchronize();
}

Status DeviceRun::RunHostStep(size_t step, const Steps& steps) {
  const ops::RunArgs& args = steps.args[step];
  FUSEE_TRY(Mirror(args, /*outputs=*/false));
  std::byte* workspace = args.workspace.data();
  if (!args.workspace.empty())
    workspace = static_cast<std::byte*>(HostAddress(args.workspace.data()));
  const ops::RunArgs host{
      .inputs = std::span(host_inputs_).first(args.inputs.size()),
      .outputs = std::span<const TensorView>(host_outputs_).first(args.outputs.size()),
      .dims = args.dims,
      .workspace = {workspace, args.workspace.size()},
      .parallel = parallel_};
  {
    const ScopedFpEnvironment fp;
    FUSEE_TRY(steps.kernels[step]->Run(host));
  }
  for (size_t k = 0; k < args.outputs.size(); ++k) {
    if (!args.outputs[k].present()) continue;
    FUSEE_TRY(queue_->Upload(args.outputs[k].data, host_outputs_[k].data,
                             static_cast<size_t>(args.outputs[k].size_bytes())));
  }
  return OkStatus();
}

Status DeviceRun::RunObserved(const Steps& steps, StepHook& hook, bool timed) {
  FUSEE_TRY(bound_.device->MakeCurrent());
  FUSEE_TRY(TakeMirror());
  const ScopedMark whole(marks(), plain_mark_);
  if (options_.transfers) FUSEE_TRY(CopyTable(Side::kInputs));
  for (size_t i = 0; i < steps.args.size(); ++i) {
    const ops::RunArgs& args = steps.args[i];
    const ScopedMark mark(marks(), StepMark(i));
    FUSEE_TRY(Mirror(args, /*outputs=*/false));  // before: a result may lie on an operand
    if (timed) FUSEE_TRY(queue_->MarkStart());
    Status status = IsHostStep(i) ? RunHostStep(i, steps) : steps.kernels[i]->Run(args);
    if (!status.ok()) return std::move(status).Annotate(DescribeStep(plan_, i));
    double us = 0;
    if (timed) {
      FUSEE_TRY(queue_->MarkStop());
      FUSEE_TRY(us, queue_->ElapsedMicroseconds());
    }
    FUSEE_TRY(Mirror(args, /*outputs=*/true));
    FUSEE_TRY(CheckErrors());
    hook.OnStep({i, std::span(host_inputs_).first(args.inputs.size()),
                 std::span<const TensorView>(host_outputs_).first(args.outputs.size()),
                 static_cast<int64_t>(us * 1000)});
  }
  if (!options_.transfers) return OkStatus();
  return CopyTable(Side::kOutputs);
}

}  // namespace fusee::runtime
