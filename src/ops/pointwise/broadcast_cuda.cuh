// Two or three broadcast operands, one result, element by element. As on the CPU (broadcast.h) the
// result is cut into rows in which every operand is contiguous or constant.
//
//   one row (same shapes, scalars)         FlatKernel: no index arithmetic at all
//   rows of whole packs ([4096,768]+[768]) RowsKernel: one multiplication finds the row of a pack
//   other rows ([64,49]+[64,1])            RowsKernel: the same for each element, still coalesced
//
// A function is a struct, passed to the kernels by value:
//   struct Fn {
//     using A, B, C, Out;  // C is Unused for two operands
//     __device__ Out operator()(A a, B b, C c) const;
//   };
// The result may share the memory of an operand of its own size: a thread reads what it overwrites
// before it writes.
#pragma once

#include <algorithm>
#include <array>

#include "cuda/fast_div.cuh"
#include "cuda/vec.cuh"
#include "ops/kernel.h"
#include "ops/pointwise/broadcast.h"

namespace fusee::ops::pointwise {

struct Unused {
  uint8_t none;
};

template <typename Fn>
inline constexpr size_t kOperandsOf = std::is_same_v<typename Fn::C, Unused> ? 2 : 3;

// Elements of a thread: 16 bytes of the widest type.
template <typename Fn>
inline constexpr int kPackOf =
    static_cast<int>(16 / std::max({sizeof(typename Fn::A), sizeof(typename Fn::B),
                                    sizeof(typename Fn::C), sizeof(typename Fn::Out)}));

template <typename Fn>
struct Operands {
  const typename Fn::A* a;
  const typename Fn::B* b;
  const typename Fn::C* c;  // null for two operands
  typename Fn::Out* y;
};

template <typename T>
__device__ __forceinline__ T Element(const T* p, int64_t i) {
  if constexpr (std::is_same_v<T, Unused>)
    return Unused{};
  else
    return p[i];
}

// n elements from p, or n times *p.
template <int n, typename T>
__device__ __forceinline__ cuda::Vec<T, n> Elements(const T* p, bool contiguous) {
  cuda::Vec<T, n> v{};
  if constexpr (!std::is_same_v<T, Unused>) {
    if (contiguous) return *reinterpret_cast<const cuda::Vec<T, n>*>(p);
    const T value = *p;
#pragma unroll
    for (int i = 0; i < n; ++i) v.value[i] = value;
  }
  return v;
}

template <typename Fn, typename A, typename B, typename C>
__device__ __forceinline__ void StorePack(const Fn& fn, const A& a, const B& b, const C& c,
                                          typename Fn::Out* to) {
  constexpr int kPack = kPackOf<Fn>;
  cuda::Vec<typename Fn::Out, kPack> out;
#pragma unroll
  for (int i = 0; i < kPack; ++i) out.value[i] = fn(a.value[i], b.value[i], c.value[i]);
  *reinterpret_cast<cuda::Vec<typename Fn::Out, kPack>*>(to) = out;
}

// stride: 1 where an operand is contiguous, 0 where it is one element.
template <typename Fn>
__global__ void __launch_bounds__(cuda::kElementThreads)
    FlatKernel(Operands<Fn> at, int stride_a, int stride_b, int stride_c, int64_t count,
               bool packed, Fn fn) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  constexpr int kPack = kPackOf<Fn>;
  const int64_t begin =
      (blockIdx.x * static_cast<int64_t>(cuda::kElementThreads) + threadIdx.x) * kPack;
  if (packed && begin + kPack <= count) {
    StorePack(fn, Elements<kPack>(at.a + begin * stride_a, stride_a != 0),
              Elements<kPack>(at.b + begin * stride_b, stride_b != 0),
              Elements<kPack>(at.c + begin * stride_c, stride_c != 0), at.y + begin);
    return;
  }
  const int64_t end = begin + kPack < count ? begin + kPack : count;
  for (int64_t i = begin; i < end; ++i) {
    at.y[i] =
        fn(Element(at.a, i * stride_a), Element(at.b, i * stride_b), Element(at.c, i * stride_c));
  }
}

