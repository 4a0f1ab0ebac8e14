// What happens to a tile of sums before it is a result: scale, bias, residual, activation. Shared
// by every fast f32 kernel of the family, so that a fusion gives the same bits whichever kernel it
// lands in.
#pragma once

#include <cstdint>

#include "ops/nn/activation.h"

namespace fusee::ops {

// y[i][j] = activation((alpha * y[i][j] + beta * c[i * c_row + j * c_col])
//                      + residual[i * residual_row + j])
//
// c and residual may be null; c_col is 0 or 1. The activation comes after the residual. residual
// must not overlap the result: kernels keep partial sums there.
struct Epilogue {
  float alpha = 1;
  float beta = 1;
  const float* c = nullptr;
  int64_t c_row = 0;
  int64_t c_col = 0;
  Activation activation;
  const float* residual = nullptr;
  int64_t residual_row = 0;

  // True when it changes nothing.
  bool empty() const {
    return alpha == 1 && c == nullptr && residual == nullptr &&
           activation.kind == ActivationKind::kNone;
  }
};

// In place over `rows` rows of `columns` floats, `stride` apart; (row, column) is the tile's
// position in the result, for reading c and residual. Each element's result depends on that element
// only.
void ApplyEpilogue(const Epilogue& epilogue, int64_t row, int64_t column, int64_t rows,
                   int64_t columns, float* y, int64_t stride);

}  // namespace fusee::ops
