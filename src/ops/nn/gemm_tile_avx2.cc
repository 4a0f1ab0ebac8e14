// 6 x 16: 12 accumulators, 2 registers of b, 1 broadcast of a: 15 of 16 registers.
#include <immintrin.h>

#include "ops/nn/gemm_tile.h"

namespace fusee::ops {

namespace {

template <int kRows>
void Tile(int64_t depth, const float* a, int64_t row_stride, const float* b, float* c,
          int64_t c_stride, bool accumulate) {
  __m256 sum[kRows][2];
  for (int i = 0; i < kRows; ++i) {
    sum[i][0] = accumulate ? _mm256_loadu_ps(c + i * c_stride) : _mm256_setzero_ps();
    sum[i][1] = accumulate ? _mm256_loadu_ps(c + i * c_stride + 8) : _mm256_setzero_ps();
  }
  for (int64_t k = 0; k < depth; ++k) {
    const __m256 b0 = _mm256_loadu_ps(b);
    const __m256 b1 = _mm256_loadu_ps(b + 8);
    b += 16;
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const __m256 ai = _mm256_broadcast_ss(a + i * row_stride);
      sum[i][0] = _mm256_fmadd_ps(ai, b0, sum[i][0]);
      sum[i][1] = _mm256_fmadd_ps(ai, b1, sum[i][1]);
    }
    ++a;
  }
  for (int i = 0; i < kRows; ++i) {
    _mm256_storeu_ps(c + i * c_stride, sum[i][0]);
    _mm256_storeu_ps(c + i * c_stride + 8, sum[i][1]);
  }
}

}  // namespace

const GemmTile kGemmTileAvx2 = {
    6, 16, {nullptr, Tile<1>, Tile<2>, Tile<3>, Tile<4>, Tile<5>, Tile<6>, nullptr, nullptr}};

}  // namespace fusee::ops