// Fewer than 2^31 elements in rows. Strides count elements.
struct RowsPlan {
  uint32_t count = 0;
  int axes = 0;  // above the row, outermost first
  bool packed = false;
  cuda::FastDiv row;
  std::array<uint32_t, 3> row_stride{};  // 0 or 1
  std::array<cuda::FastDiv, kMaxRank> extent{};
  std::array<std::array<uint32_t, 3>, kMaxRank> stride{};
};

// Where a row begins in each operand.
struct RowOffsets {
  uint32_t a = 0, b = 0, c = 0;

  __device__ __forceinline__ RowOffsets(const RowsPlan& plan, uint32_t row) {
    for (int i = plan.axes - 1; i >= 0; --i) {
      uint32_t index = row;
      if (i > 0) row = plan.extent[i].Divide(row, &index);
      a += index * plan.stride[i][0];
      b += index * plan.stride[i][1];
      c += index * plan.stride[i][2];
    }
  }
};

template <typename Fn>
__global__ void __launch_bounds__(cuda::kElementThreads)
    RowsKernel(Operands<Fn> at, const __grid_constant__ RowsPlan plan, Fn fn) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  constexpr uint32_t kPack = kPackOf<Fn>;
  const uint32_t block_begin = blockIdx.x * (cuda::kElementThreads * kPack);
  if (plan.packed) {
    const uint32_t begin = block_begin + threadIdx.x * kPack;
    if (begin >= plan.count) return;
    uint32_t column;
    const uint32_t row = plan.row.Divide(begin, &column);
    const RowOffsets from(plan, row);
    StorePack(fn,
              Elements<kPack>(at.a + from.a + column * plan.row_stride[0], plan.row_stride[0] != 0),
              Elements<kPack>(at.b + from.b + column * plan.row_stride[1], plan.row_stride[1] != 0),
              Elements<kPack>(at.c + from.c + column * plan.row_stride[2], plan.row_stride[2] != 0),
              at.y + begin);
    return;
  }
#pragma unroll 1
  for (uint32_t k = 0; k < kPack; ++k) {
    const uint32_t i = block_begin + k * cuda::kElementThreads + threadIdx.x;
    if (i >= plan.count) return;
    uint32_t column;
    const uint32_t row = plan.row.Divide(i, &column);
    const RowOffsets from(plan, row);
    at.y[i] = fn(Element(at.a, from.a + column * plan.row_stride[0]),
                 Element(at.b, from.b + column * plan.row_stride[1]),
                 Element(at.c, from.c + column * plan.row_stride[2]));
  }
}

