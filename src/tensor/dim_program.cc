#include "tensor/dim_program.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked_math.h"

namespace fusee {

int64_t FloorDivide(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return a == INT64_MIN ? 0 : -a;
  const int64_t q = a / b;
  return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

int64_t FloorModulo(int64_t a, int64_t b) {
  if (b == 0 || b == -1) return 0;
  const int64_t r = a % b;
  return r + ((r != 0 && ((r < 0) != (b < 0))) ? b : 0);
}

namespace {

// counts: null takes each at its most.
Status EvaluateOne(std::span<const DimExpr> dims, size_t i, std::span<const int64_t> symbol_values,
                   const int64_t* counts, std::span<int64_t> out) {
  const DimExpr& e = dims[i];
  const auto a = [&] { return out[static_cast<size_t>(e.a)]; };
  const auto b = [&] { return out[static_cast<size_t>(e.b)]; };
  bool fits = true;
  switch (e.op) {
    case DimOp::kConstant: out[i] = e.a; break;
    case DimOp::kSymbol: out[i] = symbol_values[static_cast<size_t>(e.a)]; break;
    case DimOp::kAdd: fits = CheckedAdd(a(), b(), &out[i]); break;
    case DimOp::kMul: fits = CheckedMul(a(), b(), &out[i]); break;
    case DimOp::kFloorDiv: out[i] = FloorDivide(a(), b()); break;
    case DimOp::kMod: out[i] = FloorModulo(a(), b()); break;
    case DimOp::kMin: out[i] = std::min(a(), b()); break;
    case DimOp::kMax: out[i] = std::max(a(), b()); break;
    case DimOp::kCount: out[i] = counts == nullptr ? e.b : counts[static_cast<size_t>(e.a)]; break;
  }
  if (fits) return OkStatus();
  return OutOfRange(fmt::format(
      "dimension expression {} overflows 64 bits for these shapes; use smaller ones", i));
}

}  // namespace

Status EvaluateDims(std::span<const DimExpr> dims, std::span<const int64_t> symbol_values,
                    std::span<int64_t> out) {
  for (size_t i = 0; i < dims.size(); ++i)
    FUSEE_TRY(EvaluateOne(dims, i, symbol_values, nullptr, out));
  return OkStatus();
}

Status EvaluateSomeDims(std::span<const DimExpr> dims, std::span<const uint32_t> which,
                        std::span<const int64_t> symbol_values, std::span<const int64_t> counts,
                        std::span<int64_t> out) {
  for (const uint32_t i : which) FUSEE_TRY(EvaluateOne(dims, i, symbol_values, counts.data(), out));
  return OkStatus();
}

}  // namespace fusee
