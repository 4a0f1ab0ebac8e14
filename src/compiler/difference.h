// When a result counts as equal to the reference's.
//
// A float element passes when |got - want| <= kVerifyRtol * |want| + kVerifyNormTol * max|want| +
// kVerifyFloor: the second term is what rounding of long sums costs an element that happens to come
// out near zero. Integers must be equal. Elements whose expected value is not finite, or beyond
// 1e37 (where float may round to infinity), only have to be large too. Half precisions, which round
// every intermediate value, get the multiple of both terms that their unit in the last place is of
// float's.
//
// A plan that computes in a lower precision than its reference (the model's own) is measured by the
// largest element alone: kVerifyF16Tol or kVerifyBF16Tol instead of kVerifyNormTol. TF32, which
// rounds operands of products as f16 does, is measured as f16, without f16's limits of range.
#pragma once

#include <cstdint>

#include "plan/plan.h"
#include "tensor/tensor.h"

namespace fusee::compiler {

inline constexpr double kVerifyRtol = 1e-3;
inline constexpr double kVerifyNormTol = 2e-5;
// The square root of the smallest normal float: below it squares underflow in float and not in the
// reference.
inline constexpr double kVerifyFloor = 1.1e-19;

inline constexpr double kVerifyF16Tol = 1e-2;  // and of TF32
inline constexpr double kVerifyBF16Tol = 4e-2;
// The smallest normal f16: what an f16 plan may make of smaller values.
inline constexpr double kVerifyF16Floor = 6.2e-5;

// A precision below float's, in which a plan computes though its model does not say so.
enum class Reduced : uint8_t { kNone, kTf32, kF16, kBF16 };

// The lowest precision that the candidate computes in and the reference does not. Taking inputs or
// giving outputs in 16 bits is not computing in them: casts and moves between them and the rest do
// not count.
Reduced ReducedPrecision(const plan::Plan& candidate, const plan::Plan& reference);
// Of one step: kTf32 when it may round its operands, else kNone (its types say the rest).
Reduced ReducedPrecision(const Attrs& step);
// What stands in the place of kVerifyNormTol.
double NormTolerance(Reduced reduced);

struct Difference {
  int64_t elements = 0;
  int64_t mismatches = 0;
  double relative_l2 = 0;    // |got - want| / |want| over finite pairs, as vectors
  int64_t first = -1;        // flat index of the first mismatch
  double got = 0, want = 0;  // there
  double max_abs = 0;        // over finite pairs
  double max_abs_want = 0;   // the same; what max_abs is to be seen beside
  double max_rel = 0;        // over those that are not tiny beside the largest
};

// reduced: as ReducedPrecision says, of the plan or the step. Precondition: equal dtypes and
// shapes. Cost: two passes.
Difference CompareWithReference(const ConstTensorView& got, const ConstTensorView& want,
                                Reduced reduced = Reduced::kNone);

}  // namespace fusee::compiler
