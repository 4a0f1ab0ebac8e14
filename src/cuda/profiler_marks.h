// Names stretches of a thread's work for a profiler: NVTX ranges of the domain "fusee", which
// Nsight Systems shows above the kernels and graphs that were launched within them.
//
// NVTX is a header of the CUDA toolkit: the first call looks for an attached profiler (it reads
// NVTX_INJECTION64_PATH, which the profiler sets); without one every call is a comparison of a
// pointer. Source: NVTX documentation, https://nvidia.github.io/NVTX/.
#pragma once

namespace fusee::cuda {

// Begin and end a range of the calling thread; ranges nest. name is read during the call only.
// Nothing in a build without NVTX's header.
void PushRange(const char* name);
void PopRange();

}  // namespace fusee::cuda
