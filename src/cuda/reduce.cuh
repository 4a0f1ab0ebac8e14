// Sums, maxima and other folds over the threads of a warp or a block, in one fixed tree: a result
// depends on the values and on who holds them, never on scheduling.
#pragma once

#include <cstdint>

namespace fusee::cuda {

inline constexpr int kWarp = 32;

__device__ __forceinline__ float ShuffleXor(float v, int mask) {
  return __shfl_xor_sync(0xffffffffu, v, mask);
}
__device__ __forceinline__ int32_t ShuffleXor(int32_t v, int mask) {
  return __shfl_xor_sync(0xffffffffu, v, mask);
}
__device__ __forceinline__ int64_t ShuffleXor(int64_t v, int mask) {
  return static_cast<int64_t>(__shfl_xor_sync(0xffffffffu, static_cast<long long>(v), mask));
}

// Folds the values of a warp with a commutative merge(a, b); every lane gets the result. All 32
// lanes must call it. V has a ShuffleXor, here or in V's own namespace.
template <typename V, typename Merge>
__device__ __forceinline__ V WarpReduce(V v, Merge&& merge) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) v = merge(v, ShuffleXor(v, mask));
  return v;
}

// The same over the kThreads threads that work on one thing: a warp (kThreads is 32), or the whole
// block, whose threads must then all call it. `slots` is shared memory of kThreads / 32 values,
// which may be used again by the next call.
template <int kThreads, typename V, typename Merge>
__device__ __forceinline__ V TeamReduce(V v, V* slots, Merge&& merge) {
  static_assert(kThreads % kWarp == 0);
  v = WarpReduce(v, merge);
  if constexpr (kThreads > kWarp) {
    constexpr int kWarps = kThreads / kWarp;
    __syncthreads();  // slots may still be read by threads that are in the call before
    if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = v;
    __syncthreads();
    v = slots[0];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) v = merge(v, slots[w]);
  }
  return v;
}

struct AddFloats {
  __device__ __forceinline__ float operator()(float a, float b) const { return a + b; }
};
// Ignores NaN; the caller's arithmetic brings it back.
struct MaxFloats {
  __device__ __forceinline__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// Blocks of a launch whose kernel strides over `units` of work, `per_block` a block and step. The
// bound keeps every grid inside CUDA's; work beyond it takes further steps of the same blocks.
inline constexpr int64_t kMaxBlocks = int64_t{1} << 30;
inline unsigned BlocksFor(int64_t units, int64_t per_block) {
  const int64_t blocks = units / per_block + (units % per_block != 0);
  return static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks);
}

}  // namespace fusee::cuda
