// Devices of the C ABI, and what fusee_plan_check asks of one.
#include <fmt/format.h>

#include "capi/give.h"
#include "capi/handles.h"
#include "ops/module.h"

namespace fusee::capi {

namespace {

Result<std::unique_ptr<fusee_device>> Open(std::string_view name) {
  FUSEE_TRY(ops::OpenedDevice opened, ops::OpenDevice(name));
  if (opened.device == nullptr) return std::unique_ptr<fusee_device>();
  auto handle = std::make_unique<fusee_device>();
  handle->device = std::move(opened.device);
  handle->kernels = opened.kernels;
  return handle;
}

}  // namespace
}  // namespace fusee::capi

extern "C" {

fusee_status* fusee_device_open(const char* name, fusee_device** out) noexcept {
  using fusee::capi::Give;
  if (name == nullptr || out == nullptr)
    return fusee::capi::NullArgument(name == nullptr ? "name" : "out");
  auto opened = fusee::capi::Open(name);
  if (!opened.ok()) return Give(std::move(opened).status());
  *out = opened->release();
  return nullptr;
}

void fusee_device_free(fusee_device* handle) noexcept { delete handle; }

fusee_status* fusee_device_get_info(const fusee_device* handle, fusee_device_info* out) noexcept {
  if (handle == nullptr) return fusee::capi::NullArgument("device");
  const fusee::DeviceInfo& from = handle->device->info();
  fusee_device_info info{};
  info.kind = fusee::DeviceKindName(from.kind).data();
  info.name = from.name.c_str();
  info.ordinal = from.ordinal;
  info.compute_capability = from.compute_capability;
  info.multiprocessors = from.multiprocessors;
  info.driver_version = from.driver_version;
  info.memory_bytes = from.memory_bytes;
  info.memory_free_bytes = from.memory_free_bytes;
  info.cublaslt_version = from.cublaslt_version;
  info.cudnn_version = from.cudnn_version;
  return fusee::capi::GiveInfo(info, out);
}

fusee_status* fusee_device_watch_driver(fusee_device* handle) noexcept {
  if (handle == nullptr) return fusee::capi::NullArgument("device");
  return fusee::capi::Give(handle->device->WatchDriver());
}

fusee_status* fusee_device_get_driver_calls(const fusee_device* handle,
                                            fusee_driver_calls* out) noexcept {
  if (handle == nullptr) return fusee::capi::NullArgument("device");
  const fusee::DriverCalls from = handle->device->driver_calls();
  return fusee::capi::GiveInfo(fusee_driver_calls{0, from.allocations, from.frees, from.code_loads},
                               out);
}

}  // extern "C"
