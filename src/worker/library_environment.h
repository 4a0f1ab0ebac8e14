// Environment variables by which the vendor's libraries compute otherwise than a plan was verified.
//
//   NVIDIA_TF32_OVERRIDE       TF32 where a step does not allow it, or not where it does
//   CUBLAS_WORKSPACE_CONFIG    another workspace, hence other algorithms
//   CUDNN_*, CUBLASLT_*        engines, heuristics, math modes; but not their logging
//
// A plan says all of this itself, so a worker clears them: what its front was started with must not
// change the bits of its answers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fusee::worker {

// Whether a variable of this name may change what a library computes. Logging (*_LOG*) may not.
bool ChangesBits(std::string_view variable);

// Takes every such variable out of this process's environment and returns their names, sorted. Call
// before any thread and any device library: both may read the environment.
std::vector<std::string> ClearLibraryEnvironment();

}  // namespace fusee::worker
