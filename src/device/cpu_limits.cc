#include "device/cpu_limits.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string_view>

#include "base/system_file.h"

namespace fusee {
namespace {

std::optional<int64_t> ParseInt(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

int CeilCpus(int64_t quota_us, int64_t period_us) {
  if (quota_us <= 0 || period_us <= 0) return 0;
  return static_cast<int>(std::clamp<int64_t>((quota_us - 1) / period_us + 1, 1, 1 << 20));
}

int LimitOfFolder(const std::string& folder) {
  const std::string v2 = ReadSystemFile(folder + "/cpu.max");  // "max 100000" or "150000 100000"
  if (const size_t space = v2.find(' '); space != std::string::npos) {
    const auto quota = ParseInt(std::string_view(v2).substr(0, space));
    const auto period = ParseInt(std::string_view(v2).substr(space + 1));
    return quota && period ? CeilCpus(*quota, *period) : 0;
  }
  const auto quota = ParseInt(ReadSystemFile(folder + "/cpu.cfs_quota_us"));
  const auto period = ParseInt(ReadSystemFile(folder + "/cpu.cfs_period_us"));
  return quota && period ? CeilCpus(*quota, *period) : 0;
}

// Limits of a group and all its ancestors below root.
int LimitOfPath(const std::string& root, std::string path) {
  int limit = 0;
  for (int depth = 0; depth < 64; ++depth) {
    if (const int here = LimitOfFolder(root + path); here > 0)
      limit = limit == 0 ? here : std::min(limit, here);
    const size_t slash = path.find_last_of('/');
    if (slash == std::string::npos || path.empty()) break;
    path.erase(slash);
  }
  return limit;
}

}  // namespace

int CgroupCpuLimit(const std::string& mount, const std::string& self_cgroup) {
  int limit = 0;
  std::string_view rest = self_cgroup;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line =
        rest.substr(0, end);  // "0::/user.slice", or "4:cpu,cpuacct:/docker/abc"
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string controllers =
        "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    std::string path(line.substr(second + 1));
    if (path == "/") path.clear();
    int here = 0;
    if (controllers == ",,")
      here = LimitOfPath(mount, path);
    else if (controllers.find(",cpu,") != std::string::npos)
      here = LimitOfPath(mount + "/cpu", path);
    if (here > 0) limit = limit == 0 ? here : std::min(limit, here);
  }
  return limit;
}

int UsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // More than 1024 CPUs make the call fail; then the online count stands in.
  const int by_affinity = ::sched_getaffinity(0, sizeof(set), &set) == 0
                              ? CPU_COUNT(&set)
                              : static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  const int by_quota = CgroupCpuLimit("/sys/fs/cgroup", ReadSystemFile("/proc/self/cgroup"));
  return std::max(1, by_quota > 0 ? std::min(by_affinity, by_quota) : by_affinity);
}

}  // namespace fusee
