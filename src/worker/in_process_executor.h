// The executor in this process: the runtime on one thread, batch after batch. For tests and for
// measuring what the process boundary costs; a server's batches run in worker processes.
#pragma once

#include <memory>
#include <string>

#include "ipc/executor.h"
#include "runtime/runtime.h"

namespace fusee::worker {

struct InProcessOptions {
  // Threads for kernels. Borrowed, outlives the executor, and must allow calls from several threads
  // (ThreadPool does): a plan may load while another runs. Null: the executor's thread alone.
  Parallel* parallel = nullptr;
  bool replay_golden = true;  // at load: run the certificate's golden inputs and compare
};

// Thread-safe. Its destructor finishes the batches it was given.
class InProcessExecutor final : public ipc::Executor {
 public:
  explicit InProcessExecutor(const InProcessOptions& options = {});
  ~InProcessExecutor() override;

  Result<std::shared_ptr<const ipc::Model>> Load(const std::string& path, const std::string& name,
                                                 int64_t version) override;
  // The same from a plan that is loaded already; digest is shown to clients, or empty.
  Result<std::shared_ptr<const ipc::Model>> Adopt(std::shared_ptr<const runtime::LoadedPlan> plan,
                                                  const std::string& name, int64_t version,
                                                  std::string digest = {});
  void Execute(const ipc::Batch& batch, ipc::BatchListener* listener) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fusee::worker
