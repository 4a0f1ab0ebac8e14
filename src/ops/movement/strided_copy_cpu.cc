#include "ops/movement/strided_copy.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "ops/movement/kernel_support.h"

namespace fusee::ops {
namespace {

// Side of the square that a two-dimensional transpose works on: 32 x 32 floats fill an eighth of a
// 32 KiB L1 cache, and a row of it is two cache lines.
constexpr int64_t kTile = 32;

// Walks the outer axes of a copy in row-major order, keeping both offsets.
class Odometer {
 public:
  Odometer(const StridedCopy& copy, int axes, int64_t start) : copy_(copy), axes_(axes) {
    src = copy.src_offset;
    dst = copy.dst_offset;
    for (int i = axes - 1; i >= 0; --i) {
      const auto a = static_cast<size_t>(i);
      index_[a] = start % copy.size[a];
      start /= copy.size[a];
      src += index_[a] * copy.src_stride[a];
      dst += index_[a] * copy.dst_stride[a];
    }
  }

  void Next() {
    for (int i = axes_ - 1; i >= 0; --i) {
      const auto a = static_cast<size_t>(i);
      src += copy_.src_stride[a];
      dst += copy_.dst_stride[a];
      if (++index_[a] < copy_.size[a]) return;
      index_[a] = 0;
      src -= copy_.size[a] * copy_.src_stride[a];
      dst -= copy_.size[a] * copy_.dst_stride[a];
    }
  }

  int64_t src = 0;
  int64_t dst = 0;

 private:
  const StridedCopy& copy_;
  const int axes_;
  std::array<int64_t, StridedCopy::kMaxAxes> index_{};
};

template <typename T>
void CopyRow(const T* src, int64_t src_stride, T* dst, int64_t dst_stride, int64_t n) {
  if (dst_stride == 1 && src_stride == 1) {
    std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(T));
  } else if (dst_stride == 1 && src_stride == 0) {
    std::fill(dst, dst + n, *src);
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i * dst_stride] = src[i * src_stride];
  }
}

template <typename T>
void CopyRows(const StridedCopy& copy, const T* src, T* dst, Parallel* parallel) {
  const auto inner = static_cast<size_t>(copy.axes - 1);
  int64_t rows = 1;
  for (size_t i = 0; i < inner; ++i) rows *= copy.size[i];
  const int64_t n = copy.size[inner];
  ParallelBlocks(parallel, rows, kElementsPerTask / n, [&](int64_t begin, int64_t end) {
    Odometer at(copy, copy.axes - 1, begin);
    for (int64_t row = begin; row < end; ++row, at.Next()) {
      CopyRow(src + at.src, copy.src_stride[inner], dst + at.dst, copy.dst_stride[inner], n);
    }
  });
}

// Axis `axes - 2` is contiguous in the source, axis `axes - 1` in the destination: goes tile by
// tile, so that neither side touches a cache line for one element only.
template <typename T>
void CopyTiles(const StridedCopy& copy, const T* src, T* dst, Parallel* parallel) {
  const auto a = static_cast<size_t>(copy.axes - 2);
  const auto b = static_cast<size_t>(copy.axes - 1);
  const int64_t a_size = copy.size[a], b_size = copy.size[b];
  const int64_t a_dst = copy.dst_stride[a], b_src = copy.src_stride[b];
  int64_t planes = 1;
  for (size_t i = 0; i < a; ++i) planes *= copy.size[i];
  const int64_t strips = (a_size + kTile - 1) / kTile;
  const int64_t grain = kElementsPerTask / (kTile * b_size);
  ParallelBlocks(parallel, planes * strips, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Odometer at(copy, copy.axes - 2, i / strips);
      const int64_t a0 = i % strips * kTile, a1 = std::min(a0 + kTile, a_size);
      for (int64_t b0 = 0; b0 < b_size; b0 += kTile) {
        const int64_t b1 = std::min(b0 + kTile, b_size);
        for (int64_t y = a0; y < a1; ++y) {
          T* const to = dst + at.dst + y * a_dst;
          const T* const from = src + at.src + y;
          for (int64_t x = b0; x < b1; ++x) to[x] = from[x * b_src];
        }
      }
    }
  });
}

template <typename T>
void RunTyped(StridedCopy copy, const void* src, void* dst, Parallel* parallel) {
  const auto* from = static_cast<const T*>(src);
  auto* to = static_cast<T*>(dst);
  const auto inner = static_cast<size_t>(copy.axes - 1);
  if (copy.dst_stride[inner] == 1 && copy.src_stride[inner] > 1) {
    for (size_t i = 0; i < inner; ++i) {
      if (copy.src_stride[i] != 1) continue;
      // The order of the outer axes does not matter to the result: bring this one next to the last.
      for (size_t k = i; k + 1 < inner; ++k) {
        std::swap(copy.size[k], copy.size[k + 1]);
        std::swap(copy.src_stride[k], copy.src_stride[k + 1]);
        std::swap(copy.dst_stride[k], copy.dst_stride[k + 1]);
      }
      return CopyTiles(copy, from, to, parallel);
    }
  }
  CopyRows(copy, from, to, parallel);
}

}  // namespace

void StridedCopy::Run(int64_t element_bytes, const void* src, void* dst, Parallel* parallel) const {
  for (int i = 0; i < axes; ++i) {
    if (size[static_cast<size_t>(i)] == 0) return;
  }
  const StridedCopy copy = Normalised();
  switch (element_bytes) {
    case 1: return RunTyped<uint8_t>(copy, src, dst, parallel);
    case 2: return RunTyped<uint16_t>(copy, src, dst, parallel);
    case 4: return RunTyped<uint32_t>(copy, src, dst, parallel);
    case 8: return RunTyped<uint64_t>(copy, src, dst, parallel);
    default: FUSEE_CHECK(false, "no such element size");
  }
}

}  // namespace fusee::ops
