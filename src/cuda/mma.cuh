// The tensor-core instructions that kernels of this tree are built from, one function each, for
// sm_80 and later: asynchronous copies into shared memory, matrix loads from it, and the 16x8x16
// product of halves with float sums.
//
// Below sm_80 the functions do nothing, so that a file compiles for every architecture of the
// module; a kernel that uses them has a KernelDef::compute_capability of 80.
// Source: PTX ISA, "cp.async", "ldmatrix", "mma.sync.aligned.m16n8k16".
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace fusee::cuda {

// A shared-memory address as the instructions below take it.
__device__ __forceinline__ uint32_t SharedAddress(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// Starts a copy of `bytes` (0 to 16) from global memory to 16 bytes of shared memory, the rest of
// which becomes zero. Both addresses are 16-byte aligned; nothing is read when bytes is 0.
__device__ __forceinline__ void CopyAsync16(uint32_t shared, const void* global, uint32_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared), "l"(global),
               "r"(bytes)
               : "memory");
#endif
}

// Ends a group of this thread's copies; CopyWait<N> waits until at most the N newest groups are
// still under way. A barrier after it makes the copies of all threads visible to all.
__device__ __forceinline__ void CopyCommit() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}
template <int kGroups>
__device__ __forceinline__ void CopyWait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kGroups) : "memory");
#endif
}

// Loads four 8x8 matrices of 16-bit elements. Lane l gives the address of row l % 8 of matrix
// l / 8, and gets elements (l / 4, 2 * (l % 4)) and the next of each matrix; Transposed, (2 * (l %
// 4), l / 4) and the one below.
__device__ __forceinline__ void LoadMatrices(uint32_t shared, uint32_t (&r)[4]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared)
               : "memory");
#endif
}
__device__ __forceinline__ void LoadMatricesTransposed(uint32_t shared, uint32_t (&r)[4]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared)
               : "memory");
#endif
}

// c += a b: a is 16x16 (rows l/4 and l/4+8; columns 2(l%4), +1 and 8 further: a[0] is top left,
// a[1] bottom left, a[2] top right, a[3] bottom right), b is 16x8 (b0: rows 2(l%4), +1 of column
// l/4; b1: 8 rows below), c is 16x8 in float (c[0], c[1]: row l/4, columns 2(l%4), +1; c[2], c[3]:
// 8 rows below).
template <typename T>
__device__ __forceinline__ void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                            uint32_t b1) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  if constexpr (std::is_same_v<T, __half>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    static_assert(std::is_same_v<T, __nv_bfloat16>);
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
#endif
}

// Two floats rounded to two halves of one register, the first in the low bits.
template <typename T>
__device__ __forceinline__ uint32_t PackHalves(float low, float high) {
  uint32_t bits;
  if constexpr (std::is_same_v<T, __half>) {
    const __half2 h = __floats2half2_rn(low, high);
    static_assert(sizeof(h) == sizeof(bits));
    __builtin_memcpy(&bits, &h, sizeof(bits));
  } else {
    const __nv_bfloat162 h = __floats2bfloat162_rn(low, high);
    static_assert(sizeof(h) == sizeof(bits));
    __builtin_memcpy(&bits, &h, sizeof(bits));
  }
  return bits;
}

// Clusters of thread blocks (sm_90): this block's rank, a barrier of all its threads, and a read of
// another block's shared memory at the address that `p` has in this one's.
__device__ __forceinline__ uint32_t ClusterRank() {
  uint32_t rank = 0;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("mov.u32 %0, %%cluster_ctarank;\n" : "=r"(rank));
#endif
  return rank;
}
__device__ __forceinline__ void ClusterBarrier() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive;\nbarrier.cluster.wait;\n" ::: "memory");
#endif
}
__device__ __forceinline__ float4 LoadFromCluster(const float* p, uint32_t rank) {
  float4 v = make_float4(0, 0, 0, 0);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  uint32_t address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;\n"
               : "=r"(address)
               : "r"(SharedAddress(p)), "r"(rank));
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];\n"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(address)
               : "memory");
#endif
  return v;
}

}  // namespace fusee::cuda
