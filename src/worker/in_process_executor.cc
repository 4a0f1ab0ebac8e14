#include "worker/in_process_executor.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "worker/cpu_device.h"

namespace fusee::worker {
namespace {

class LoadedModel final : public ipc::Model {
 public:
  explicit LoadedModel(std::unique_ptr<CpuModel> model) : model_(std::move(model)) {}
  const ipc::ModelInfo& info() const override { return model_->info(); }
  Status OutputShapes(std::span<const Shape> inputs, std::span<Shape> outputs) const override {
    return ipc::OutputShapes(model_->info(), model_->shapes(), inputs, outputs);
  }
  // Of the executor's thread only.
  CpuModel& on_device() const { return *model_; }

 private:
  const std::unique_ptr<CpuModel> model_;
};

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
      result.status = static_cast<const LoadedModel*>(batch.model)
                          ->on_device()
                          .Run(batch.items, SteadyClock(), &result);
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
  const InProcessOptions& options = state_->options;
  FUSEE_TRY(auto model,
            CpuModel::Load(path, name, version, options.replay_golden, options.parallel));
  return std::shared_ptr<const ipc::Model>(std::make_shared<LoadedModel>(std::move(model)));
}

Result<std::shared_ptr<const ipc::Model>> InProcessExecutor::Adopt(
    std::shared_ptr<const runtime::LoadedPlan> plan, const std::string& name, int64_t version,
    std::string digest) {
  FUSEE_TRY(auto model, CpuModel::Create(std::move(plan), name, version, std::move(digest),
                                         state_->options.parallel));
  return std::shared_ptr<const ipc::Model>(std::make_shared<LoadedModel>(std::move(model)));
}

void InProcessExecutor::Execute(const ipc::Batch& batch, ipc::BatchListener* listener) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->queue.emplace_back(batch, listener);
  }
  state_->changed.notify_one();
}

}  // namespace fusee::worker
