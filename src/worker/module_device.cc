#include "worker/module_device.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "base/fault.h"
#include "runtime/runtime.h"
#include "worker/golden_runs.h"
#include "worker/plan_metadata.h"

namespace fusee::worker {
namespace {

// A plan on the device with one context.
class ModuleModel final : public WorkerModel {
 public:
  ModuleModel(Device* device, std::shared_ptr<const runtime::LoadedPlan> plan,
              std::unique_ptr<runtime::Context> context, const std::string& name, int64_t version)
      : info_(DescribePlan(plan->plan(), name, version)),
        shapes_(DescribeShapes(plan->plan())),
        device_(device),
        plan_(std::move(plan)),
        context_(std::move(context)),
        golden_(context_.get()) {
    info_.memory_bytes = plan_->context_bytes() + plan_->plan().weights.size();
    info_.plan_digest = ToHex(Sha256(plan_->file_bytes()));
    inputs_.reserve(context_->pieces_max());
    outputs_.reserve(context_->pieces_max());
  }

  const ipc::ModelInfo& info() const override { return info_; }
  const ipc::ShapeProgram& shapes() const override { return shapes_; }
  Status Run(std::span<ipc::BatchItem> items, const Clock& clock, ipc::BatchResult* times) override;
  Result<std::optional<WrongBits>> ReplayGolden(const Clock& clock) override {
    return AsWrongBits(golden_.ReplayAll(clock));
  }
  bool can_probe() const override { return golden_.can_probe(); }
  Result<std::optional<WrongBits>> ProbeGolden() override { return AsWrongBits(golden_.Probe()); }

 private:
  Status Bind(std::span<ipc::BatchItem> items);

  ipc::ModelInfo info_;
  ipc::ShapeProgram shapes_;
  Device* const device_;
  std::shared_ptr<const runtime::LoadedPlan> plan_;
  std::unique_ptr<runtime::Context> context_;
  GoldenRuns golden_;                        // of the context
  std::vector<runtime::InputPiece> inputs_;  // of one tensor while it is bound
  std::vector<runtime::OutputPiece> outputs_;
};

// Every tensor's pieces, one an item. The device copies them inside the graph.
Status ModuleModel::Bind(std::span<ipc::BatchItem> items) {
  for (size_t i = 0; i < info_.inputs.size(); ++i) {
    Shape shape = items[0].inputs[i].shape;
    for (size_t k = 1; k < items.size(); ++k) shape[0] += items[k].inputs[i].shape[0];
    FUSEE_TRY(context_->SetInputShape(i, shape));
    if (items.size() == 1) {
      const ConstTensorView& view = items[0].inputs[i];
      FUSEE_TRY(context_->BindInput(i, view.data, static_cast<size_t>(view.size_bytes())));
      continue;
    }
    inputs_.clear();
    for (const ipc::BatchItem& item : items) inputs_.push_back(item.inputs[i].bytes());
    FUSEE_TRY(context_->BindInputPieces(i, inputs_));
  }
  // The last batch's pieces are of other sizes.
  for (size_t o = 0; o < info_.outputs.size(); ++o) FUSEE_TRY(context_->BindOutput(o, nullptr, 0));
  FUSEE_TRY(context_->Prepare());
  for (size_t o = 0; o < info_.outputs.size(); ++o) {
    const Shape& shape = context_->output(o).shape;
    if (items.size() == 1) {
      TensorView& to = items[0].outputs[o];
      const auto room = static_cast<size_t>(to.size_bytes());
      to.shape = shape;
      if (static_cast<size_t>(to.size_bytes()) > room) {
        return Internal(
            fmt::format("output '{}': the run gives {}, the request has room for {} bytes",
                        info_.outputs[o].name, shape.ToString(), room));
      }
      FUSEE_TRY(context_->BindOutput(o, to.data, room));
      continue;
    }
    outputs_.clear();
    for (ipc::BatchItem& item : items) outputs_.push_back(item.outputs[o].bytes());
    FUSEE_TRY(context_->BindOutputPieces(o, outputs_));
  }
  return OkStatus();
}

Status ModuleModel::Run(std::span<ipc::BatchItem> items, const Clock& clock,
                        ipc::BatchResult* times) {
  const TimePoint start = clock.Now();
  if (fault::Hit(fault::Point::kDevice) == fault::Effect::kSticky) {
    FUSEE_TRY(const auto queue, device_->CreateQueue());
    FUSEE_TRY(device_->InjectStickyFault(*queue));
  }
  FUSEE_TRY(Bind(items));
  const TimePoint bound = clock.Now();
  FUSEE_TRY(context_->Run());
  times->gather = bound - start;
  times->compute = clock.Now() - bound;  // gather and scatter are part of the graph
  times->scatter = {};
  if (fault::Hit(fault::Point::kScatter) == fault::Effect::kWrong && !items[0].outputs.empty() &&
      items[0].outputs[0].size_bytes() > 0) {
    static_cast<std::byte*>(items[0].outputs[0].data)[0] ^= std::byte{1};
  }
  return OkStatus();
}

// What makes a device absent rather than broken: the front then asks again later.
Status AsAbsent(Status status) {
  if (status.code() != StatusCode::kUnavailable) return status;
  return NotFound(status.message());
}

}  // namespace

Result<std::unique_ptr<ModuleDevice>> ModuleDevice::Open(const ops::DeviceName& name, bool marks) {
  auto module = ops::LoadDeviceModule(name.kind);
  if (!module.ok()) return AsAbsent(std::move(module).status());
  auto device = (*module)->open(name.ordinal);
  if (!device.ok()) return AsAbsent(std::move(device).status());
  auto result = std::make_unique<ModuleDevice>(device->get(), (*module)->kernels, marks);
  result->owned_ = std::move(*device);
  return result;
}

std::string ModuleDevice::description() const {
  const DeviceInfo& info = device_->info();
  return fmt::format("{}, driver {}.{}, {} of {} MiB free", info.name, info.driver_version / 1000,
                     info.driver_version % 1000 / 10, info.memory_free_bytes >> 20,
                     info.memory_bytes >> 20);
}

Status ModuleDevice::BindRequestMemory(std::span<const std::byte> inputs,
                                       std::span<std::byte> outputs) {
  for (const std::span<const std::byte> memory : {inputs, std::span<const std::byte>(outputs)}) {
    if (memory.empty()) continue;
    FUSEE_TRY(auto registered,
              device_->RegisterHost(const_cast<std::byte*>(memory.data()), memory.size()));
    host_memory_.push_back(registered.get());
    registered_.push_back(std::move(registered));
  }
  return OkStatus();
}

Result<std::unique_ptr<WorkerModel>> ModuleDevice::Load(const std::string& path,
                                                        const std::string& name, int64_t version) {
  FUSEE_TRY(auto plan, runtime::LoadedPlan::Load(path, {.replay_golden = false,
                                                        .allow_unverified = true,
                                                        .device = device_,
                                                        .kernels = kernels_}));
  FUSEE_TRY(auto context,
            runtime::Context::Create(plan, {.marks = marks_, .host_memory = host_memory_}));
  return std::unique_ptr<WorkerModel>(
      std::make_unique<ModuleModel>(device_, std::move(plan), std::move(context), name, version));
}

}  // namespace fusee::worker
