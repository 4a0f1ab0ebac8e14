#include "device/memory_limits.h"

#include <unistd.h>

#include <algorithm>
#include <limits>

#include "base/system_file.h"
#include "device/control_groups.h"

namespace fusee {
namespace {

// cgroup v1 writes "no limit" as a number near 2^63.
constexpr uint64_t kNoLimitBytes = uint64_t{1} << 60;

// The number after "key" at the start of a line; 0 when absent.
uint64_t ValueOf(std::string_view text, std::string_view key) {
  for (size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    const size_t digit = text.find_first_not_of(' ', at + key.size());
    return digit == std::string_view::npos ? 0 : LeadingNumber(text.substr(digit)).value_or(0);
  }
  return 0;
}

uint64_t LeftOf(uint64_t limit, uint64_t used) { return limit - std::min(limit, used); }

// Names of one control group version's files, and of the cache's keys in its memory.stat.
struct Dialect {
  const char* limit;
  const char* used;
  const char* cache[2];
};
constexpr Dialect kV2{"/memory.max", "/memory.current", {"inactive_file ", "active_file "}};
constexpr Dialect kV1{"/memory.limit_in_bytes",
                      "/memory.usage_in_bytes",
                      {"total_inactive_file ", "total_active_file "}};

void LookAtFolder(const std::string& folder, const Dialect& names, MemoryLimits* limits) {
  const std::optional<uint64_t> limit = ParseMemoryLimit(ReadSystemFile(folder + names.limit));
  if (!limit) return;
  const std::string stat = ReadSystemFile(folder + "/memory.stat");
  uint64_t used = LeadingNumber(ReadSystemFile(folder + names.used)).value_or(0);
  for (const char* key : names.cache) used = LeftOf(used, ValueOf(stat, key));
  if (!limits->cgroup_limit_bytes ||
      LeftOf(*limit, used) < LeftOf(*limits->cgroup_limit_bytes, limits->cgroup_used_bytes)) {
    limits->cgroup_limit_bytes = limit;
    limits->cgroup_used_bytes = used;
  }
}

}  // namespace

uint64_t MeminfoCount(std::string_view text, std::string_view key) {
  return ValueOf(text, std::string(key) + ":");
}

uint64_t MeminfoBytes(std::string_view text, std::string_view key) {
  const uint64_t kib = MeminfoCount(text, key);
  return kib > std::numeric_limits<uint64_t>::max() / 1024 ? 0 : kib * 1024;
}

std::optional<uint64_t> ParseMemoryLimit(std::string_view text) {
  const auto limit = LeadingNumber(text);
  return limit && *limit < kNoLimitBytes ? limit : std::nullopt;
}

uint64_t MemoryLimits::usable_bytes() const {
  if (!cgroup_limit_bytes) return available_bytes;
  const uint64_t left = LeftOf(*cgroup_limit_bytes, cgroup_used_bytes);
  return available_bytes == 0 ? left : std::min(left, available_bytes);
}

MemoryLimits ReadMemoryLimits(const std::string& root) {
  MemoryLimits limits;
  const std::string meminfo = ReadSystemFile(root + "/proc/meminfo");
  limits.total_bytes = MeminfoBytes(meminfo, "MemTotal");
  limits.available_bytes = MeminfoBytes(meminfo, "MemAvailable");
  ForEachControlGroup(root, "memory", [&](const std::string& folder, GroupVersion version) {
    LookAtFolder(folder, version == GroupVersion::kV2 ? kV2 : kV1, &limits);
  });
  return limits;
}

uint64_t UsableMemoryBytes() {
  const MemoryLimits limits = ReadMemoryLimits();
  if (limits.known()) return limits.usable_bytes();
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace fusee
