// The lockfile: everything a build measured, as text beside the plan (PLAN.lock). With it, the same
// model, options and builder give the same plan bytes on any machine; two of them diff line by
// line.
//
// JSON, one fact a line, keys in a fixed order; numbers in the shortest form that reads back
// exactly.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "compiler/tuning.h"
#include "device/cpu_features.h"
#include "plan/plan.h"

namespace fusee::compiler {

inline constexpr int kLockfileVersion = 1;

struct Lockfile {
  std::string builder_version;
  std::string model_digest;  // hexadecimal SHA-256
  std::string options;       // canonical text; a lockfile made under other options does not fit
  Isa isa = Isa::kAvx2;      // what the target offers
  // Kernel id by the step's first result.
  std::map<std::string, std::string> tactics;
  // Of a build for a GPU: what it was made on. Written only when not the CPU.
  std::string device = "cpu";
  plan::GpuTarget gpu;
  // What the tuner chose beside kernels, with every time it kept. Configurations are hexadecimal,
  // each different one once. Written only when something was tuned.
  TunedTactics tuned;
  std::vector<plan::Latency> latencies;  // by bucket
  plan::Certificate certificate;         // figures, golden digests
};

std::string WriteLockfile(const Lockfile& lock);
// Untrusted text. Errors: kInvalidArgument naming the key, what was expected and what to do.
Result<Lockfile> ReadLockfile(std::string_view text);

// Errors: kFailedPrecondition naming the field that does not fit, both values, and the remedy.
Status CheckLockfileFits(const Lockfile& lock, std::string_view builder_version,
                         std::string_view model_digest, std::string_view options,
                         size_t bucket_count);

}  // namespace fusee::compiler
