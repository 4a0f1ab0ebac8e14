// What a build is asked for. Everything here that shapes the plan's bytes is also in
// Provenance::options.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/io_formats.h"
#include "device/cpu_features.h"
#include "device/device.h"
#include "ops/kernel.h"
#include "tensor/tensor.h"

namespace fusee::compiler {

// Where trial runs of a plan happen; both outlive them. Default: the CPU.
struct RunTarget {
  Device* device = nullptr;
  const ops::KernelLibrary* kernels = &ops::CpuKernels();
};

// Shapes of one input: every entry is one tuned point, ascending; the first is the minimum, the
// last the maximum.
struct InputProfile {
  std::vector<std::vector<int64_t>> shapes;
  std::optional<std::vector<int64_t>> opt;  // the point to favour; default: the middle entry
};

struct BuildOptions {
  // --- affects the plan ---
  std::map<std::string, InputProfile> profiles;  // by input name
  // Inputs the plan is specialised on: their value is fixed at build and checked at every run.
  std::map<std::string, Tensor> pins;
  // Values to pin an input to only if some operator needs it while building (its axes, its target
  // shape).
  std::map<std::string, Tensor> pin_if_needed;
  // The most that sizes may be which only a run tells, by name: "NODE/RESULT:AXIS".
  std::map<std::string, int64_t> bounds;
  // What the graph computes in where that is safe: kF32, kF16 or kBF16 (quant/convert_precision.h).
  // Inputs and outputs keep their types.
  DType precision = DType::kF32;
  // Products of f32 operands on a GPU may round them to TF32 (ops/math_mode.h).
  bool allow_tf32 = false;
  // Types and layouts of the plan's inputs and outputs; empty: the model's own (io_formats.h).
  // Profiles and pins keep to the model's order of axes.
  std::vector<IoFormat> input_formats, output_formats;
  std::string device = "cpu";    // "cpu", "cuda", "cuda:1": the kind, and which one to measure on
  bool allow_cpu_steps = false;  // steps that no kernel of the device takes run on the CPU
  std::vector<std::string> disabled_passes;
  bool reference_tactics = false;  // every step by its reference kernel
  Isa max_isa = Isa::kAmx;         // never above this, nor above the host
  bool verify = true;
  std::string lockfile;  // --locked: rebuild from these measurements; empty: measure

  // Time tactics and take the fastest. What was found lies in the lockfile. Default: for a GPU.
  std::optional<bool> tune;
  // What earlier builds timed (tune/timing_cache.h): read, and added to in BuildResult::timings.
  std::string timings;

  // --- affects how long it takes ---
  double verify_budget_s = 30;    // reference comparison stops starting new runs after this
  bool measure = true;            // false: the plan's latency table says "not measured"
  double timing_budget_s = 0.25;  // per bucket
  int threads = 0;                // 0: all that the process may use

  // --- affects what is written beside the plan ---
  std::string dump_dir;  // IR after every pass; empty: none
  std::function<void(std::string_view phase)>
      progress;  // called at the start of each phase; may be null

  // --- for tests: in the place of the device's module; null device: a machine without one ---
  std::optional<RunTarget> device_override;
};

}  // namespace fusee::compiler
