// From ONNX to a verified plan: the driver that runs the phases in order. See
// docs/life_of_a_model.md.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "compiler/options.h"
#include "plan/plan.h"

namespace fusee::compiler {

// "0.1.0": part of every plan's provenance.
std::string_view BuilderVersion();

struct PhaseTime {
  std::string name;
  double seconds = 0;
};

// What a build tells a person: printed by report.h.
struct BuildReport {
  std::string model;
  size_t onnx_nodes = 0;
  std::map<std::string, size_t> operators;
  std::vector<std::string> notes;
  std::vector<PhaseTime> phases;
  std::map<std::string, size_t> kernels;  // kernel id -> steps
  std::string device;                     // the processor's or GPU's name
  std::vector<std::string> host_steps;    // operator and ONNX nodes; of a plan for another device
  size_t problems_timed = 0, problems_reused = 0;  // by the tuner; reused: from the timing cache
  uint64_t plan_bytes = 0;
  uint64_t arena_lower_bound_bytes = 0;
  std::string verdict;  // "verified: ..." or why not
  size_t comparisons_skipped = 0;
  std::string plan_digest;  // SHA-256 of the file, hexadecimal
};

struct BuildResult {
  std::vector<std::byte> bytes;  // the plan file
  std::string lockfile;          // its PLAN.lock
  std::string timings;           // the timing cache, with what was read; empty: nothing was tuned
  std::shared_ptr<const plan::Plan> plan;
  BuildReport report;
};

// Reads model_path and builds. Writes nothing. Blocking; uses options.threads threads.
// Errors: kNotFound; kInvalidArgument (model, profile, lockfile); kUnimplemented (naming node and
// remedy); kFailedPrecondition (lockfile does not fit, or its golden digests are not met here);
// kUnavailable: the device, or the module with its kernels, is not here;
// kAborted: verification failed, the message names the first step that differs; kResourceExhausted.
Result<BuildResult> Build(const std::string& model_path, const BuildOptions& options,
                          const Clock& clock = SteadyClock());

}  // namespace fusee::compiler
