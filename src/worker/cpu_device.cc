#include "worker/cpu_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/digest.h"
#include "base/fault.h"
#include "device/cpu_limits.h"
#include "worker/plan_metadata.h"

namespace fusee::worker {

Result<std::unique_ptr<CpuModel>> CpuModel::Create(std::shared_ptr<const runtime::LoadedPlan> plan,
                                                   const std::string& name, int64_t version,
                                                   std::string digest, Parallel* parallel) {
  auto model = std::unique_ptr<CpuModel>(new CpuModel);
  FUSEE_TRY(model->context_, runtime::Context::Create(plan, {.parallel = parallel}));
  model->golden_.emplace(model->context_.get());
  model->info_ = DescribePlan(plan->plan(), name, version);
  model->info_.memory_bytes = plan->context_bytes() + plan->plan().weights.size();
  model->info_.plan_digest = std::move(digest);
  model->shapes_ = DescribeShapes(plan->plan());
  return model;
}

Result<std::unique_ptr<CpuModel>> CpuModel::Load(const std::string& path, const std::string& name,
                                                 int64_t version, bool replay_golden,
                                                 Parallel* parallel) {
  FUSEE_TRY(auto plan, runtime::LoadedPlan::Load(path, {.replay_golden = replay_golden,
                                                        .allow_unverified = true,
                                                        .parallel = parallel}));
  // SHA-256 of the file, as `fusee build` prints it and sha256sum computes it; of the bytes that
  // were loaded, since the path may name another file by now.
  std::string digest = ToHex(Sha256(plan->file_bytes()));
  return Create(std::move(plan), name, version, std::move(digest), parallel);
}

Status CpuModel::Gather(std::span<ipc::BatchItem> items) {
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

Status CpuModel::Scatter(std::span<ipc::BatchItem> items) {
  const bool wrong = fault::Hit(fault::Point::kScatter) == fault::Effect::kWrong;
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
      if (wrong && bytes > 0) static_cast<std::byte*>(to.data)[0] ^= std::byte{1};
      from += bytes;
      left -= bytes;
    }
  }
  return OkStatus();
}

Status CpuModel::Run(std::span<ipc::BatchItem> items, const Clock& clock, ipc::BatchResult* times) {
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

Result<std::optional<WrongBits>> CpuModel::ReplayGolden(const Clock& clock) {
  return AsWrongBits(golden_->ReplayAll(clock));
}
Result<std::optional<WrongBits>> CpuModel::ProbeGolden() { return AsWrongBits(golden_->Probe()); }

CpuDevice::CpuDevice(const DeviceOptions& options)
    : pool_({.width = options.threads > 0
                          ? options.threads
                          : std::max(1, UsableCpus() / std::max(1, options.sharers))}) {}

std::string CpuDevice::description() const { return fmt::format("{} threads", pool_.width()); }

Result<std::unique_ptr<WorkerModel>> CpuDevice::Load(const std::string& path,
                                                     const std::string& name, int64_t version) {
  FUSEE_TRY(auto model, CpuModel::Load(path, name, version, /*replay_golden=*/false, &pool_));
  return std::unique_ptr<WorkerModel>(std::move(model));
}

}  // namespace fusee::worker