namespace broadcast_internal {

// Elements of one launch of RowsKernel: below FastDiv's limit, a multiple of every pack.
inline constexpr int64_t kChunk = int64_t{1} << 30;

template <typename Fn>
bool Aligned(const Operands<Fn>& at, const std::array<int64_t, 3>& row_stride) {
  constexpr int kPack = kPackOf<Fn>;
  return cuda::IsVecAligned<typename Fn::Out, kPack>(at.y) &&
         (row_stride[0] == 0 || cuda::IsVecAligned<typename Fn::A, kPack>(at.a)) &&
         (row_stride[1] == 0 || cuda::IsVecAligned<typename Fn::B, kPack>(at.b)) &&
         (row_stride[2] == 0 || cuda::IsVecAligned<typename Fn::C, kPack>(at.c));
}

template <typename Fn>
Operands<Fn> Moved(Operands<Fn> at, const std::array<int64_t, 3>& by, int64_t y) {
  return {at.a + by[0], at.b + by[1], at.c == nullptr ? nullptr : at.c + by[2], at.y + y};
}

// Strides of an axis by operand; 0 for the third of two.
template <size_t N>
std::array<int64_t, 3> Strides(const BroadcastRows<N>& rows, size_t axis) {
  std::array<int64_t, 3> stride{};
  for (size_t k = 0; k < N; ++k) stride[k] = rows.stride(axis, k);
  return stride;
}

// The part of the rows whose index on `axis` lies in [0, extent) and on the axes above it is fixed.
template <typename Fn, size_t N>
Status LaunchRows(const BroadcastRows<N>& rows, size_t axis, int64_t extent, Operands<Fn> at,
                  void* queue, const Fn& fn) {
  constexpr int kPack = kPackOf<Fn>;
  const size_t last = rows.rank() - 1;
  const int64_t row = axis == last ? extent : rows.extent(last);
  const std::array<int64_t, 3> row_stride = Strides(rows, last);
  RowsPlan plan;
  plan.row = cuda::FastDiv(row);
  int64_t count = row;
  for (size_t k = 0; k < 3; ++k) plan.row_stride[k] = static_cast<uint32_t>(row_stride[k]);
  for (size_t a = axis; a < last; ++a) {
    const auto i = static_cast<size_t>(plan.axes++);
    const int64_t size = a == axis ? extent : rows.extent(a);
    const std::array<int64_t, 3> stride = Strides(rows, a);
    plan.extent[i] = cuda::FastDiv(size);
    count *= size;
    for (size_t k = 0; k < 3; ++k) plan.stride[i][k] = static_cast<uint32_t>(stride[k]);
  }
  plan.count = static_cast<uint32_t>(count);
  plan.packed = row % kPack == 0 && Aligned(at, row_stride);
  return cuda::Launch(&RowsKernel<Fn>, cuda::BlocksFor((count + kPack - 1) / kPack),
                      dim3(cuda::kElementThreads), 0, queue, at, plan, fn);
}

// Cuts what is too large for 32-bit indices along its outermost axes.
template <typename Fn, size_t N>
Status LaunchChunks(const BroadcastRows<N>& rows, size_t axis, const Operands<Fn>& at, void* queue,
                    const Fn& fn) {
  int64_t inner = 1;
  for (size_t a = axis + 1; a < rows.rank(); ++a) inner *= rows.extent(a);
  const std::array<int64_t, 3> stride = Strides(rows, axis);
  const int64_t step = std::max<int64_t>(kChunk / inner, 1);
  for (int64_t begin = 0; begin < rows.extent(axis); begin += step) {
    const Operands<Fn> from =
        Moved(at, {begin * stride[0], begin * stride[1], begin * stride[2]}, begin * inner);
    if (inner > kChunk) {
      FUSEE_TRY(LaunchChunks(rows, axis + 1, from, queue, fn));
    } else {
      FUSEE_TRY(LaunchRows(rows, axis, std::min(step, rows.extent(axis) - begin), from, queue, fn));
    }
  }
  return OkStatus();
}

}  // namespace broadcast_internal

// Result 0 = fn(operands), which broadcast to its shape.
template <typename Fn>
Status LaunchBroadcast(const RunArgs& args, const Fn& fn) {
  constexpr size_t N = kOperandsOf<Fn>;
  constexpr int kPack = kPackOf<Fn>;
  const int64_t count = args.outputs[0].elements();
  if (count == 0) return OkStatus();
  std::array<const Shape*, N> shapes;
  for (size_t k = 0; k < N; ++k) shapes[k] = &args.inputs[k].shape;
  const BroadcastRows<N> rows(args.outputs[0].shape, shapes);
  const Operands<Fn> at{
      static_cast<const typename Fn::A*>(args.inputs[0].data),
      static_cast<const typename Fn::B*>(args.inputs[1].data),
      N > 2 ? static_cast<const typename Fn::C*>(args.inputs[N - 1].data) : nullptr,
      static_cast<typename Fn::Out*>(args.outputs[0].data)};
  if (rows.rank() > 1) return broadcast_internal::LaunchChunks(rows, 0, at, args.queue, fn);
  const std::array<int64_t, 3> stride = broadcast_internal::Strides(rows, 0);
  return cuda::Launch(&FlatKernel<Fn>, cuda::BlocksFor((count + kPack - 1) / kPack),
                      dim3(cuda::kElementThreads), 0, args.queue, at, static_cast<int>(stride[0]),
                      static_cast<int>(stride[1]), static_cast<int>(stride[2]), count,
                      broadcast_internal::Aligned(at, stride), fn);
}

}  // namespace fusee::ops::pointwise
