// Preflight: will this plan run on that machine? Answers from the header alone, before anything is
// loaded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plan/gpu_target.h"
#include "plan/header.h"

namespace fusee::plan {

// One GPU as the caller found it (DeviceInfo and the libraries it could open).
struct GpuFacts {
  std::string name;                      // "NVIDIA H200"
  int32_t compute_capability = 0;        // 90
  int32_t multiprocessors = 0;           // 132
  int32_t driver_version = 0;            // 13000
  uint64_t memory_bytes = 0;             // free; 0: unknown, not judged
  std::vector<PinnedLibrary> libraries;  // those that can be opened
};

// What the judging program and its machine have. The caller fills it (this room reads no CPUID).
struct HostFacts {
  std::string device = "cpu";   // the device this runtime drives beside the GPU below
  bool cpu_supported = true;    // at least the product's floor
  uint8_t isa = 1;              // Isa number
  uint64_t memory_bytes = 0;    // free for plans; 0: unknown, not judged
  uint32_t format_version = 1;  // newest format this reader knows (kFormatVersion)
  // The GPU that a plan for one would run on; none: why not, for the report ("no driver").
  std::optional<GpuFacts> gpu = std::nullopt;
  std::string no_gpu_reason = "no GPU was looked for";
};

enum class Verdict : uint8_t {
  kOk = 0,
  kOkButRetune = 1,  // runs, but measured figures or tactics are not this machine's
  kIncompatible = 2,
};
std::string_view VerdictName(Verdict verdict);  // "ok", "ok-but-retune", "incompatible"

struct Finding {
  Verdict severity = Verdict::kOk;
  std::string field;   // "target.isa"
  std::string need;    // "avx512"
  std::string have;    // "avx2"
  std::string remedy;  // "rebuild with fusee build --isa avx2"
};

struct CheckReport {
  Verdict verdict = Verdict::kOk;  // the worst severity
  std::vector<Finding> findings;
};

// Pure; thread-safe.
CheckReport Check(const Header& header, const HostFacts& host);

std::string CheckText(const CheckReport& report);
std::string CheckJson(const CheckReport& report);

}  // namespace fusee::plan
