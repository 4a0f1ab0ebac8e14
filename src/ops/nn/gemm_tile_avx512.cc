// 8 x 32: 16 accumulators, two per multiply-add port and cycle of latency; a is broadcast from
// memory.
#include <immintrin.h>

#include "ops/nn/gemm_tile.h"

namespace fusee::ops {

namespace {

template <int kRows>
void Tile(int64_t depth, const float* a, int64_t row_stride, const float* b, float* c,
          int64_t c_stride, bool accumulate) {
  __m512 sum[kRows][2];
  for (int i = 0; i < kRows; ++i) {
    sum[i][0] = accumulate ? _mm512_loadu_ps(c + i * c_stride) : _mm512_setzero_ps();
    sum[i][1] = accumulate ? _mm512_loadu_ps(c + i * c_stride + 16) : _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < depth; ++k) {
    const __m512 b0 = _mm512_loadu_ps(b);
    const __m512 b1 = _mm512_loadu_ps(b + 16);
    b += 32;
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const __m512 ai = _mm512_set1_ps(a[i * row_stride]);
      sum[i][0] = _mm512_fmadd_ps(ai, b0, sum[i][0]);
      sum[i][1] = _mm512_fmadd_ps(ai, b1, sum[i][1]);
    }
    ++a;
  }
  for (int i = 0; i < kRows; ++i) {
    _mm512_storeu_ps(c + i * c_stride, sum[i][0]);
    _mm512_storeu_ps(c + i * c_stride + 16, sum[i][1]);
  }
}

}  // namespace

const GemmTile kGemmTileAvx512 = {
    8, 32, {nullptr, Tile<1>, Tile<2>, Tile<3>, Tile<4>, Tile<5>, Tile<6>, Tile<7>, Tile<8>}};

}  // namespace fusee::ops
