#include "tensor/compare.h"

#include <cmath>
#include <cstdio>

namespace fusee {
namespace {

std::string Number(double v) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.9g", v);
  return text;
}

bool Passes(double got, double want, bool exact, Tolerance t) {
  if (got == want) return true;
  if (std::isnan(got) && std::isnan(want)) return true;
  if (exact || !std::isfinite(got) || !std::isfinite(want)) return false;
  return std::abs(got - want) <= t.atol + t.rtol * std::abs(want);
}

}  // namespace

Tolerance DefaultTolerance(DType dtype) {
  if (dtype == DType::kF16 || dtype == DType::kBF16) return {1e-2, 1e-3};
  return {1e-3, 1e-5};
}

Comparison Compare(const ConstTensorView& got, const ConstTensorView& want, Tolerance tolerance) {
  Comparison result;
  if (got.dtype != want.dtype || !(got.shape == want.shape)) {
    result.passed = false;
    result.reason =
        "expected " + Describe(want.dtype, want.shape) + ", got " + Describe(got.dtype, got.shape);
    return result;
  }
  result.elements = want.elements();
  const bool exact = !IsFloat(want.dtype);
  const bool integer = exact && !IsNarrowFloat(want.dtype);
  double worst = -1;
  for (int64_t i = 0; i < result.elements; ++i) {
    const double a = DoubleAt(got, i);
    const double b = DoubleAt(want, i);
    const double error = std::abs(a - b);
    if (std::isfinite(error)) {
      result.max_abs_error = std::max(result.max_abs_error, error);
      if (std::abs(b) > tolerance.atol)
        result.max_rel_error = std::max(result.max_rel_error, error / std::abs(b));
      if (result.mismatches == 0 && error > worst) {
        worst = error;
        result.got = a;
        result.want = b;
      }
    }
    // 64-bit integers do not fit a double; compare them as integers.
    const bool ok = integer ? IntAt(got, i) == IntAt(want, i) : Passes(a, b, exact, tolerance);
    if (!ok && result.mismatches++ == 0) {
      result.first_mismatch = i;
      result.got = a;
      result.want = b;
    }
  }
  if (result.mismatches > 0) {
    result.passed = false;
    result.reason = std::to_string(result.mismatches) + " of " + std::to_string(result.elements) +
                    " elements differ, first at flat index " +
                    std::to_string(result.first_mismatch) + ": expected " + Number(result.want) +
                    ", got " + Number(result.got) + " (rtol " + Number(tolerance.rtol) + ", atol " +
                    Number(tolerance.atol) + ")";
  }
  return result;
}

}  // namespace fusee
