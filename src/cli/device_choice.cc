#include "cli/device_choice.h"

#include "ops/module.h"

namespace fusee::cli {

Status CheckDeviceName(const std::string& name) {
  return name.empty() ? OkStatus() : ops::ParseDeviceName(name).status();
}

Result<DeviceChoice> OpenDevice(const std::string& name) {
  FUSEE_TRY(const ops::DeviceName parsed, ops::ParseDeviceName(name));
  DeviceChoice choice;
  if (parsed.kind == DeviceKind::kCpu) return choice;
  FUSEE_TRY(const ops::DeviceModule* module, ops::LoadDeviceModule(parsed.kind));
  FUSEE_TRY(choice.device, module->open(parsed.ordinal));
  choice.kernels = module->kernels;
  return choice;
}

plan::GpuFacts FactsOf(const DeviceInfo& info) {
  plan::GpuFacts facts;
  facts.name = info.name;
  facts.compute_capability = info.compute_capability;
  facts.multiprocessors = info.multiprocessors;
  facts.driver_version = info.driver_version;
  facts.memory_bytes = info.memory_free_bytes;
  if (info.cublaslt_version != 0) facts.libraries.push_back({"cublaslt", info.cublaslt_version});
  if (info.cudnn_version != 0) facts.libraries.push_back({"cudnn", info.cudnn_version});
  return facts;
}

}  // namespace fusee::cli
