// How every kernel of this tree is launched, so that a chain of them in a graph costs little:
// programmatic dependent launch. A kernel may start while the one before it drains; it must call
// WaitForPrior() before it touches anything another kernel wrote or reads, and should call
// AllowNext() as early as it can. Both do nothing below sm_90 and without the launch attribute.
//
// Measured on one H200, us a kernel in a chain of 1,000 in one graph: 1.02 without, 0.78 with.
// Source: CUDA C++ Programming Guide, "Programmatic Dependent Launch and Synchronization".
#pragma once

#include <cuda_runtime.h>

#include "cuda/error.h"

namespace fusee::cuda {

// Every thread of every kernel launched by Launch calls this, also when it has nothing to do: the
// chain of completions that makes later kernels safe goes through it.
__device__ __forceinline__ void WaitForPrior() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void AllowNext() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// Enqueues kernel<<<grid, block, shared_bytes>>>(args...) on a queue (RunArgs::queue), in clusters
// of `cluster` blocks along x (above 1: sm_90; grid.x is a multiple of it). A grid without blocks
// is no launch at all.
template <typename... Params, typename... Args>
Status LaunchClusters(void (*kernel)(Params...), dim3 grid, dim3 block, unsigned cluster,
                      size_t shared_bytes, void* queue, Args... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return OkStatus();
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim.x = cluster;
  attributes[1].val.clusterDim.y = 1;
  attributes[1].val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(queue);
  config.attrs = attributes;
  config.numAttrs = cluster > 1 ? 2 : 1;
  FUSEE_CUDA_TRY(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...));
  return OkStatus();
}

// The same without clusters.
template <typename... Params, typename... Args>
Status Launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes, void* queue,
              Args... args) {
  return LaunchClusters(kernel, grid, block, 1, shared_bytes, queue, args...);
}

}  // namespace fusee::cuda
