// What this machine offers a model: processor, cores, memory, pages, and what stands in latency's
// way. Read from /proc and /sys, which differ between kernels and containers: whatever cannot be
// read stays at "unknown" and is no error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device/cpu_features.h"
#include "device/memory_limits.h"

namespace fusee::cli {

struct Host {
  std::string cpu_brand;
  bool cpu_supported = false;  // at least the product's floor
  Isa isa = Isa::kAvx2;
  int cores_online = 0;
  int cores_allowed = 0;               // by affinity
  std::optional<double> cgroup_cores;  // CPU time per wall time; none: no quota
  int threads_per_core = 0;            // 0: unknown
  MemoryLimits memory;
  uint64_t swap_total_bytes = 0, swap_used_bytes = 0;
  std::string huge_pages;  // transparent ones: "always", "madvise", "never", or "" for unknown
  uint64_t reserved_huge_pages = 0, free_huge_pages = 0;
  std::string governor;  // "" for unknown
  double load_1min = 0;
  uint64_t open_files_limit = 0;
  std::string kernel;     // "Linux 6.1.0-18-amd64"
  std::string container;  // "docker", "kubernetes", ..., or ""
  bool virtual_machine = false;

  // Cores this process can really use at once.
  double usable_cores() const;
};

// Reads everything. root stands before every path and is for tests; affinity, limits, CPUID and
// uname are always this process's own.
Host ReadHost(const std::string& root = "");

// The word chosen of a list, pure: "always [madvise] never" is "madvise"; "" when there is none.
std::string SelectedWord(std::string_view text);

// One thing doctor looked at.
enum class Health { kOk, kWarning, kBad };
std::string_view HealthName(Health health);  // "ok", "warning", "bad"
struct Examined {
  std::string name;   // "cores", stable: the key in JSON
  std::string value;  // what is there
  Health health = Health::kOk;
  std::string effect;  // what it does to latency, and what to do; empty when ok
};
// canary_ratio: of canary.h, 0 when not taken. Pure.
std::vector<Examined> Examine(const Host& host, double canary_median_ms, double canary_ratio);

}  // namespace fusee::cli
