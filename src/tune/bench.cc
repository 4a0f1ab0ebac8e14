#include "tune/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>

#include "base/checked_math.h"
#include "device/arena.h"
#include "tensor/random.h"

namespace fusee::tune {
namespace {

constexpr uint64_t kSeed = 2026;

uint64_t BytesOf(const ops::TensorSpec& spec) {
  return spec.present() ? static_cast<uint64_t>(spec.constant().size_bytes()) : 0;
}
uint64_t Padded(uint64_t bytes) { return AlignUp(bytes, uint64_t{256}); }

// A block on the device or, without one, on the host.
class Block {
 public:
  Status Take(Device* device, uint64_t bytes) {
    if (device == nullptr) {
      FUSEE_TRY(arena_, Arena::Allocate(bytes));
      data_ = arena_.data();
      return OkStatus();
    }
    FUSEE_TRY(memory_, device->Allocate(bytes));
    data_ = static_cast<std::byte*>(memory_->device_data());
    return OkStatus();
  }
  std::byte* at(uint64_t offset) const { return data_ + offset; }

 private:
  Arena arena_;
  std::unique_ptr<DeviceMemory> memory_;
  std::byte* data_ = nullptr;
};

// The operands of one packing: `rotations` sets of constants, one set of everything else.
struct Sets {
  Block block;
  std::vector<std::vector<ConstTensorView>> inputs;  // by rotation
};

class BenchImpl final : public Bench {
 public:
  BenchImpl(const Problem& problem, const Environment& where)
      : problem_(problem), where_(where), bound_(problem.candidates.size()) {}

  Status Init() {
    uint64_t workspace = 0;
    for (size_t i = 0; i < problem_.candidates.size(); ++i) {
      std::vector<ops::TensorSpec> inputs;
      const Candidate& c = problem_.candidates[i];
      bound_[i] = c.kernel->bind(SpecFor(problem_, c, &inputs));
      if (bound_[i]->ok())
        workspace = std::max<uint64_t>(workspace, (**bound_[i])->workspace_bytes());
    }
    if (where_.device != nullptr) {
      FUSEE_TRY(queue_, where_.device->CreateQueue());
    }
    return TakeShared(workspace);
  }

  Result<std::unique_ptr<Contestant>> Prepare(size_t candidate) override;

  // One execution on operand set r: enqueued on a device, else done.
  Status RunOnce(const ops::BoundKernel& kernel, const Sets& sets, size_t r) {
    return kernel.Run(ArgsOf(kernel, sets, r));
  }

  const Environment& where() const { return where_; }
  DeviceQueue* queue() const { return queue_.get(); }

 private:
  ops::RunArgs ArgsOf(const ops::BoundKernel& kernel, const Sets& sets, size_t r) const {
    ops::RunArgs args{sets.inputs[r % sets.inputs.size()], outputs_, problem_.dims,
                      std::span(shared_.at(workspace_), kernel.workspace_bytes()), where_.parallel};
    if (queue_ != nullptr) {
      args.parallel = nullptr;
      args.queue = queue_->native();
      args.error = reinterpret_cast<uint32_t*>(shared_.at(error_));
    }
    return args;
  }

  // Activations, results, scratch and the error word, which all candidates share.
  Status TakeShared(uint64_t workspace) {
    uint64_t at = 0;
    const auto place = [&](uint64_t bytes) { return std::exchange(at, at + Padded(bytes)); };
    error_ = place(sizeof(uint32_t));
    workspace_ = place(workspace);
    std::vector<uint64_t> in, out;
    for (const ops::TensorSpec& spec : problem_.inputs)
      in.push_back(place(spec.data == nullptr ? BytesOf(spec) : 0));
    for (const ops::TensorSpec& spec : problem_.outputs) out.push_back(place(BytesOf(spec)));
    FUSEE_TRY(shared_.Take(where_.device, at));
    const uint32_t zero = 0;
    FUSEE_TRY(Write(shared_.at(error_), std::as_bytes(std::span(&zero, 1))));
    for (size_t i = 0; i < problem_.inputs.size(); ++i) {
      const ops::TensorSpec& spec = problem_.inputs[i];
      activations_.push_back({spec.dtype, spec.max_shape, shared_.at(in[i])});
      if (!spec.present() || spec.data != nullptr) continue;
      TensorView values;
      FUSEE_TRY(Tensor tensor, Tensor::Allocate(spec.dtype, spec.max_shape, &values));
      FillRandom(values, Fill::kUniform, kSeed, i, 0, 1);  // integers may index any table
      FUSEE_TRY(Write(shared_.at(in[i]), tensor.bytes()));
    }
    for (size_t i = 0; i < problem_.outputs.size(); ++i) {
      const ops::TensorSpec& spec = problem_.outputs[i];
      outputs_.push_back(spec.present() ? TensorView{spec.dtype, spec.max_shape, shared_.at(out[i])}
                                        : TensorView{});
    }
    return OkStatus();
  }

