// The one data mover behind transpose, slice, split, concat, expand, tile and pad: copies a box of
// elements from one strided arrangement to another, whatever the element type.
#pragma once

#include <array>
#include <cstdint>

#include "device/parallel.h"
#include "tensor/shape.h"

namespace fusee::ops {

// For every index (i0, i1, ...) of the box: dst[dst_offset + sum(i * dst_stride)] =
// src[src_offset + sum(i * src_stride)]. Strides and offsets count elements; source strides may be
// 0 (broadcast) or negative (reversed). Destination elements must be distinct: tasks write in
// parallel.
struct StridedCopy {
  // Tile needs two axes per dimension.
  static constexpr int kMaxAxes = 2 * kMaxRank;

  int axes = 0;
  std::array<int64_t, kMaxAxes> size{};
  std::array<int64_t, kMaxAxes> src_stride{};
  std::array<int64_t, kMaxAxes> dst_stride{};
  int64_t src_offset = 0;
  int64_t dst_offset = 0;

  // Outermost first. Precondition: fewer than kMaxAxes so far.
  void AddAxis(int64_t axis_size, int64_t axis_src_stride, int64_t axis_dst_stride);
  // The same copy with axes of size 1 dropped and neighbours that step alike merged, so that runs
  // get as long as they can; at least one axis. Precondition: no axis of size 0.
  StridedCopy Normalised() const;
  // Runs it on the CPU. element_bytes is 1, 2, 4 or 8. src and dst must not overlap. Allocates
  // nothing.
  void Run(int64_t element_bytes, const void* src, void* dst, Parallel* parallel) const;
};

}  // namespace fusee::ops
