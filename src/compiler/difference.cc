#include "compiler/difference.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "ops/math_mode.h"

namespace fusee::compiler {
namespace {

struct Allowance {
  double relative, norm;
  double huge;  // beyond this a result may legitimately round to infinity on one side only
  double floor = kVerifyFloor;
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

Allowance Reduce(Allowance allowed, Reduced reduced) {
  if (reduced == Reduced::kNone) return allowed;
  allowed.norm = std::max(allowed.norm, NormTolerance(reduced));
  if (reduced == Reduced::kF16) {
    allowed.huge = std::min(allowed.huge, 6e4);
    allowed.floor = kVerifyF16Floor;
  }
  return allowed;
}

bool IsMove(const plan::Step& step) {
  return step.op == "Transpose" || step.op == "Copy" || step.op == "Reshape";
}

// Outputs, and what is only moved to become one.
std::set<uint32_t> TensorsOnTheWayOut(const plan::Plan& plan) {
  std::set<uint32_t> out;
  for (const plan::IoDef& io : plan.outputs) out.insert(io.tensor);
  for (size_t i = plan.steps.size(); i-- > 0;) {
    const plan::Step& step = plan.steps[i];
    if (IsMove(step) && !step.inputs.empty() && out.contains(step.outputs[0]))
      out.insert(step.inputs[0]);
  }
  return out;
}

bool ComputesIn(const plan::Plan& plan, DType dtype) {
  const std::set<uint32_t> way_out = TensorsOnTheWayOut(plan);
  return std::ranges::any_of(plan.steps, [&](const plan::Step& step) {
    if (IsMove(step)) return false;
    return std::ranges::any_of(step.outputs, [&](uint32_t t) {
      if (t == plan::kNoTensor || plan.tensors[t].dtype != dtype) return false;
      return step.op != "Cast" || !way_out.contains(t);
    });
  });
}

bool Passes(double got, double want, double norm, Allowance allowed) {
  if (got == want || (std::isnan(got) && std::isnan(want))) return true;
  // An invalid operation on one side of an overflow may be an infinity on the other.
  if (std::isnan(want)) return !std::isfinite(got);
  if (std::abs(want) > allowed.huge)
    return std::abs(got) >= allowed.huge / 2 && std::signbit(got) == std::signbit(want);
  return std::abs(got - want) <=
         allowed.relative * std::abs(want) + allowed.norm * norm + allowed.floor;
}

}  // namespace

Reduced ReducedPrecision(const plan::Plan& candidate, const plan::Plan& reference) {
  for (const auto& [dtype, reduced] :
       {std::pair(DType::kBF16, Reduced::kBF16), std::pair(DType::kF16, Reduced::kF16)}) {
    if (ComputesIn(candidate, dtype) && !ComputesIn(reference, dtype)) return reduced;
  }
  const bool tf32 = std::ranges::any_of(candidate.steps, [](const plan::Step& step) {
    return ReducedPrecision(step.attrs) == Reduced::kTf32;
  });
  return tf32 ? Reduced::kTf32 : Reduced::kNone;
}

Reduced ReducedPrecision(const Attrs& step) {
  const auto tf32 = ops::AllowsTf32(step);
  return tf32.ok() && *tf32 ? Reduced::kTf32 : Reduced::kNone;
}

double NormTolerance(Reduced reduced) {
  switch (reduced) {
    case Reduced::kTf32:
    case Reduced::kF16: return kVerifyF16Tol;
    case Reduced::kBF16: return kVerifyBF16Tol;
    case Reduced::kNone: break;
  }
  return kVerifyNormTol;
}

Difference CompareWithReference(const ConstTensorView& got, const ConstTensorView& want,
                                Reduced reduced) {
  Difference d;
  const int64_t n = want.elements();
  d.elements = n;
  double error_squares = 0, want_squares = 0;
  const bool exact = !IsFloat(want.dtype);
  const bool integer = exact && !IsNarrowFloat(want.dtype);
  const Allowance allowed = Reduce(AllowanceOf(want.dtype), reduced);
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
      d.max_abs_want = std::max(d.max_abs_want, std::abs(w));
      if (std::abs(w) > allowed.norm * norm) d.max_rel = std::max(d.max_rel, error / std::abs(w));
    }
    // Codes of 8 bits and less are as exact as integers: neighbours lie far apart.
    const bool same =
        integer ? IntAt(got, i) == IntAt(want, i) : g == w || (std::isnan(g) && std::isnan(w));
    const bool ok = exact ? same : Passes(g, w, norm, allowed);
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