  Result<const Sets*> SetsOf(size_t packing) {
    if (const auto it = sets_.find(packing); it != sets_.end()) return &it->second;
    Candidate any;
    any.packing = packing;
    std::vector<ops::TensorSpec> inputs;
    (void)SpecFor(problem_, any, &inputs);
    uint64_t constants = 0;
    for (const ops::TensorSpec& spec : inputs)
      constants += spec.data != nullptr ? Padded(BytesOf(spec)) : 0;
    const size_t rotations = RotationsFor(constants);
    Sets& sets = sets_[packing];
    FUSEE_TRY(sets.block.Take(where_.device, rotations * constants));
    uint64_t at = 0;
    for (size_t r = 0; r < rotations; ++r) {
      std::vector<ConstTensorView> views = activations_;
      for (size_t i = 0; i < inputs.size(); ++i) {
        if (inputs[i].data == nullptr) continue;
        FUSEE_TRY(Write(sets.block.at(at), inputs[i].constant().bytes()));
        views[i] = {inputs[i].dtype, inputs[i].max_shape, sets.block.at(at)};
        at += Padded(BytesOf(inputs[i]));
      }
      for (size_t i = 0; i < views.size(); ++i) {
        if (!problem_.inputs[i].present()) views[i] = {};
      }
      sets.inputs.push_back(std::move(views));
    }
    return &sets;
  }

  size_t RotationsFor(uint64_t constants) const {
    if (constants == 0 || where_.cache_bytes == 0) return 1;
    const uint64_t wanted = 2 * where_.cache_bytes / constants + 2;
    const uint64_t affordable = std::max<uint64_t>(1, kRotationBytesMax / constants);
    return static_cast<size_t>(std::min({wanted, affordable, uint64_t{kRotationsMax}}));
  }

  // To the block's memory, waiting.
  Status Write(std::byte* to, std::span<const std::byte> bytes) {
    if (bytes.empty()) return OkStatus();
    if (queue_ == nullptr) {
      std::memcpy(to, bytes.data(), bytes.size());
      return OkStatus();
    }
    FUSEE_TRY(queue_->Upload(to, bytes.data(), bytes.size()));
    return queue_->Synchronize();
  }

  Result<std::vector<std::byte>> ReadOutputs() {
    std::vector<std::byte> all;
    for (const TensorView& view : outputs_) {
      if (!view.present() || view.size_bytes() == 0) continue;
      const size_t old = all.size();
      all.resize(old + static_cast<size_t>(view.size_bytes()));
      if (queue_ == nullptr) {
        std::memcpy(all.data() + old, view.data, all.size() - old);
      } else {
        FUSEE_TRY(queue_->Download(all.data() + old, view.data, all.size() - old));
        FUSEE_TRY(queue_->Synchronize());
      }
    }
    return all;
  }

  // Loads it, and runs it twice on the same operands: the bits must be the same.
  Status WarmUp(ops::BoundKernel& kernel, const Sets& sets) {
    if (where_.device != nullptr) FUSEE_TRY(kernel.LoadOnDevice(*where_.device));
    FUSEE_TRY(kernel.CheckShapes(ArgsOf(kernel, sets, 0)));
    std::vector<std::byte> first;
    for (int run = 0; run < 2; ++run) {
      FUSEE_TRY(RunOnce(kernel, sets, 0));
      if (queue_ != nullptr) FUSEE_TRY(queue_->Synchronize());
      FUSEE_TRY(std::vector<std::byte> bytes, ReadOutputs());
      if (run == 1 && bytes != first) return FailedPrecondition("two runs give different bits");
      first = std::move(bytes);
    }
    return OkStatus();
  }

