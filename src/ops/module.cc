#include "ops/module.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace fusee::ops {
namespace {

// The folder of this program, or empty when the system does not say.
std::string ProgramFolder() {
  std::array<char, 4096> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (length <= 0) return "";
  const std::string text(path.data(), static_cast<size_t>(length));
  return text.substr(0, text.rfind('/'));
}

std::vector<std::string> Candidates(const std::string& file) {
  std::vector<std::string> paths;
  if (const char* folder = std::getenv("FUSEE_MODULE_PATH"); folder != nullptr && *folder != '\0') {
    paths.push_back(fmt::format("{}/{}", folder, file));
    return paths;  // who names a folder means that one
  }
  if (const std::string folder = ProgramFolder(); !folder.empty()) {
    paths.push_back(fmt::format("{}/{}", folder, file));
    paths.push_back(fmt::format("{}/../lib/{}", folder, file));
    paths.push_back(fmt::format("{}/../{}/{}", folder, FUSEE_INSTALL_LIBDIR, file));
  }
  return paths;
}

Result<const DeviceModule*> Load(const std::string& file) {
  std::string tried;
  for (const std::string& path : Candidates(file)) {
    // RTLD_LOCAL: two copies of this tree's own functions must not meet.
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* why = dlerror();
      tried += fmt::format("\n  {}: {}", path, why != nullptr ? why : "unknown error");
      continue;
    }
    void* const symbol = dlsym(library, kModuleSymbol);
    if (symbol == nullptr) {
      return FailedPrecondition(
          fmt::format("{} is no device module: it exports no '{}'", path, kModuleSymbol));
    }
    const DeviceModule* const module = reinterpret_cast<ModuleEntry>(symbol)();
    if (module->build_id != ModuleBuildId()) {
      return FailedPrecondition(
          fmt::format("{} is of build '{}', this program of '{}': install both from one build",
                      path, module->build_id, ModuleBuildId()));
    }
    return module;
  }
  return Unavailable(
      fmt::format("{} cannot be loaded; build with CUDA (preset cuda), or name its folder in "
                  "FUSEE_MODULE_PATH; tried:{}",
                  file, tried));
}

}  // namespace

std::string_view ModuleBuildId() { return FUSEE_MODULE_BUILD_ID; }

Result<const DeviceModule*> LoadDeviceModule(DeviceKind kind) {
  if (kind == DeviceKind::kCpu) return InvalidArgument("the CPU needs no device module");
  static std::mutex mutex;
  static Result<const DeviceModule*>* loaded =
      nullptr;  // guarded by mutex; there is one kind today
  const std::lock_guard lock(mutex);
  if (loaded == nullptr) {
    loaded =
        new Result<const DeviceModule*>(Load(fmt::format("libfusee_{}.so", DeviceKindName(kind))));
  }
  return *loaded;
}

Result<DeviceName> ParseDeviceName(std::string_view text) {
  if (text == "cpu") return DeviceName{};
  if (text == "cuda") return DeviceName{DeviceKind::kCuda, 0};
  constexpr std::string_view kPrefix = "cuda:";
  if (text.starts_with(kPrefix)) {
    const std::string_view number = text.substr(kPrefix.size());
    int ordinal = -1;
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), ordinal);
    if (error == std::errc() && end == number.data() + number.size() && ordinal >= 0)
      return DeviceName{DeviceKind::kCuda, ordinal};
  }
  return InvalidArgument(fmt::format("device '{}': expected cpu, cuda or cuda:N", text));
}

Result<OpenedDevice> OpenDevice(std::string_view name) {
  FUSEE_TRY(const DeviceName parsed, ParseDeviceName(name));
  OpenedDevice opened;
  if (parsed.kind == DeviceKind::kCpu) return opened;
  FUSEE_TRY(const DeviceModule* module, LoadDeviceModule(parsed.kind));
  FUSEE_TRY(opened.device, module->open(parsed.ordinal));
  opened.kernels = module->kernels;
  return opened;
}

}  // namespace fusee::ops
