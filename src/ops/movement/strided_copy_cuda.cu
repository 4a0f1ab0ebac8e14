#include "ops/movement/strided_copy_cuda.cuh"

#include <algorithm>
#include <array>

#include "cuda/fast_div.cuh"
#include "cuda/vec.cuh"

namespace fusee::ops {
namespace {

// Elements that one thread of BoxKernel moves, a block apart from each other.
constexpr uint32_t kPerThread = 4;
constexpr uint32_t kPerBlock = cuda::kElementThreads * kPerThread;
// Elements of one launch: below FastDiv's limit.
constexpr int64_t kChunk = int64_t{1} << 30;
// Below this side a tile of a transpose would be mostly empty.
constexpr int64_t kTileSideMin = 8;

// Axes outermost first, in 32-bit indices.
struct Box {
  uint32_t count = 0;
  int axes = 0;
  std::array<cuda::FastDiv, StridedCopy::kMaxAxes> size{};
  std::array<int64_t, StridedCopy::kMaxAxes> src{};
  std::array<int64_t, StridedCopy::kMaxAxes> dst{};

  void AddAxis(int64_t axis_size, int64_t src_stride, int64_t dst_stride) {
    const auto i = static_cast<size_t>(axes++);
    size[i] = cuda::FastDiv(axis_size);
    src[i] = src_stride;
    dst[i] = dst_stride;
  }
  __device__ __forceinline__ void Offsets(uint32_t rest, int64_t* from, int64_t* to) const {
    *from = 0;
    *to = 0;
    for (int i = axes - 1; i >= 0; --i) {
      uint32_t index = rest;
      if (i > 0) rest = size[i].Divide(rest, &index);
      *from += index * src[i];
      *to += index * dst[i];
    }
  }
};

template <typename Bits>
__global__ void __launch_bounds__(cuda::kElementThreads)
    BoxKernel(const Bits* src, Bits* dst, const __grid_constant__ Box box) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const uint32_t begin = blockIdx.x * kPerBlock + threadIdx.x;
  Bits value[kPerThread];
  int64_t at[kPerThread];
#pragma unroll
  for (uint32_t k = 0; k < kPerThread; ++k) {
    const uint32_t i = begin + k * cuda::kElementThreads;
    if (i >= box.count) continue;
    int64_t from;
    box.Offsets(i, &from, &at[k]);
    value[k] = src[from];
  }
#pragma unroll
  for (uint32_t k = 0; k < kPerThread; ++k) {
    if (begin + k * cuda::kElementThreads < box.count) dst[at[k]] = value[k];
  }
}

// A plane of a transpose: axis a is contiguous in the source, axis b in the destination.
struct TilePlan {
  int64_t a_size = 0, b_size = 0;
  int64_t a_dst = 0, b_src = 0;
  cuda::FastDiv a_tiles, b_tiles;
  Box planes;  // the other axes; count is not used
};

constexpr int kTileThreadsX = 32, kTileThreadsY = 8;
template <typename Bits>
constexpr int kTileSide = sizeof(Bits) <= 2 ? 64 : 32;

template <typename Bits>
__global__ void __launch_bounds__(kTileThreadsX* kTileThreadsY)
    TileKernel(const Bits* src, Bits* dst, const __grid_constant__ TilePlan plan) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  constexpr int kSide = kTileSide<Bits>;
  __shared__ Bits tile[kSide][kSide + 1];  // the odd pitch keeps columns on different banks
  uint32_t a_tile, b_tile;
  const uint32_t plane = plan.a_tiles.Divide(plan.b_tiles.Divide(blockIdx.x, &b_tile), &a_tile);
  int64_t from, to;
  plan.planes.Offsets(plane, &from, &to);
  const int64_t a0 = static_cast<int64_t>(a_tile) * kSide;
  const int64_t b0 = static_cast<int64_t>(b_tile) * kSide;
#pragma unroll
  for (int y = threadIdx.y; y < kSide; y += kTileThreadsY) {
#pragma unroll
    for (int x = threadIdx.x; x < kSide; x += kTileThreadsX) {
      if (a0 + x < plan.a_size && b0 + y < plan.b_size)
        tile[y][x] = src[from + (b0 + y) * plan.b_src + a0 + x];
    }
  }
  __syncthreads();
#pragma unroll
  for (int y = threadIdx.y; y < kSide; y += kTileThreadsY) {
#pragma unroll
    for (int x = threadIdx.x; x < kSide; x += kTileThreadsX) {
      if (a0 + y < plan.a_size && b0 + x < plan.b_size)
        dst[to + (a0 + y) * plan.a_dst + b0 + x] = tile[x][y];
    }
  }
}

template <typename Bits>
Status LaunchBox(const StridedCopy& copy, const void* src, void* dst, void* queue) {
  Box box;
  int64_t count = 1;
  for (size_t i = 0; i < static_cast<size_t>(copy.axes); ++i) {
    box.AddAxis(copy.size[i], copy.src_stride[i], copy.dst_stride[i]);
    count *= copy.size[i];
  }
  box.count = static_cast<uint32_t>(count);
  return cuda::Launch(&BoxKernel<Bits>, dim3((box.count + kPerBlock - 1) / kPerBlock),
                      dim3(cuda::kElementThreads), 0, queue,
                      static_cast<const Bits*>(src) + copy.src_offset,
                      static_cast<Bits*>(dst) + copy.dst_offset, box);
}

