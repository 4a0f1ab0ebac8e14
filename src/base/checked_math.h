// Overflow-checked arithmetic on sizes that come from files or the network.
#pragma once

#include <cstdint>
#include <span>

namespace fusee {

// True and *out = a op b when the result fits; false, *out unspecified, when it does not.
template <typename T>
[[nodiscard]] bool CheckedAdd(T a, T b, T* out) {
  return !__builtin_add_overflow(a, b, out);
}
template <typename T>
[[nodiscard]] bool CheckedMul(T a, T b, T* out) {
  return !__builtin_mul_overflow(a, b, out);
}

// Product of non-negative dimensions; false on overflow or a negative dimension.
[[nodiscard]] inline bool CheckedProduct(std::span<const int64_t> dims, int64_t* out) {
  int64_t product = 1;
  for (int64_t d : dims) {
    if (d < 0 || !CheckedMul(product, d, &product)) return false;
  }
  *out = product;
  return true;
}

// Rounds up to a multiple of alignment, a power of two.
constexpr uint64_t AlignUp(uint64_t n, uint64_t alignment) {
  return (n + alignment - 1) & ~(alignment - 1);
}

}  // namespace fusee
