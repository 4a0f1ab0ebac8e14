#include "cli/own_folder.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

namespace fusee::cli {

Result<std::string> CompanionPath(const std::string& name) {
  std::error_code error;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return Unavailable(fmt::format("/proc/self/exe: {}", error.message()));
  const auto path = own.parent_path() / name;
  if (!std::filesystem::exists(path, error)) {
    return NotFound(fmt::format("'{}' is missing; it belongs beside {}, install both",
                                path.string(), own.string()));
  }
  return path.string();
}

}  // namespace fusee::cli
