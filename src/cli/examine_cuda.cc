#include "cli/examine_cuda.h"

#include <fmt/format.h>

#include "compiler/report.h"
#include "ops/module.h"

namespace fusee::cli {
namespace {

constexpr int kDevicesShown = 16;

// "13.1.0 (130100)": both libraries count alike.
std::string VersionText(uint64_t version) {
  if (version == 0) return "cannot be loaded (FUSEE_CUDA_LIBRARY_PATH names folders to look in)";
  return fmt::format("{}.{}.{} ({})", version / 10000, version % 10000 / 100, version % 100,
                     version);
}

std::string DeviceText(const DeviceInfo& info) {
  return fmt::format("{}, compute capability {}.{}, {} multiprocessors, {} of {} free", info.name,
                     info.compute_capability / 10, info.compute_capability % 10,
                     info.multiprocessors, compiler::FormatBytes(info.memory_free_bytes),
                     compiler::FormatBytes(info.memory_bytes));
}

}  // namespace

std::vector<Examined> ExamineCuda() {
  std::vector<Examined> list;
  const auto add = [&](std::string name, std::string value) {
    list.push_back({std::move(name), std::move(value), Health::kOk, ""});
  };
  auto module = ops::LoadDeviceModule(DeviceKind::kCuda);
  if (!module.ok()) {
    add("cuda-module", "not loaded: " + module.status().message());
    return list;
  }
  add("cuda-module", fmt::format("loaded, {} kernels", (*module)->kernels->all().size()));
  auto count = (*module)->device_count();
  if (!count.ok()) {
    add("cuda-devices", "none: " + count.status().message());
    return list;
  }
  add("cuda-devices", fmt::format("{}", *count));
  for (int i = 0; i < std::min(*count, kDevicesShown); ++i) {
    auto device = (*module)->open(i);
    const std::string name = fmt::format("cuda:{}", i);
    add(name, device.ok() ? DeviceText((*device)->info()) : device.status().message());
    if (i > 0 || !device.ok()) continue;
    const DeviceInfo& info = (*device)->info();
    add("cuda-driver",
        fmt::format("CUDA {}.{}", info.driver_version / 1000, info.driver_version % 1000 / 10));
    add("cublaslt", VersionText(info.cublaslt_version));
    add("cudnn", VersionText(info.cudnn_version));
  }
  return list;
}

}  // namespace fusee::cli
