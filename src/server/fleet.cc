#include "server/fleet.h"

namespace fusee::server {

SingleDevice::SingleDevice(ipc::Executor* executor, DeviceInfo info)
    : executor_(executor), info_(std::move(info)), memory_(ipc::HeapMemory()) {}

void SingleDevice::LoadAll(std::span<const ModelSource> models,
                           const std::function<bool(size_t, std::vector<KindModel>)>& settled) {
  listener_->OnDeviceReady(0, held_, {});
  for (size_t i = 0; i < models.size(); ++i) {
    std::vector<KindModel> kinds;
    for (const ModelSource::Plan& plan : models[i].plans) {
      if (plan.kind != info_.kind) continue;
      kinds.push_back({info_.kind, executor_->Load(plan.path, models[i].name, models[i].version)});
      if (!kinds.back().model.ok()) continue;
      held_.push_back(kinds.back().model->get());
      listener_->OnDeviceReady(0, held_, {});
    }
    if (!settled(i, std::move(kinds))) return;
  }
}

}  // namespace fusee::server
