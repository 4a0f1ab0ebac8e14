// The CPU as a worker's device, and a plan on it.
#pragma once

#include <memory>
#include <string>

#include "device/thread_pool.h"
#include "runtime/runtime.h"
#include "worker/device.h"
#include "worker/golden_runs.h"

namespace fusee::worker {

// A loaded plan with one context. Rows of a batch are gathered into the context's input memory, the
// plan runs once, rows are scattered back: one copy in, one copy out, whatever the alignment of a
// request's bytes.
class CpuModel final : public WorkerModel {
 public:
  // parallel: borrowed, outlives the model; null: the running thread alone. Errors: those of
  // Context::Create. digest is shown to clients, or empty.
  static Result<std::unique_ptr<CpuModel>> Create(std::shared_ptr<const runtime::LoadedPlan> plan,
                                                  const std::string& name, int64_t version,
                                                  std::string digest, Parallel* parallel);
  // The same from a file; when asked to, golden runs are replayed and a difference is an error.
  static Result<std::unique_ptr<CpuModel>> Load(const std::string& path, const std::string& name,
                                                int64_t version, bool replay_golden,
                                                Parallel* parallel);

  const ipc::ModelInfo& info() const override { return info_; }
  const ipc::ShapeProgram& shapes() const override { return shapes_; }
  Status Run(std::span<ipc::BatchItem> items, const Clock& clock, ipc::BatchResult* times) override;
  Result<std::optional<WrongBits>> ReplayGolden(const Clock& clock) override;
  bool can_probe() const override { return golden_->can_probe(); }
  Result<std::optional<WrongBits>> ProbeGolden() override;

 private:
  CpuModel() = default;
  Status Gather(std::span<ipc::BatchItem> items);
  Status Scatter(std::span<ipc::BatchItem> items);

  ipc::ModelInfo info_;
  ipc::ShapeProgram shapes_;
  std::unique_ptr<runtime::Context> context_;
  std::optional<GoldenRuns> golden_;  // of the context
};

class CpuDevice final : public WorkerDevice {
 public:
  explicit CpuDevice(const DeviceOptions& options);
  std::string description() const override;
  Result<std::unique_ptr<WorkerModel>> Load(const std::string& path, const std::string& name,
                                            int64_t version) override;

 private:
  ThreadPool pool_;
};

}  // namespace fusee::worker
