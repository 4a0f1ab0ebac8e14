#include "compiler/target.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/build.h"
#include "ops/module.h"

namespace fusee::compiler {
namespace {

// Weights of a model as a whole do not fit a core's caches; more than this is rotated over twice.
constexpr uint64_t kCpuCacheBytes = uint64_t{8} << 20;

uint64_t LibraryVersion(const DeviceInfo& info, std::string_view name) {
  return name == "cublaslt" ? info.cublaslt_version : name == "cudnn" ? info.cudnn_version : 0;
}

// Why a device is not the one a lockfile's plan was made on; empty when it is.
std::string Difference(const DeviceInfo& info, const plan::GpuTarget& want) {
  if (info.compute_capability != want.compute_capability)
    return fmt::format("compute capability {}, the lockfile's is {}", info.compute_capability,
                       want.compute_capability);
  if (info.multiprocessors != want.multiprocessors)
    return fmt::format("{} multiprocessors, the lockfile's has {}", info.multiprocessors,
                       want.multiprocessors);
  if (info.driver_version < want.driver_min)
    return fmt::format("driver {}, the lockfile's plan needs {}", info.driver_version,
                       want.driver_min);
  for (const plan::PinnedLibrary& l : want.libraries) {
    if (LibraryVersion(info, l.name) != l.version)
      return fmt::format("{} {}, the lockfile's is {}", l.name, LibraryVersion(info, l.name),
                         l.version);
  }
  return "";
}

Status CheckOptions(const BuildOptions& options, DeviceKind kind) {
  if (kind == DeviceKind::kCpu && options.allow_cpu_steps)
    return InvalidArgument("--allow-cpu-steps has no effect on a plan for the CPU; leave it out");
  if (kind == DeviceKind::kCpu && options.allow_tf32)
    return InvalidArgument("--allow-tf32 has no effect on a plan for the CPU; leave it out");
  if (kind != DeviceKind::kCpu && options.reference_tactics) {
    return InvalidArgument(
        "--reference-tactics names the CPU's plain kernels; build with --device cpu");
  }
  return OkStatus();
}

Status FindDevice(const BuildOptions& options, const ops::DeviceName& name, BuildTarget* target) {
  if (options.device_override) {
    target->kernels = options.device_override->kernels;
    target->device = options.device_override->device;
    if (target->device == nullptr) target->absent = "no device here";
    return OkStatus();
  }
  auto module = ops::LoadDeviceModule(name.kind);
  if (!module.ok()) return std::move(module).status();
  target->kernels = (*module)->kernels;
  auto device = (*module)->open(name.ordinal);
  if (!device.ok()) {
    target->absent = device.status().message();
    return OkStatus();
  }
  target->opened = std::move(*device);
  target->device = target->opened.get();
  return OkStatus();
}

}  // namespace

Result<BuildTarget> OpenTarget(const BuildOptions& options, const plan::GpuTarget* locked) {
  FUSEE_TRY(const ops::DeviceName name, ops::ParseDeviceName(options.device));
  FUSEE_TRY(CheckOptions(options, name.kind));
  BuildTarget target;
  target.kind = name.kind;
  if (name.kind == DeviceKind::kCpu) return target;
  if (Status status = FindDevice(options, name, &target); !status.ok()) {
    return std::move(status).Annotate(fmt::format(
        "device '{}': its kernels are needed also to rebuild from a lockfile", options.device));
  }
  if (locked != nullptr && target.device != nullptr) {
    target.absent = Difference(target.device->info(), *locked);
    if (!target.absent.empty()) target.device = nullptr;
  }
  if (locked == nullptr && target.device == nullptr) {
    return Unavailable(
        fmt::format("device '{}': {}; build where there is one, or rebuild a plan made there with "
                    "--locked PLAN.lock",
                    options.device, target.absent));
  }
  return target;
}

plan::GpuTarget DescribeGpu(const DeviceInfo& info, const std::vector<SelectedNode>& selection) {
  plan::GpuTarget gpu;
  gpu.name = info.name.substr(0, plan::kMaxGpuNameBytes);
  gpu.compute_capability = info.compute_capability;
  gpu.multiprocessors = info.multiprocessors;
  gpu.driver_min = info.driver_version / 1000 * 1000;  // any of the same major version
  const auto pin = [&](const ops::KernelDef* kernel) {
    if (kernel == nullptr || kernel->library.empty()) return;
    const bool known = std::ranges::any_of(
        gpu.libraries, [&](const plan::PinnedLibrary& l) { return l.name == kernel->library; });
    const uint64_t version = LibraryVersion(info, kernel->library);
    if (!known && version != 0) gpu.libraries.push_back({std::string(kernel->library), version});
  };
  for (const SelectedNode& s : selection) {
    pin(s.kernel);
    for (const BucketChoice& choice : s.bucket_tactics) pin(choice.kernel);
  }
  std::ranges::sort(gpu.libraries, {}, &plan::PinnedLibrary::name);
  return gpu;
}

tune::Environment TuningEnvironment(const BuildTarget& target, Isa isa, Parallel* parallel,
                                    const Clock& clock) {
  tune::Environment where{target.device, parallel, &clock, kCpuCacheBytes, ""};
  if (target.device == nullptr) {
    where.key = fmt::format("cpu {}, {}, {} threads, fusee {}", HostCpu().brand, IsaName(isa),
                            parallel->width(), BuilderVersion());
    return where;
  }
  const DeviceInfo& info = target.device->info();
  where.cache_bytes = info.l2_bytes;
  where.key = fmt::format(
      "{} {}, capability {}, {} multiprocessors, driver {}, cublaslt {}, cudnn {}, fusee {}",
      DeviceKindName(info.kind), info.name, info.compute_capability, info.multiprocessors,
      info.driver_version, info.cublaslt_version, info.cudnn_version, BuilderVersion());
  return where;
}

}  // namespace fusee::compiler
