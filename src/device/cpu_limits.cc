#include "device/cpu_limits.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "base/system_file.h"
#include "device/control_groups.h"

namespace fusee {
namespace {

constexpr double kCpusMax = 1 << 20;

// quota: "max", -1 or a number; anything but a number above 0 is no limit.
std::optional<double> Ratio(std::string_view quota_us, std::string_view period_us) {
  const auto quota = LeadingNumber(quota_us);
  const auto period = LeadingNumber(period_us);
  if (!quota || !period || *quota == 0 || *period == 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<double> QuotaOfFolder(const std::string& folder, GroupVersion version) {
  if (version == GroupVersion::kV1) {
    return Ratio(ReadSystemFile(folder + "/cpu.cfs_quota_us"),
                 ReadSystemFile(folder + "/cpu.cfs_period_us"));
  }
  const std::string text = ReadSystemFile(folder + "/cpu.max");  // "150000 100000"
  const size_t blank = std::min(text.find(' '), text.size());
  const std::string_view period = std::string_view(text).substr(std::min(blank + 1, text.size()));
  return Ratio(text, period);
}

}  // namespace

std::optional<double> CgroupCpuQuota(const std::string& root) {
  std::optional<double> tightest;
  ForEachControlGroup(root, "cpu", [&](const std::string& folder, GroupVersion version) {
    const auto quota = QuotaOfFolder(folder, version);
    if (quota && (!tightest || *quota < *tightest)) tightest = quota;
  });
  return tightest;
}

int AllowedCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // More than 1024 CPUs make the call fail; then the online count stands in.
  return ::sched_getaffinity(0, sizeof(set), &set) == 0
             ? CPU_COUNT(&set)
             : static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
}

int UsableCpus() {
  const double quota = CgroupCpuQuota().value_or(kCpusMax);
  const auto by_quota = static_cast<int>(std::ceil(std::min(quota, kCpusMax)));
  return std::max(1, std::min(AllowedCpus(), by_quota));
}

}  // namespace fusee
