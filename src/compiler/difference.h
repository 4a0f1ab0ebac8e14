// When a result counts as equal to the reference's.
//
// A float element passes when |got - want| <= kVerifyRtol * |want| + kVerifyNormTol * max|want| +
// kVerifyFloor: the second term is what rounding of long sums costs an element that happens to come
// out near zero. Integers must be equal. Elements whose expected value is not finite, or beyond
// 1e37 (where float may round to infinity), only have to be large too. Half precisions, which round
// every intermediate value, get the multiple of both terms that their unit in the last place is of
// float's.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace fusee::compiler {

inline constexpr double kVerifyRtol = 1e-3;
inline constexpr double kVerifyNormTol = 2e-5;
// The square root of the smallest normal float: below it squares underflow in float and not in the
// reference.
inline constexpr double kVerifyFloor = 1.1e-19;

struct Difference {
  int64_t elements = 0;
  int64_t mismatches = 0;
  double relative_l2 = 0;    // |got - want| / |want| over finite pairs, as vectors
  int64_t first = -1;        // flat index of the first mismatch
  double got = 0, want = 0;  // there
  double max_abs = 0;        // over finite pairs
  double max_rel = 0;        // over those that are not tiny beside the largest
};

// Precondition: equal dtypes and shapes. Cost: two passes.
Difference CompareWithReference(const ConstTensorView& got, const ConstTensorView& want);

}  // namespace fusee::compiler
