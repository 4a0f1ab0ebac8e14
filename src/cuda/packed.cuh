// Short vectors that one memory instruction moves.
#pragma once

#include <cstdint>

namespace fusee::cuda {

// n elements with the alignment of their size: n * sizeof(T) is a power of two of at most 16, or a
// multiple of 16, moved 16 bytes at a time.
template <typename T, int n>
struct alignas(sizeof(T) * n < 16 ? sizeof(T) * n : 16) Packed {
  T value[n];
};

// Whether a pointer may be accessed as Packed<T, n>.
template <typename T, int n>
bool IsAligned(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % alignof(Packed<T, n>) == 0;
}

}  // namespace fusee::cuda
