// Which types QuantizeLinear and DequantizeLinear go between. Seen by definitions and kernels
// alike.
#pragma once

#include "tensor/dtype.h"

namespace fusee::ops {

// What numbers are quantised to: integers of up to 16 bits, and narrow floats but for f8e8m0.
inline bool IsQuantised(DType d) {
  return d == DType::kU8 || d == DType::kI8 || d == DType::kU16 || d == DType::kI16 ||
         (IsNarrow(d) && d != DType::kF8E8M0);
}
inline constexpr const char* kQuantisedNames =
    "u8, i8, u16, i16, u4, i4, u2, i2, f4e2m1, f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz";

// What is quantised, beside i32, and what a division or product is rounded to.
inline bool IsRealScale(DType d) {
  return d == DType::kF32 || d == DType::kF16 || d == DType::kBF16;
}
// What scales: f8e8m0, a power of two, does too.
inline bool IsScale(DType d) { return IsRealScale(d) || d == DType::kF8E8M0; }

}  // namespace fusee::ops
