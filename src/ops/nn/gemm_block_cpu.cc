#include "ops/nn/gemm_block.h"

#include <algorithm>
#include <cstring>

namespace fusee::ops {

void MultiplyPanel(const GemmTile& tile, int64_t rows, int64_t columns, int64_t depth,
                   const float* a, int64_t a_stride, const float* panel, float* y, int64_t y_stride,
                   bool accumulate, const Epilogue* epilogue, int64_t row, int64_t column) {
  // A tile writes whole panels, so a narrower one goes through a buffer.
  alignas(64) float buffer[kMaxTileRows * kMaxTileColumns];
  const bool narrow = columns < tile.columns;
  const size_t bytes = static_cast<size_t>(columns) * sizeof(float);
  if (narrow) std::memset(buffer, 0, sizeof(buffer));
  for (int64_t i = 0; i < rows; i += tile.rows) {
    const int64_t count = std::min<int64_t>(tile.rows, rows - i);
    float* out = narrow ? buffer : y + i * y_stride;
    const int64_t out_stride = narrow ? tile.columns : y_stride;
    if (narrow && accumulate) {
      for (int64_t r = 0; r < count; ++r)
        std::memcpy(buffer + r * tile.columns, y + (i + r) * y_stride, bytes);
    }
    tile.run[count](depth, a + i * a_stride, a_stride, panel, out, out_stride, accumulate);
    if (epilogue != nullptr)
      ApplyEpilogue(*epilogue, row + i, column, count, columns, out, out_stride);
    if (narrow) {
      for (int64_t r = 0; r < count; ++r)
        std::memcpy(y + (i + r) * y_stride, buffer + r * tile.columns, bytes);
    }
  }
}

}  // namespace fusee::ops
