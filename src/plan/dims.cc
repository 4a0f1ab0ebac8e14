#include "plan/dims.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked_math.h"

namespace fusee::plan {
namespace {

constexpr int64_t kSaturation = int64_t{1} << 62;

int64_t Saturate(__int128 value) {
  return static_cast<int64_t>(std::clamp<__int128>(value, -kSaturation, kSaturation));
}

DimBounds Hull(std::initializer_list<__int128> corners) {
  const auto [low, high] = std::minmax_element(corners.begin(), corners.end());
  return {Saturate(*low), Saturate(*high)};
}

DimBounds BoundFloorDiv(DimBounds a, DimBounds b) {
  // The quotient is largest in magnitude at the smallest divisors, so those around 0 join the
  // corners.
  DimBounds result{INT64_MAX, INT64_MIN};
  for (int64_t divisor : {b.min, b.max, int64_t{-1}, int64_t{0}, int64_t{1}}) {
    if (divisor < b.min || divisor > b.max) continue;
    for (int64_t value : {a.min, a.max}) {
      const int64_t q = FloorDivide(value, divisor);
      result.min = std::min(result.min, q);
      result.max = std::max(result.max, q);
    }
  }
  return result;
}

DimBounds BoundModulo(DimBounds a, DimBounds b) {
  if (b.min > 0 && a.min >= 0 && a.max < b.min) return a;  // never wraps
  return {std::min<int64_t>(0, b.min < 0 ? b.min + 1 : 0),
          std::max<int64_t>(0, b.max > 0 ? b.max - 1 : 0)};
}

}  // namespace

std::vector<DimBounds> BoundDims(std::span<const DimExpr> dims, std::span<const Symbol> symbols) {
  std::vector<DimBounds> bounds(dims.size());
  for (size_t i = 0; i < dims.size(); ++i) {
    const DimExpr& e = dims[i];
    if (e.op == DimOp::kConstant) {
      bounds[i] = {Saturate(e.a), Saturate(e.a)};
      continue;
    }
    if (e.op == DimOp::kCount) {
      bounds[i] = {0, Saturate(e.b)};
      continue;
    }
    if (e.op == DimOp::kSymbol) {
      const Symbol& symbol = symbols[static_cast<size_t>(e.a)];
      bounds[i] = {Saturate(symbol.min), Saturate(symbol.max)};
      continue;
    }
    const DimBounds a = bounds[static_cast<size_t>(e.a)];
    const DimBounds b = bounds[static_cast<size_t>(e.b)];
    const auto wide = [](int64_t v) { return static_cast<__int128>(v); };
    switch (e.op) {
      case DimOp::kConstant:
      case DimOp::kSymbol:
      case DimOp::kCount: break;
      case DimOp::kAdd: bounds[i] = Hull({wide(a.min) + b.min, wide(a.max) + b.max}); break;
      case DimOp::kMul:
        bounds[i] = Hull(
            {wide(a.min) * b.min, wide(a.min) * b.max, wide(a.max) * b.min, wide(a.max) * b.max});
        break;
      case DimOp::kFloorDiv: bounds[i] = BoundFloorDiv(a, b); break;
      case DimOp::kMod: bounds[i] = BoundModulo(a, b); break;
      case DimOp::kMin: bounds[i] = {std::min(a.min, b.min), std::min(a.max, b.max)}; break;
      case DimOp::kMax: bounds[i] = {std::max(a.min, b.min), std::max(a.max, b.max)}; break;
    }
  }
  return bounds;
}

std::vector<int64_t> KnownAfter(const Plan& plan) {
  std::vector<int64_t> finder(plan.counts.size(), kKnownAtStart);
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    for (const uint32_t count : plan.steps[i].counts) finder[count] = static_cast<int64_t>(i);
  }
  std::vector<int64_t> known(plan.dims.size(), kKnownAtStart);
  for (size_t i = 0; i < plan.dims.size(); ++i) {
    const DimExpr& e = plan.dims[i];
    if (e.op == DimOp::kConstant || e.op == DimOp::kSymbol) continue;
    const auto a = static_cast<size_t>(e.a);
    known[i] =
        e.op == DimOp::kCount ? finder[a] : std::max(known[a], known[static_cast<size_t>(e.b)]);
  }
  return known;
}

int64_t LastKnown(const Plan& plan, std::span<const int64_t> known_after,
                  std::span<const uint32_t> tensors) {
  int64_t last = kKnownAtStart;
  for (const uint32_t t : tensors) {
    if (t == kNoTensor) continue;
    for (const uint32_t d : plan.tensors[t].shape) last = std::max(last, known_after[d]);
  }
  return last;
}

std::vector<int64_t> SymbolValues(const Plan& plan, ProfilePoint point) {
  std::vector<int64_t> values;
  values.reserve(plan.symbols.size());
  for (const Symbol& s : plan.symbols) {
    switch (point) {
      case ProfilePoint::kMin: values.push_back(s.min); break;
      case ProfilePoint::kOpt: values.push_back(s.opt); break;
      case ProfilePoint::kMax: values.push_back(s.max); break;
    }
  }
  return values;
}

Result<Shape> ShapeOf(const TensorDef& tensor, std::span<const int64_t> dim_values) {
  Shape shape;
  int64_t bits = BitsPerElement(tensor.dtype);
  for (uint32_t d : tensor.shape) {
    const int64_t dim = dim_values[d];
    shape.push_back(dim);
    if (dim < 0) {
      return OutOfRange(fmt::format(
          "tensor '{}': dimension {} is {}, expected at least 0; the shapes given do not fit "
          "this model",
          tensor.name, shape.rank() - 1, dim));
    }
    // A dimension of 0 does not hide the others, so that no partial product in a kernel can
    // overflow either.
    if (dim != 0 && !CheckedMul(bits, dim, &bits)) {
      return OutOfRange(
          fmt::format("tensor '{}': shape {}... overflows 64 bits", tensor.name, shape.ToString()));
    }
  }
  return shape;
}

}  // namespace fusee::plan
