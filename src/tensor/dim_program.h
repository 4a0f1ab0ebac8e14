// Shapes that follow from other shapes, as a table of small expressions: what a plan stores, and
// what a process that holds no plan is told of a model. One pass evaluates all, without recursion,
// overflow-checked.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"

namespace fusee {

// The numbers are stored in plans; never renumber.
enum class DimOp : uint8_t {
  kConstant = 0,  // a = the value
  kSymbol = 1,    // a = index of a symbol
  kAdd = 2,
  kMul = 3,
  kFloorDiv = 4,
  kMod = 5,
  kMin = 6,
  kMax = 7,    // of entries a and b
  kCount = 8,  // a = index of a size that a run finds, b = the most it may be
};

// One entry. Operands are indices of earlier entries.
struct DimExpr {
  DimOp op = DimOp::kConstant;
  int64_t a = 0;
  int64_t b = 0;
};

// Towards minus infinity; the remainder has the divisor's sign. Both are total: a divisor of 0
// gives 0, and INT64_MIN / -1 the (refused later) 0.
int64_t FloorDivide(int64_t a, int64_t b);
int64_t FloorModulo(int64_t a, int64_t b);

// Values of all expressions for these symbol values, into out (one per expression); sizes that a
// run finds are taken at their most. Precondition: operands are earlier entries and symbols'
// indices in range (whoever read the table checked it). Errors: kOutOfRange on overflow. Allocates
// nothing when ok.
Status EvaluateDims(std::span<const DimExpr> dims, std::span<const int64_t> symbol_values,
                    std::span<int64_t> out);

// The same for some of the expressions, in the order of `which`, once the sizes they depend on are
// found: counts has one value per size. The others' values stay as they are in out.
Status EvaluateSomeDims(std::span<const DimExpr> dims, std::span<const uint32_t> which,
                        std::span<const int64_t> symbol_values, std::span<const int64_t> counts,
                        std::span<int64_t> out);

}  // namespace fusee
