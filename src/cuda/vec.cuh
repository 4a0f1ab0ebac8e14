// Short vectors that one memory instruction moves, and what every element-wise kernel shares.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "cuda/launch.cuh"

namespace fusee::cuda {

// n elements with the alignment of their size: n * sizeof(T) is 1, 2, 4, 8 or 16.
template <typename T, int n>
struct alignas(sizeof(T) * n) Vec {
  T value[n];
};

// May p be accessed as Vec<T, n>?
template <typename T, int n>
inline bool IsVecAligned(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % (sizeof(T) * n) == 0;
}

// 16 bytes without a type, for copies.
using Bytes16 = uint4;

// Calls fn.operator()<Bits>() with the unsigned type of an element's size: 1, 2, 4 or 8 bytes.
template <typename Fn>
decltype(auto) VisitElement(int64_t bytes, Fn&& fn) {
  switch (bytes) {
    case 1: return fn.template operator()<uint8_t>();
    case 2: return fn.template operator()<uint16_t>();
    case 4: return fn.template operator()<uint32_t>();
    default: return fn.template operator()<uint64_t>();
  }
}
// The same for whatever a copy moves at once, which may also be 16 bytes.
template <typename Fn>
decltype(auto) VisitBytes(int64_t bytes, Fn&& fn) {
  if (bytes == 16) return fn.template operator()<Bytes16>();
  return VisitElement(bytes, fn);
}

// Bytes of the widest element, up to 16, that both addresses and the length are multiples of.
inline int64_t CopyWidth(const void* from, const void* to, int64_t bytes) {
  const uint64_t all = reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to) |
                       static_cast<uint64_t>(bytes) | 16;
  return static_cast<int64_t>(all & (~all + 1));
}

// Threads of a block of an element-wise kernel: enough blocks for every multiprocessor from some
// tens of thousands of elements on, and full occupancy.
inline constexpr int kElementThreads = 256;

// Blocks of kElementThreads threads that hold this many threads.
inline dim3 BlocksFor(int64_t threads) {
  return dim3(static_cast<unsigned>((threads + kElementThreads - 1) / kElementThreads));
}

}  // namespace fusee::cuda
