// One block of a blocked f32 matrix product: what matmul and convolution kernels hand to the
// register tiles.
#pragma once

#include <cstdint>

#include "ops/nn/epilogue.h"
#include "ops/nn/gemm_tile.h"

namespace fusee::ops {

// k is cut into chunks of this many, so that a chunk of a panel (16 or 32 columns) stays in the
// first-level cache while all row tiles pass over it. Cutting does not change results
// (gemm_tile.h).
inline constexpr int64_t kDepthBlock = 256;

inline int64_t PanelCount(const GemmTile& tile, int64_t columns) {
  return (columns + tile.columns - 1) / tile.columns;
}

// y[rows][columns] (+)= a[rows][depth] b[depth][columns] for one panel of b (columns <=
// tile.columns; the panel's further columns are ignored), and, if epilogue is given, that epilogue,
// whose c and residual are read at (row, column). a, y: row strides in floats. Rows of y beyond
// `columns` are not touched.
void MultiplyPanel(const GemmTile& tile, int64_t rows, int64_t columns, int64_t depth,
                   const float* a, int64_t a_stride, const float* panel, float* y, int64_t y_stride,
                   bool accumulate, const Epilogue* epilogue, int64_t row, int64_t column);

}  // namespace fusee::ops