  const Problem& problem_;
  const Environment& where_;
  std::vector<std::optional<Result<std::unique_ptr<ops::BoundKernel>>>> bound_;
  std::unique_ptr<DeviceQueue> queue_;
  Block shared_;
  uint64_t error_ = 0, workspace_ = 0;
  std::vector<ConstTensorView> activations_;  // constants' entries are replaced by their sets'
  std::vector<TensorView> outputs_;
  std::map<size_t, Sets> sets_;  // by packing
};

// Copies of one candidate's step, run back to back.
class TimedRegion final : public Contestant {
 public:
  TimedRegion(BenchImpl& bench, const ops::BoundKernel& kernel, const Sets& sets)
      : bench_(bench), kernel_(kernel), sets_(sets) {}

  // Finds the number of copies that makes the region long enough, and records them.
  Status Size() {
    FUSEE_TRY(Record(1));
    // Twice: one copy alone is timed with its launch, and would ask for too few.
    for (int turn = 0; turn < 2; ++turn) {
      FUSEE_TRY(const double one, Microseconds());
      const double wanted = std::ceil(kRegionMicroseconds / std::max(one, 1e-3));
      // All sets of weights in one region, as long as that is not much longer than a region: a slow
      // candidate is known to be slow after a few copies.
      const double sets = std::min(static_cast<double>(sets_.inputs.size()), kLongRegions * wanted);
      const auto copies = static_cast<size_t>(
          std::clamp(std::max(wanted, sets), 1.0, static_cast<double>(kCopiesMax)));
      if (copies <= copies_) return OkStatus();
      FUSEE_TRY(Record(copies));
    }
    return OkStatus();
  }

  Result<double> Microseconds() override {
    const auto copies = static_cast<double>(copies_);
    if (graph_ == nullptr) {
      const TimePoint start = bench_.where().clock->Now();
      FUSEE_TRY(RunCopies());
      return static_cast<double>((bench_.where().clock->Now() - start).count()) / 1e3 / copies;
    }
    DeviceQueue& queue = *bench_.queue();
    FUSEE_TRY(queue.MarkStart());
    FUSEE_TRY(queue.Launch(*graph_));
    FUSEE_TRY(queue.MarkStop());
    FUSEE_TRY(const double us, queue.ElapsedMicroseconds());
    FUSEE_TRY(queue.Synchronize());
    return us / copies;
  }

 private:
  Status RunCopies() {
    for (size_t i = 0; i < copies_; ++i) FUSEE_TRY(bench_.RunOnce(kernel_, sets_, i));
    return OkStatus();
  }

  Status Record(size_t copies) {
    copies_ = copies;
    DeviceQueue* queue = bench_.queue();
    if (queue == nullptr) return OkStatus();
    FUSEE_TRY(queue->BeginCapture());
    if (Status status = RunCopies(); !status.ok()) {
      queue->AbandonCapture();
      return status;
    }
    FUSEE_TRY(graph_, queue->EndCapture());
    return OkStatus();
  }

  BenchImpl& bench_;
  const ops::BoundKernel& kernel_;
  const Sets& sets_;
  size_t copies_ = 1;
  std::unique_ptr<DeviceGraph> graph_;  // null on the CPU
};

Result<std::unique_ptr<Contestant>> BenchImpl::Prepare(size_t candidate) {
  auto& bound = *bound_[candidate];
  if (!bound.ok()) return bound.status();
  FUSEE_TRY(const Sets* sets, SetsOf(problem_.candidates[candidate].packing));
  FUSEE_TRY(WarmUp(**bound, *sets));
  auto region = std::make_unique<TimedRegion>(*this, **bound, *sets);
  FUSEE_TRY(region->Size());
  return std::unique_ptr<Contestant>(std::move(region));
}

}  // namespace

Result<std::unique_ptr<Bench>> Bench::Create(const Problem& problem, const Environment& where) {
  auto bench = std::make_unique<BenchImpl>(problem, where);
  FUSEE_TRY(bench->Init());
  return std::unique_ptr<Bench>(std::move(bench));
}

}  // namespace fusee::tune
