// The narrow element types (dtype.h) as storage: to float by table, which is exact, and from double
// with a single rounding. Plain integer code, so that every machine gives the same bits.
//
//   type        sign exponent mantissa bias  largest  special codes (after the sign bit)
//   f8e4m3fn       1        4        3    7      448  7f is NaN; no infinity
//   f8e4m3fnuz     1        4        3    8      240  80 is NaN; no infinity, no negative zero
//   f8e5m2         1        5        2   15    57344  7c is infinity, 7d to 7f NaN (as IEEE has it)
//   f8e5m2fnuz     1        5        2   16    57344  80 is NaN; no infinity, no negative zero
//   f4e2m1         1        2        1    1        6  none
//   f8e8m0         0        8        0  127    2^127  ff is NaN; powers of two only, no zero
//
// Sources: "FP8 Formats for Deep Learning" (Micikevicius et al., 2022), "8-bit Numerical Formats
// for Deep Neural Networks" (Noune et al., 2022), OCP Microscaling Formats 1.0; for what happens
// out of range, the tables of ONNX's Cast.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace fusee {

// How a number becomes a narrow one. Integers ignore it: they truncate and wrap.
struct NarrowRounding {
  // Only f8e8m0 knows more than one: kUp is away from zero, kNearest has ties go up. All others
  // round to the nearest, ties to even.
  enum class Mode : uint8_t { kUp, kDown, kNearest };
  // True: what lies beyond the largest number, infinity too, becomes the largest (and what lies
  // below f8e8m0's smallest, zero too, the smallest). False: infinity where the type has one, else
  // NaN. f4e2m1 has neither and always saturates.
  bool saturate = true;
  Mode mode = Mode::kUp;
};

// The values of all bytes in memory; of the types of 2 and 4 bits only the low bits count, so that
// no byte is out of place. Precondition: IsNarrow(dtype).
const float* NarrowValues(DType dtype);
inline float NarrowToFloat(DType dtype, uint8_t byte) { return NarrowValues(dtype)[byte]; }
// The same of integers. Precondition: IsNarrowInt(dtype).
int64_t NarrowToInt(DType dtype, uint8_t byte);

// The byte in memory that stands for the value rounded once. NaN becomes 0 where there is no NaN
// (integers, f4e2m1), with its sign kept where a NaN has one. Of f8e8m0, which has no sign, ONNX
// leaves negative values open: here the sign is dropped. Precondition: IsNarrow(dtype).
uint8_t DoubleToNarrow(DType dtype, double value, NarrowRounding rounding = {});
// Of an integer: exact even where a double would not hold it, and wrapping for integers.
uint8_t IntToNarrow(DType dtype, int64_t value, NarrowRounding rounding = {});
uint8_t UintToNarrow(DType dtype, uint64_t value, NarrowRounding rounding = {});

}  // namespace fusee
