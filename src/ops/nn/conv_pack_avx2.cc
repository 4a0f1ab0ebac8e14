#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "ops/nn/conv_pack.h"
#include "ops/nn/gemm_tile.h"

namespace fusee::ops {

namespace {

// n floats; the tail by a masked move, because runs are short (a row of a 7 x 7 plane) and a call
// would cost more.
inline void CopyRun(const float* from, int64_t n, float* to) {
  alignas(32) static constexpr int32_t kMask[16] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                                    0,  0,  0,  0,  0,  0,  0,  0};
  int64_t j = 0;
  for (; j + 8 <= n; j += 8) _mm256_storeu_ps(to + j, _mm256_loadu_ps(from + j));
  if (j < n) {
    const __m256i mask = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMask + 8 - (n - j)));
    _mm256_maskstore_ps(to + j, mask, _mm256_maskload_ps(from + j, mask));
  }
}

inline void ZeroRun(int64_t n, float* to) {
  for (int64_t j = 0; j < n; ++j) to[j] = 0;
}

// Consecutive pixels of a panel that lie in one output row.
struct Run {
  int64_t lane, length;
  int64_t depth, height, width;  // input position under tap (0, 0, 0); may be negative
};

int FindRuns(const Window& w, int64_t pixel, int64_t count, Run* runs) {
  int n = 0;
  for (int64_t lane = 0; lane < count;) {
    const int64_t p = pixel + lane;
    const int64_t column = p % w.out[2];
    const int64_t row = p / w.out[2];
    const int64_t length = std::min(count - lane, w.out[2] - column);
    runs[n++] = {lane, length, row / w.out[1] * w.stride[0] - w.pad_begin[0],
                 row % w.out[1] * w.stride[1] - w.pad_begin[1],
                 column * w.stride[2] - w.pad_begin[2]};
    lane += length;
  }
  return n;
}

// One run of one row: `from` is the input row, `column` the input column of its first pixel.
inline void PackRun(const float* from, int64_t column, int64_t stride, int64_t width,
                    int64_t length, float* to) {
  if (stride == 1) {
    const int64_t low = std::clamp<int64_t>(-column, 0, length);
    const int64_t high = std::clamp<int64_t>(width - column, low, length);
    ZeroRun(low, to);
    CopyRun(from + column + low, high - low, to + low);
    ZeroRun(length - high, to + high);
    return;
  }
  for (int64_t j = 0; j < length; ++j, column += stride) {
    to[j] = column >= 0 && column < width ? from[column] : 0.0f;
  }
}

// The tap that row k stands for.
struct Tap {
  int64_t channel, depth, height, width;

  Tap(const Window& w, int64_t k)
      : channel(k / w.KernelElements()),
        depth(k / (w.kernel[1] * w.kernel[2]) % w.kernel[0]),
        height(k / w.kernel[2] % w.kernel[1]),
        width(k % w.kernel[2]) {}
  void Next(const Window& w) {
    if (++width < w.kernel[2]) return;
    width = 0;
    if (++height < w.kernel[1]) return;
    height = 0;
    if (++depth < w.kernel[0]) return;
    depth = 0;
    ++channel;
  }
};

}  // namespace

void PackPixels(const Window& w, const float* x, int64_t k_begin, int64_t k_end, int64_t pixel,
                int64_t count, int64_t columns, float* out) {
  Run runs[kMaxTileColumns];
  for (int64_t first = 0; first < count; first += columns) {
    const int64_t lanes = std::min(columns, count - first);
    const int run_count = FindRuns(w, pixel + first, lanes, runs);
    Tap tap(w, k_begin);
    for (int64_t k = k_begin; k < k_end; ++k, out += columns, tap.Next(w)) {
      if (lanes < columns) ZeroRun(columns - lanes, out + lanes);
      for (int r = 0; r < run_count; ++r) {
        const Run& run = runs[r];
        const int64_t d = run.depth + tap.depth * w.dilation[0];
        const int64_t h = run.height + tap.height * w.dilation[1];
        if (d < 0 || d >= w.in[0] || h < 0 || h >= w.in[1]) {
          ZeroRun(run.length, out + run.lane);
          continue;
        }
        const float* row = x + ((tap.channel * w.in[0] + d) * w.in[1] + h) * w.in[2];
        PackRun(row, run.width + tap.width * w.dilation[2], w.stride[2], w.in[2], run.length,
                out + run.lane);
      }
    }
  }
}

}  // namespace fusee::ops
