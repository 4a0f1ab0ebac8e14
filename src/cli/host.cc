#include "cli/host.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "cli/canary.h"
#include "compiler/report.h"

namespace fusee::cli {
namespace {

using compiler::FormatBytes;

constexpr size_t kMaxFileBytes = 1u << 20;
// cgroup v1 writes "no limit" as a number near 2^63.
constexpr uint64_t kNoLimitBytes = uint64_t{1} << 60;

// Files of /proc and /sys report a size of 0, so they are read, not mapped. Empty when unreadable.
std::string ReadText(const std::string& path) {
  std::string text;
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return text;
  char buffer[4096];
  for (size_t n = 0;
       text.size() < kMaxFileBytes && (n = std::fread(buffer, 1, sizeof buffer, file)) > 0;) {
    text.append(buffer, n);
  }
  std::fclose(file);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop == text.data()) return std::nullopt;
  return value;
}

template <typename T>
void LowerTo(std::optional<T>& limit, std::optional<T> other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

// A limit may stand at any level between this process's group and the root.
void ReadCgroupV2(const std::string& root, Host* host) {
  std::string path = CgroupV2Path(ReadText(root + "/proc/self/cgroup"));
  if (path == "/") path.clear();
  bool first = true;
  while (true) {
    const std::string folder = root + "/sys/fs/cgroup" + path + "/";
    LowerTo(host->cgroup_cores, ParseCpuMax(ReadText(folder + "cpu.max")));
    const std::optional<uint64_t> memory = ParseLimit(ReadText(folder + "memory.max"));
    if (first || memory) {
      if (const auto used = Number(ReadText(folder + "memory.current")))
        host->cgroup_memory_used_bytes = *used;
    }
    LowerTo(host->cgroup_memory_bytes, memory);
    first = false;
    if (path.empty()) return;
    path.resize(path.rfind('/'));
  }
}

void ReadCgroupV1(const std::string& root, Host* host) {
  const auto quota = Number(ReadText(root + "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"));
  const auto period = Number(ReadText(root + "/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  if (quota && period && *period > 0) {
    LowerTo(host->cgroup_cores,
            std::optional(static_cast<double>(*quota) / static_cast<double>(*period)));
  }
  LowerTo(host->cgroup_memory_bytes,
          ParseLimit(ReadText(root + "/sys/fs/cgroup/memory/memory.limit_in_bytes")));
  if (const auto used = Number(ReadText(root + "/sys/fs/cgroup/memory/memory.usage_in_bytes"))) {
    host->cgroup_memory_used_bytes = *used;
  }
}

void ReadCores(const std::string& root, Host* host) {
  host->cores_online = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  cpu_set_t set;
  CPU_ZERO(&set);
  host->cores_allowed =
      ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : host->cores_online;
  const std::string siblings =
      ReadText(root + "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
  if (!siblings.empty())
    host->threads_per_core = siblings.find_first_of(",-") == std::string::npos ? 1 : 2;
  host->governor = ReadText(root + "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
}

void ReadMemory(const std::string& root, Host* host) {
  const std::string meminfo = ReadText(root + "/proc/meminfo");
  host->memory_total_bytes = MeminfoBytes(meminfo, "MemTotal");
  host->memory_available_bytes = MeminfoBytes(meminfo, "MemAvailable");
  host->swap_total_bytes = MeminfoBytes(meminfo, "SwapTotal");
  host->swap_used_bytes =
      host->swap_total_bytes - std::min(host->swap_total_bytes, MeminfoBytes(meminfo, "SwapFree"));
  host->huge_pages = SelectedWord(ReadText(root + "/sys/kernel/mm/transparent_hugepage/enabled"));
  const size_t total = meminfo.find("HugePages_Total:");
  const size_t free = meminfo.find("HugePages_Free:");
  const auto after = [&](size_t at) -> uint64_t {
    if (at == std::string::npos) return 0;
    const size_t digit = meminfo.find_first_of("0123456789", at);
    return digit == std::string::npos ? 0
                                      : Number(std::string_view(meminfo).substr(digit)).value_or(0);
  };
  host->reserved_huge_pages = after(total);
  host->free_huge_pages = after(free);
}

std::string ContainerKind(const std::string& root) {
  if (std::getenv("KUBERNETES_SERVICE_HOST") != nullptr) return "kubernetes";
  if (Exists(root + "/.dockerenv")) return "docker";
  if (Exists(root + "/run/.containerenv")) return "podman";
  const std::string groups = ReadText(root + "/proc/1/cgroup");
  for (const char* kind : {"kubepods", "docker", "containerd", "lxc"}) {
    if (groups.find(kind) != std::string::npos) return kind;
  }
  return "";
}

}  // namespace

std::optional<double> ParseCpuMax(std::string_view text) {
  const auto quota = Number(text);
  const size_t blank = text.find(' ');
  if (!quota || blank == std::string_view::npos) return std::nullopt;
  const auto period = Number(text.substr(blank + 1));
  if (!period || *period == 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<uint64_t> ParseLimit(std::string_view text) {
  const auto limit = Number(text);
  return limit && *limit < kNoLimitBytes ? limit : std::nullopt;
}

uint64_t MeminfoBytes(std::string_view text, std::string_view key) {
  const std::string label = std::string(key) + ":";
  for (size_t at = text.find(label); at != std::string_view::npos; at = text.find(label, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    const size_t digit = text.find_first_not_of(' ', at + label.size());
    if (digit == std::string_view::npos) return 0;
    const uint64_t kib = Number(text.substr(digit)).value_or(0);
    return kib > std::numeric_limits<uint64_t>::max() / 1024 ? 0 : kib * 1024;
  }
  return 0;
}

std::string SelectedWord(std::string_view text) {
  const size_t open = text.find('[');
  const size_t close = text.find(']', open == std::string_view::npos ? 0 : open);
  if (open == std::string_view::npos || close == std::string_view::npos) return "";
  return std::string(text.substr(open + 1, close - open - 1));
}

std::string CgroupV2Path(std::string_view proc_self_cgroup) {
  size_t start = 0;
  while (start < proc_self_cgroup.size()) {
    const size_t end = std::min(proc_self_cgroup.find('\n', start), proc_self_cgroup.size());
    const std::string_view line = proc_self_cgroup.substr(start, end - start);
    // A path with ".." lies outside this process's view of the tree.
    if (line.starts_with("0::/") && line.find("..") == std::string_view::npos)
      return std::string(line.substr(3));
    start = end + 1;
  }
  return "";
}

double Host::usable_cores() const {
  const auto cores = static_cast<double>(cores_allowed);
  return cgroup_cores ? std::min(cores, *cgroup_cores) : cores;
}

uint64_t Host::usable_memory_bytes() const {
  if (!cgroup_memory_bytes) return memory_available_bytes;
  const uint64_t left =
      *cgroup_memory_bytes - std::min(*cgroup_memory_bytes, cgroup_memory_used_bytes);
  return memory_available_bytes == 0 ? left : std::min(left, memory_available_bytes);
}

Host ReadHost(const std::string& root) {
  Host host;
  const CpuFeatures& cpu = HostCpu();
  host.cpu_brand = cpu.brand;
  host.cpu_supported = cpu.supported;
  host.isa = cpu.isa;
  ReadCores(root, &host);
  ReadMemory(root, &host);
  ReadCgroupV2(root, &host);
  ReadCgroupV1(root, &host);
  const std::string load = ReadText(root + "/proc/loadavg");
  host.load_1min = load.empty() ? 0 : std::strtod(load.c_str(), nullptr);
  host.virtual_machine = ReadText(root + "/proc/cpuinfo").find(" hypervisor") != std::string::npos;
  host.container = ContainerKind(root);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) host.open_files_limit = files.rlim_cur;
  utsname names{};
  if (::uname(&names) == 0) host.kernel = fmt::format("{} {}", names.sysname, names.release);
  return host;
}

std::string_view HealthName(Health health) {
  switch (health) {
    case Health::kOk: return "ok";
    case Health::kWarning: return "warning";
    case Health::kBad: return "bad";
  }
  return "unknown";
}

std::vector<Examined> Examine(const Host& host, double canary_median_ms, double canary_ratio) {
  std::vector<Examined> list;
  const auto add = [&](std::string name, std::string value, Health health = Health::kOk,
                       std::string effect = "") {
    list.push_back({std::move(name), std::move(value), health,
                    health == Health::kOk ? "" : std::move(effect)});
  };
  const auto worse = [](bool bad, Health health = Health::kWarning) {
    return bad ? health : Health::kOk;
  };

  add("cpu", host.cpu_brand);
  add("isa", host.cpu_supported ? std::string(IsaName(host.isa)) : "below avx2",
      worse(!host.cpu_supported, Health::kBad),
      "Fusee needs AVX2, FMA and F16C; use an x86-64-v3 processor, or let the hypervisor pass the "
      "host's features on");
  add("cores",
      fmt::format("{} online, {} allowed by affinity", host.cores_online, host.cores_allowed),
      worse(host.cores_allowed < 2),
      "one core runs the model and serves requests in turn; allow two or more");
  const bool throttled = host.cgroup_cores && *host.cgroup_cores < host.cores_allowed;
  add("cpu-quota", host.cgroup_cores ? fmt::format("{:.2f} cores", *host.cgroup_cores) : "none",
      worse(throttled),
      "a quota below the allowed cores stops all threads for the rest of each period, which shows "
      "as tails of tens of "
      "milliseconds; give whole cores by cpuset, or threads no more than the quota");
  add("threads-per-core",
      host.threads_per_core == 0 ? "unknown" : fmt::format("{}", host.threads_per_core));
  add("governor", host.governor.empty() ? "unknown" : host.governor,
      worse(!host.governor.empty() && host.governor != "performance"),
      "the clock ramps up after idle; set the governor to performance");
  add("memory",
      fmt::format("{} in all, {} usable", FormatBytes(host.memory_total_bytes),
                  FormatBytes(host.usable_memory_bytes())),
      worse(host.usable_memory_bytes() != 0 && host.usable_memory_bytes() < (uint64_t{1} << 28)),
      "a plan's memory is taken whole at load, which may fail");
  add("memory-limit", host.cgroup_memory_bytes ? FormatBytes(*host.cgroup_memory_bytes) : "none");
  add("swap",
      host.swap_total_bytes == 0 ? "none"
                                 : fmt::format("{}, {} used", FormatBytes(host.swap_total_bytes),
                                               FormatBytes(host.swap_used_bytes)),
      worse(host.swap_used_bytes > 0),
      "a weight that was swapped out costs milliseconds; turn swap off on serving machines");
  add("huge-pages", host.huge_pages.empty() ? "unknown" : host.huge_pages,
      worse(host.huge_pages == "never"),
      "weights and arenas lie in 4 KiB pages, which costs address translation; set "
      "transparent_hugepage/enabled to madvise");
  add("reserved-huge-pages",
      fmt::format("{} of {} free", host.free_huge_pages, host.reserved_huge_pages));
  add("open-files", fmt::format("{}", host.open_files_limit), worse(host.open_files_limit < 4096),
      "a server needs a descriptor per connection; raise ulimit -n");
  add("load", fmt::format("{:.2f}", host.load_1min), worse(host.load_1min > host.usable_cores()),
      "more threads want to run than there are cores; measured latencies will not repeat");
  add("noise",
      canary_ratio == 0
          ? "not measured"
          : fmt::format("P99 / median {:.2f} of a {:.2f} ms block", canary_ratio, canary_median_ms),
      worse(canary_ratio > kNoisy),
      "something else uses this core (a neighbour, the sibling thread, the hypervisor); tails "
      "measured here are its tails");
  add("kernel", host.kernel);
  add("container", host.container.empty() ? "none seen" : host.container);
  add("virtual-machine", host.virtual_machine ? "yes" : "no");
  return list;
}

}  // namespace fusee::cli