// The axis that is contiguous in the source, where a tiled transpose pays; else -1.
int TransposedAxis(const StridedCopy& copy) {
  const auto inner = static_cast<size_t>(copy.axes - 1);
  if (copy.dst_stride[inner] != 1 || copy.src_stride[inner] <= 1) return -1;
  if (copy.size[inner] < kTileSideMin) return -1;
  for (size_t i = 0; i < inner; ++i) {
    if (copy.src_stride[i] == 1 && copy.size[i] >= kTileSideMin) return static_cast<int>(i);
  }
  return -1;
}

template <typename Bits>
Status LaunchTiles(const StridedCopy& copy, int transposed, const void* src, void* dst,
                   void* queue) {
  const auto a = static_cast<size_t>(transposed);
  const auto b = static_cast<size_t>(copy.axes - 1);
  constexpr int64_t kSide = kTileSide<Bits>;
  TilePlan plan;
  plan.a_size = copy.size[a];
  plan.b_size = copy.size[b];
  plan.a_dst = copy.dst_stride[a];
  plan.b_src = copy.src_stride[b];
  const int64_t a_tiles = (plan.a_size + kSide - 1) / kSide;
  const int64_t b_tiles = (plan.b_size + kSide - 1) / kSide;
  plan.a_tiles = cuda::FastDiv(a_tiles);
  plan.b_tiles = cuda::FastDiv(b_tiles);
  int64_t planes = 1;
  for (size_t i = 0; i < b; ++i) {
    if (i == a) continue;
    plan.planes.AddAxis(copy.size[i], copy.src_stride[i], copy.dst_stride[i]);
    planes *= copy.size[i];
  }
  return cuda::Launch(&TileKernel<Bits>, dim3(static_cast<unsigned>(planes * a_tiles * b_tiles)),
                      dim3(kTileThreadsX, kTileThreadsY), 0, queue,
                      static_cast<const Bits*>(src) + copy.src_offset,
                      static_cast<Bits*>(dst) + copy.dst_offset, plan);
}

// Rewrites runs that are contiguous on both sides in the widest elements that everything about the
// copy is a multiple of. Returns their size.
int64_t Widen(StridedCopy& copy, int64_t element_bytes, const void* src, const void* dst) {
  const auto inner = static_cast<size_t>(copy.axes - 1);
  if (copy.src_stride[inner] != 1 || copy.dst_stride[inner] != 1) return element_bytes;
  // In bytes; of a negative number the low bits say the same.
  int64_t all = (copy.size[inner] | copy.src_offset | copy.dst_offset) * element_bytes;
  for (size_t i = 0; i < inner; ++i)
    all |= (copy.src_stride[i] | copy.dst_stride[i]) * element_bytes;
  uint64_t bits = static_cast<uint64_t>(all) | reinterpret_cast<uintptr_t>(src) |
                  reinterpret_cast<uintptr_t>(dst) | 16;
  const auto width = static_cast<int64_t>(bits & (~bits + 1));
  const int64_t factor = width / element_bytes;
  if (factor <= 1) return element_bytes;
  copy.size[inner] /= factor;
  copy.src_offset /= factor;
  copy.dst_offset /= factor;
  for (size_t i = 0; i < inner; ++i) {
    copy.src_stride[i] /= factor;
    copy.dst_stride[i] /= factor;
  }
  return width;
}

// Cuts what is too large for 32-bit indices along its outermost axes.
Status LaunchChunks(StridedCopy copy, size_t axis, int64_t bytes, const void* src, void* dst,
                    void* queue) {
  int64_t inner = 1;
  for (size_t i = axis + 1; i < static_cast<size_t>(copy.axes); ++i) inner *= copy.size[i];
  const int64_t size = copy.size[axis];
  const int64_t step = std::max<int64_t>(kChunk / inner, 1);
  for (int64_t begin = 0; begin < size; begin += step) {
    StridedCopy part = copy;
    part.size[axis] = std::min(step, size - begin);
    part.src_offset += begin * copy.src_stride[axis];
    part.dst_offset += begin * copy.dst_stride[axis];
    if (inner > kChunk) {
      FUSEE_TRY(LaunchChunks(part, axis + 1, bytes, src, dst, queue));
      continue;
    }
    const int transposed = TransposedAxis(part);
    FUSEE_TRY(cuda::VisitBytes(bytes, [&]<typename Bits>() -> Status {
      if constexpr (sizeof(Bits) <= 8) {
        if (transposed >= 0) return LaunchTiles<Bits>(part, transposed, src, dst, queue);
      }
      return LaunchBox<Bits>(part, src, dst, queue);
    }));
  }
  return OkStatus();
}

}  // namespace

Status LaunchStridedCopy(const StridedCopy& copy, int64_t element_bytes, const void* src, void* dst,
                         void* queue) {
  for (int i = 0; i < copy.axes; ++i) {
    if (copy.size[static_cast<size_t>(i)] == 0) return OkStatus();
  }
  StridedCopy normal = copy.Normalised();
  const int64_t bytes = Widen(normal, element_bytes, src, dst);
  return LaunchChunks(normal, 0, bytes, src, dst, queue);
}

}  // namespace fusee::ops
