// Division by a number that is known when a kernel is launched: a multiplication and a shift.
// Passed to kernels by value.
//
// q = (n * m) >> p with p = 31 + ceil(log2 d) and m = ceil(2^p / d) = (2^p + e) / d, e < d. The
// product is n / d + n * e / (d * 2^p); since n * e < 2^31 * d <= 2^p, the second term is below 1 /
// d and the quotient is exact for every n < 2^31. Source: Granlund and Montgomery, "Division by
// Invariant Integers using Multiplication", 1994.
#pragma once

#include <bit>
#include <cstdint>

namespace fusee::cuda {

// Every index that a FastDiv divides, and every divisor, is below this.
inline constexpr int64_t kFastDivLimit = int64_t{1} << 31;

struct FastDiv {
  uint32_t divisor = 1;
  uint32_t multiplier = 0;
  uint32_t shift = 0;  // p - 32

  FastDiv() = default;
  // Precondition: 0 < d < kFastDivLimit.
  explicit FastDiv(int64_t d) : divisor(static_cast<uint32_t>(d)) {
    if (d == 1) return;
    const int p = 31 + std::bit_width(static_cast<uint32_t>(d - 1));
    multiplier = static_cast<uint32_t>(((uint64_t{1} << p) + static_cast<uint64_t>(d) - 1) /
                                       static_cast<uint64_t>(d));
    shift = static_cast<uint32_t>(p - 32);
  }

  // Precondition: n < kFastDivLimit.
  __device__ __forceinline__ uint32_t Quotient(uint32_t n) const {
    return divisor == 1 ? n : __umulhi(n, multiplier) >> shift;
  }
  // n = quotient * divisor + rest.
  __device__ __forceinline__ uint32_t Divide(uint32_t n, uint32_t* rest) const {
    const uint32_t quotient = Quotient(n);
    *rest = n - quotient * divisor;
    return quotient;
  }
};

}  // namespace fusee::cuda
