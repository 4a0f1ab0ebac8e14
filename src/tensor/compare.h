// Comparison of a computed tensor with the expected one, as every verdict of Fusee makes it.
//
// An element passes when |got - want| <= atol + rtol * |want|, or both are NaN, or both are the
// same infinity, or (integers and bool) both are equal.
#pragma once

#include <cstdint>
#include <string>

#include "tensor/tensor.h"

namespace fusee {

struct Tolerance {
  double rtol = 1e-3;
  double atol = 1e-5;
};

// The tolerance that golden data of this element type was made with: 1e-3/1e-5, and 1e-2/1e-3 for
// half precisions.
Tolerance DefaultTolerance(DType dtype);

struct Comparison {
  bool passed = true;
  int64_t elements = 0;
  int64_t mismatches = 0;
  int64_t first_mismatch = -1;  // flat index of the first, -1 when none
  double max_abs_error = 0;     // over finite pairs
  double max_rel_error = 0;     // over finite pairs with |want| > atol
  double got = 0, want = 0;     // at first_mismatch, or at the largest error when none
  std::string
      reason;  // set when shapes or dtypes differ, or: "12 of 640 elements differ, first at ..."
};

// Shapes and dtypes must agree, else it fails with the reason. Cost: one pass. Thread-safe.
Comparison Compare(const ConstTensorView& got, const ConstTensorView& want, Tolerance tolerance);

}  // namespace fusee
