#include "compiler/difference.h"

#include <algorithm>
#include <cmath>

namespace fusee::compiler {
namespace {

struct Allowance {
  double relative, norm;
  double huge;  // beyond this a result may legitimately round to infinity on one side only
};

// bf16 and f16 keep 8 and 11 bits; the norm term then covers a few units in the last place of the
// largest element.
Allowance AllowanceOf(DType dtype) {
  switch (dtype) {
    case DType::kBF16: return {2e-2, 2e-2, 1e37};
    case DType::kF16: return {4e-3, 4e-3, 6e4};
    default: return {kVerifyRtol, kVerifyNormTol, dtype == DType::kF64 ? 1e307 : 1e37};
  }
}

bool Passes(double got, double want, double norm, Allowance allowed) {
  if (got == want || (std::isnan(got) && std::isnan(want))) return true;
  // An invalid operation on one side of an overflow may be an infinity on the other.
  if (std::isnan(want)) return !std::isfinite(got);
  if (std::abs(want) > allowed.huge)
    return std::abs(got) >= allowed.huge / 2 && std::signbit(got) == std::signbit(want);
  return std::abs(got - want) <=
         allowed.relative * std::abs(want) + allowed.norm * norm + kVerifyFloor;
}

}  // namespace

Difference CompareWithReference(const ConstTensorView& got, const ConstTensorView& want) {
  Difference d;
  const int64_t n = want.elements();
  d.elements = n;
  double error_squares = 0, want_squares = 0;
  const bool exact = !IsFloat(want.dtype);
  const Allowance allowed = AllowanceOf(want.dtype);
  double norm = 0;
  for (int64_t i = 0; !exact && i < n; ++i) {
    const double w = std::abs(DoubleAt(want, i));
    if (w <= allowed.huge) norm = std::max(norm, w);
  }
  for (int64_t i = 0; i < n; ++i) {
    const double g = DoubleAt(got, i);
    const double w = DoubleAt(want, i);
    const double error = std::abs(g - w);
    if (std::isfinite(error)) {
      error_squares += error * error;
      want_squares += w * w;
      d.max_abs = std::max(d.max_abs, error);
      if (std::abs(w) > allowed.norm * norm) d.max_rel = std::max(d.max_rel, error / std::abs(w));
    }
    const bool ok = exact ? IntAt(got, i) == IntAt(want, i) : Passes(g, w, norm, allowed);
    if (!ok && d.mismatches++ == 0) {
      d.first = i;
      d.got = g;
      d.want = w;
    }
  }
  d.relative_l2 = std::sqrt(error_squares) / std::max(std::sqrt(want_squares), 1e-300);
  return d;
}

}  // namespace fusee::compiler
