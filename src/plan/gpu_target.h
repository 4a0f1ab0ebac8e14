// What a plan for a GPU needs and was made on. Part of the plan and of its header; check.h compares
// it with a machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fusee::plan {

// A library outside this program that some tactic needs, at exactly this version.
struct PinnedLibrary {
  std::string name;  // "cublaslt", "cudnn"
  uint64_t version = 0;
  bool operator==(const PinnedLibrary&) const = default;
};

// All empty and zero for the CPU.
struct GpuTarget {
  std::string name;                // "NVIDIA H200"; soft: another one runs it, tuned for this one
  int32_t compute_capability = 0;  // 90; hard: kernels of this level
  int32_t multiprocessors = 0;     // hard where a tactic is pinned to a library, else soft
  int32_t driver_min = 0;          // 13000; hard
  std::vector<PinnedLibrary> libraries;  // hard; ascending by name
  bool operator==(const GpuTarget&) const = default;
};

// Bounds on what a reader accepts: the header's page must hold all of it.
inline constexpr size_t kMaxGpuNameBytes = 128;
inline constexpr size_t kMaxLibraries = 8;
inline constexpr size_t kMaxLibraryNameBytes = 32;

}  // namespace fusee::plan
