#include "device/control_groups.h"

#include <algorithm>
#include <charconv>

#include "base/system_file.h"

namespace fusee {
namespace {

using Look = std::function<void(const std::string&, GroupVersion)>;

constexpr int kDepthMax = 64;  // deeper groups are not looked at

void LookUpwards(const std::string& mount, std::string path, GroupVersion version,
                 const Look& look) {
  for (int depth = 0; depth < kDepthMax; ++depth) {
    look(mount + path, version);
    const size_t slash = path.find_last_of('/');
    if (slash == std::string::npos) return;
    path.erase(slash);
  }
}

}  // namespace

void ForEachControlGroup(const std::string& root, std::string_view controller, const Look& look) {
  const std::string mount = root + "/sys/fs/cgroup";
  const std::string mount_v1 = mount + "/" + std::string(controller);
  const std::string wanted = "," + std::string(controller) + ",";
  const std::string groups = ReadSystemFile(root + "/proc/self/cgroup");
  bool seen_v1 = false, seen_v2 = false;
  for (std::string_view rest = groups; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    // "0::/user.slice", or "4:cpu,cpuacct:/docker/abc"
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string controllers =
        "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    std::string path(line.substr(second + 1));
    // A path with ".." lies outside this process's view of the tree: its mount stands for it.
    if (path == "/" || path.find("..") != std::string::npos) path.clear();
    if (controllers == ",,") {
      LookUpwards(mount, path, GroupVersion::kV2, look);
      seen_v2 = true;
    } else if (controllers.find(wanted) != std::string::npos) {
      LookUpwards(mount_v1, path, GroupVersion::kV1, look);
      seen_v1 = true;
    }
  }
  // A sandbox may show the limits and hide the list of groups.
  if (!seen_v2) look(mount, GroupVersion::kV2);
  if (!seen_v1) look(mount_v1, GroupVersion::kV1);
}

std::optional<uint64_t> LeadingNumber(std::string_view text) {
  uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop == text.data()) return std::nullopt;
  return value;
}

}  // namespace fusee
