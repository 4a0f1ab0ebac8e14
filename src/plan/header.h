// What a plan's first 4 KiB say: enough to decide whether, where and how well it runs, without
// loading it. docs/plan_format.md draws the bytes. decode.h reads it from a file's beginning;
// check.h judges it against a machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/digest.h"
#include "plan/gpu_target.h"
#include "tensor/dtype.h"

namespace fusee::plan {

inline constexpr size_t kHeaderBytes = 4096;
inline constexpr size_t kMaxSections = 16;

// What a section holds. Stored; never renumber. A reader skips optional types it does not know and
// refuses required ones (the flag stands in the section table, so that it can tell).
enum class SectionType : uint32_t {
  kProgram = 1,      // FlatBuffer Program: symbols, tensors, steps, memory; required
  kWeights = 2,      // raw bytes, packed for their kernels; required
  kCertificate = 3,  // FlatBuffer Certificate: verification, golden digests; required
  kRecord = 4,       // FlatBuffer Record: why the plan is as it is; optional
  kVendor = 5,       // kernels' configurations, opaque to everything but kernels; absent when none
                     // has one, else required
};
std::string SectionTypeName(uint32_t type);  // "program", "section 99"
std::string IsaText(
    uint8_t isa);  // "avx2"; the names of device/cpu_features.h, which this room cannot see

struct SectionInfo {
  uint32_t type = 0;
  bool required = true;
  uint64_t offset = 0;    // bytes from the file's start, a multiple of kSectionAlignment
  uint64_t length = 0;    // bytes, padding to the next section not counted
  Sha256Digest digest{};  // root of the SHA-256 tree over the section's 1 MiB chunks
};

struct IoSummary {
  std::string name;
  DType dtype = DType::kInvalid;
  std::string shape;  // "[batch,1,8,8]"
  bool pinned = false;
};

struct SymbolSummary {
  std::string name;
  int64_t min = 0, opt = 0, max = 0;
};

struct BucketSummary {
  std::vector<int64_t> symbol_values;  // in the order of the symbols
  uint64_t arena_bytes = 0;
  uint64_t count = 0;  // timed runs; 0: latencies were not measured
  double p50_us = 0, p99_us = 0, p999_us = 0;
};

// Lists may be shorter than their counts: what does not fit into the header is left out, last
// first, and long names are cut ("..." at the end). Decoding the plan gives them whole.
struct Header {
  uint32_t format_version = 0;
  uint32_t minimum_reader = 0;
  uint64_t file_bytes = 0;
  Sha256Digest file_digest{};  // covers every byte of the file, through the sections' digests
  std::vector<SectionInfo> sections;

  std::string model_name;
  std::string builder_version;
  Sha256Digest model_digest{};
  std::string device;         // "cpu", "cuda"
  uint8_t isa = 0;            // Isa number; the highest any step needs
  uint8_t available_isa = 0;  // the level kernels were chosen for; at least isa
  GpuTarget gpu;              // never cut; empty for the CPU
  // Bytes that vendor libraries and kernels made for themselves, parsed by kernels only; 0: none.
  uint64_t vendor_bytes = 0;
  uint32_t host_step_count = 0;  // of a plan for another device: steps that run on the host

  uint32_t input_count = 0, output_count = 0, symbol_count = 0, bucket_count = 0, step_count = 0;
  std::vector<IoSummary> inputs, outputs;
  std::vector<SymbolSummary> symbols;
  std::vector<BucketSummary> buckets;

  uint64_t weights_bytes = 0;
  // One context's memory: activations + io + state + workspace.
  uint64_t activation_bytes = 0, io_bytes = 0, state_bytes = 0, workspace_bytes = 0;
  uint64_t context_bytes() const {
    return activation_bytes + io_bytes + state_bytes + workspace_bytes;
  }

  bool verified = false;
  std::string unverified_reason;
  bool figures_from_lockfile = false;
  bool batch_invariant = false;
};

}  // namespace fusee::plan
