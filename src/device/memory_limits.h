// How many bytes of memory this process may really take.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fusee {

// What the machine and the control groups say. Whatever cannot be read stays at "unknown".
struct MemoryLimits {
  uint64_t total_bytes = 0;      // MemTotal; 0: unknown
  uint64_t available_bytes = 0;  // MemAvailable: free, or freed when asked for; 0: unknown
  // Of the control group with the least left (this process's own or an ancestor; version 1 or 2);
  // none: no limit. Used leaves out the file cache, which the kernel drops before it refuses.
  std::optional<uint64_t> cgroup_limit_bytes;
  uint64_t cgroup_used_bytes = 0;

  // Bytes this process can still take; 0 when nothing is known, or nothing is left.
  uint64_t usable_bytes() const;
  bool known() const { return available_bytes != 0 || cgroup_limit_bytes.has_value(); }
};

// Reads a few small files, about 100 us: call at load, not in a run. root stands before every path
// and is for tests. Thread-safe.
MemoryLimits ReadMemoryLimits(const std::string& root = "");

// usable_bytes of this machine now; its physical memory where the system tells no more. Another
// process may take the memory first: a bound for refusing early, not a reservation.
uint64_t UsableMemoryBytes();

// The pieces, pure, for any text.
uint64_t MeminfoBytes(std::string_view text, std::string_view key);  // "MemTotal"; 0 when absent
uint64_t MeminfoCount(std::string_view text, std::string_view key);  // "HugePages_Free"; the same
std::optional<uint64_t> ParseMemoryLimit(std::string_view text);     // "max" and nonsense: none

}  // namespace fusee
