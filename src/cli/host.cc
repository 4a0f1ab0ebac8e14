#include "cli/host.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/system_file.h"
#include "cli/canary.h"
#include "compiler/report.h"
#include "device/cpu_limits.h"

namespace fusee::cli {
namespace {

using compiler::FormatBytes;

constexpr uint64_t kLittleMemoryBytes = uint64_t{1} << 28;

// A one-line file without its end of line.
std::string ReadLine(const std::string& path) {
  std::string text = ReadSystemFile(path);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

void ReadCores(const std::string& root, Host* host) {
  host->cores_online = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  host->cores_allowed = AllowedCpus();
  host->cgroup_cores = CgroupCpuQuota(root);
  const std::string siblings =
      ReadLine(root + "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
  if (!siblings.empty())
    host->threads_per_core = siblings.find_first_of(",-") == std::string::npos ? 1 : 2;
  host->governor = ReadLine(root + "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
}

void ReadMemory(const std::string& root, Host* host) {
  host->memory = ReadMemoryLimits(root);
  const std::string meminfo = ReadSystemFile(root + "/proc/meminfo");
  host->swap_total_bytes = MeminfoBytes(meminfo, "SwapTotal");
  host->swap_used_bytes =
      host->swap_total_bytes - std::min(host->swap_total_bytes, MeminfoBytes(meminfo, "SwapFree"));
  host->reserved_huge_pages = MeminfoCount(meminfo, "HugePages_Total");
  host->free_huge_pages = MeminfoCount(meminfo, "HugePages_Free");
  host->huge_pages =
      SelectedWord(ReadSystemFile(root + "/sys/kernel/mm/transparent_hugepage/enabled"));
}

std::string ContainerKind(const std::string& root) {
  if (std::getenv("KUBERNETES_SERVICE_HOST") != nullptr) return "kubernetes";
  if (Exists(root + "/.dockerenv")) return "docker";
  if (Exists(root + "/run/.containerenv")) return "podman";
  const std::string groups = ReadSystemFile(root + "/proc/1/cgroup");
  for (const char* kind : {"kubepods", "docker", "containerd", "lxc"}) {
    if (groups.find(kind) != std::string::npos) return kind;
  }
  return "";
}

}  // namespace

std::string SelectedWord(std::string_view text) {
  const size_t open = text.find('[');
  const size_t close = text.find(']', open == std::string_view::npos ? 0 : open);
  if (open == std::string_view::npos || close == std::string_view::npos) return "";
  return std::string(text.substr(open + 1, close - open - 1));
}

double Host::usable_cores() const {
  const auto cores = static_cast<double>(cores_allowed);
  return cgroup_cores ? std::min(cores, *cgroup_cores) : cores;
}

Host ReadHost(const std::string& root) {
  Host host;
  const CpuFeatures& cpu = HostCpu();
  host.cpu_brand = cpu.brand;
  host.cpu_supported = cpu.supported;
  host.isa = cpu.isa;
  ReadCores(root, &host);
  ReadMemory(root, &host);
  const std::string load = ReadLine(root + "/proc/loadavg");
  host.load_1min = load.empty() ? 0 : std::strtod(load.c_str(), nullptr);
  host.virtual_machine =
      ReadSystemFile(root + "/proc/cpuinfo").find(" hypervisor") != std::string::npos;
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
      fmt::format("{} in all, {} usable", FormatBytes(host.memory.total_bytes),
                  FormatBytes(host.memory.usable_bytes())),
      worse(host.memory.known() && host.memory.usable_bytes() < kLittleMemoryBytes),
      "a plan's memory is taken whole at load, which may fail");
  add("memory-limit",
      host.memory.cgroup_limit_bytes ? FormatBytes(*host.memory.cgroup_limit_bytes) : "none");
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
