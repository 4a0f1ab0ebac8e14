#include "worker/in_process_executor.h"

#include <fmt/format.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "base/digest.h"
#include "worker/plan_metadata.h"

namespace fusee::worker {
namespace {

class LoadedModel final : public ipc::Model {
 public:
  LoadedModel(ipc::ModelInfo info, std::shared_ptr<const runtime::LoadedPlan> plan,
              std::unique_ptr<runtime::Context> context)
      : info_(std::move(info)), plan_(std::move(plan)), context_(std::move(context)) {}

  const ipc::ModelInfo& info() const override { return info_; }
  Status OutputShapes(std::span<const Shape> inputs, std::span<Shape> outputs) const override {
    return PlanOutputShapes(plan_->plan(), inputs, outputs);
  }

  // Of the executor's thread only.
  Status Run(std::span<ipc::BatchItem> items, const Clock& clock, ipc::BatchResult* times) const;

 private:
  Status Gather(std::span<ipc::BatchItem> items) const;
  Status Scatter(std::span<ipc::BatchItem> items) const;

  const ipc::ModelInfo info_;
  const std::shared_ptr<const runtime::LoadedPlan> plan_;  // shared with the context
  const std::unique_ptr<runtime::Context> context_;
};

Status LoadedModel::Gather(std::span<ipc::BatchItem> items) const {
  for (size_t i = 0; i < info_.inputs.size(); ++i) {
    Shape shape = items[0].inputs[i].shape;
    for (size_t k = 1; k < items.size(); ++k) shape[0] += items[k].inputs[i].shape[0];
    FUSEE_TRY(context_->SetInputShape(i, shape));
  }
  for (size_t i = 0; i < info_.inputs.size(); ++i) {
    const TensorView input = context_->input(i);
    auto* to = static_cast<std::byte*>(input.data);
    auto left = static_cast<size_t>(input.size_bytes());
    for (const ipc::BatchItem& item : items) {
      const auto bytes = static_cast<size_t>(item.inputs[i].size_bytes());
      if (bytes > left)
        return Internal(
            fmt::format("input '{}': the batch's rows do not add up", info_.inputs[i].name));
      if (bytes > 0) std::memcpy(to, item.inputs[i].data, bytes);
      to += bytes;
      left -= bytes;
    }
  }
  return OkStatus();
}

Status LoadedModel::Scatter(std::span<ipc::BatchItem> items) const {
  for (size_t o = 0; o < info_.outputs.size(); ++o) {
    const ConstTensorView output = context_->output(o);
    const auto* from = static_cast<const std::byte*>(output.data);
    auto left = static_cast<size_t>(output.size_bytes());
    for (ipc::BatchItem& item : items) {
      TensorView& to = item.outputs[o];
      const auto room = static_cast<size_t>(to.size_bytes());
      // Alone, the run decides the shape: values of an input may have made it smaller than its
      // bound.
      if (items.size() == 1) to.shape = output.shape;
      const auto bytes = static_cast<size_t>(to.size_bytes());
      if (bytes > left || bytes > room) {
        return Internal(
            fmt::format("output '{}': the run gave {}, the request has room for {} bytes",
                        info_.outputs[o].name, Describe(output.dtype, output.shape), room));
      }
      if (bytes > 0) std::memcpy(to.data, from, bytes);
      from += bytes;
      left -= bytes;
    }
  }
  return OkStatus();
}

Status LoadedModel::Run(std::span<ipc::BatchItem> items, const Clock& clock,
                        ipc::BatchResult* times) const {
  const TimePoint start = clock.Now();
  FUSEE_TRY(Gather(items));
  const TimePoint gathered = clock.Now();
  FUSEE_TRY(context_->Run());
  const TimePoint computed = clock.Now();
  FUSEE_TRY(Scatter(items));
  times->gather = gathered - start;
  times->compute = computed - gathered;
  times->scatter = clock.Now() - computed;
  return OkStatus();
}

}  // namespace

struct InProcessExecutor::State {
  InProcessOptions options;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::pair<ipc::Batch, ipc::BatchListener*>>
      queue;              // guarded by mutex; the scheduler keeps it short
  bool stopping = false;  // guarded by mutex
  std::thread thread;

  void Loop() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return stopping || !queue.empty(); });
      if (queue.empty()) return;
      const auto [batch, listener] = queue.front();
      queue.pop_front();
      lock.unlock();
      ipc::BatchResult result{.id = batch.id};
      result.status =
          static_cast<const LoadedModel*>(batch.model)->Run(batch.items, SteadyClock(), &result);
      listener->OnBatchDone(std::move(result));
      lock.lock();
    }
  }
};

InProcessExecutor::InProcessExecutor(const InProcessOptions& options)
    : state_(std::make_unique<State>()) {
  state_->options = options;
  state_->thread = std::thread([state = state_.get()] { state->Loop(); });
}

InProcessExecutor::~InProcessExecutor() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

Result<std::shared_ptr<const ipc::Model>> InProcessExecutor::Load(const std::string& path,
                                                                  const std::string& name,
                                                                  int64_t version) {
  auto plan = runtime::LoadedPlan::Load(path, {.replay_golden = state_->options.replay_golden,
                                               .allow_unverified = true,
                                               .parallel = state_->options.parallel});
  if (!plan.ok()) return std::move(plan).status();
  // SHA-256 of the file, as `fusee build` prints it and sha256sum computes it; of the bytes that
  // were loaded, since the path may name another file by now.
  std::string digest = ToHex(Sha256((*plan)->file_bytes()));
  return Adopt(std::move(*plan), name, version, std::move(digest));
}

Result<std::shared_ptr<const ipc::Model>> InProcessExecutor::Adopt(
    std::shared_ptr<const runtime::LoadedPlan> plan, const std::string& name, int64_t version,
    std::string digest) {
  FUSEE_TRY(auto context, runtime::Context::Create(plan, {.parallel = state_->options.parallel}));
  ipc::ModelInfo info = DescribePlan(plan->plan(), name, version);
  info.memory_bytes = plan->context_bytes() + plan->plan().weights.size();
  info.plan_digest = std::move(digest);
  return std::shared_ptr<const ipc::Model>(
      std::make_shared<LoadedModel>(std::move(info), std::move(plan), std::move(context)));
}

void InProcessExecutor::Execute(const ipc::Batch& batch, ipc::BatchListener* listener) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->queue.emplace_back(batch, listener);
  }
  state_->changed.notify_one();
}

}  // namespace fusee::worker
