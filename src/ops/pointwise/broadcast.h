// The walk of the fast elementwise kernels: broadcast operands are cut into rows that are
// contiguous or constant, and rows into blocks of fixed size that run on any thread.
//
//   [8,64,56,56] + [64,1,1]   ->  512 rows of 3136, operand 1 constant within a row
//   [32,128,768] + [768]      ->  4096 rows of 768, both contiguous
//   [32,128,768] + [1]        ->  1 row of 3145728, operand 1 constant
#pragma once

#include <array>
#include <cstdint>

#include "device/parallel.h"
#include "ops/movement/kernel_support.h"
#include "tensor/shape.h"

// Elements of one loop are independent even where result and operand share memory (same index),
// which compilers cannot see.
#if defined(__clang__)
#define FUSEE_INDEPENDENT_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define FUSEE_INDEPENDENT_LOOP _Pragma("GCC ivdep")
#endif

namespace fusee::ops::pointwise {

// Rows of N operands under one result. Dimensions that every operand walks alike are merged into
// one; the last is the row, in which each operand's stride is 0 or 1.
template <size_t N>
class BroadcastRows {
 public:
  // Precondition: every shape broadcasts to out.
  BroadcastRows(const Shape& out, const std::array<const Shape*, N>& shapes) {
    for (int axis = 0; axis < out.rank(); ++axis) {
      if (out[axis] == 1) continue;
      std::array<bool, N> walks;
      for (size_t k = 0; k < N; ++k) {
        const int own = axis - (out.rank() - shapes[k]->rank());
        walks[k] = own >= 0 && (*shapes[k])[own] != 1;
      }
      if (rank_ > 0 && walks == walks_[last()]) {
        extent_[last()] *= out[axis];
      } else {
        walks_[rank_] = walks;
        extent_[rank_++] = out[axis];
      }
    }
    if (rank_ == 0) {
      extent_[rank_++] = 1;
      walks_[0].fill(true);
    }
    std::array<int64_t, N> step;
    step.fill(1);
    for (size_t axis = rank_; axis-- > 0;) {
      for (size_t k = 0; k < N; ++k) {
        stride_[axis][k] = walks_[axis][k] ? step[k] : 0;
        if (walks_[axis][k]) step[k] *= extent_[axis];
      }
    }
    for (size_t axis = 0; axis < last(); ++axis) rows_ *= extent_[axis];
  }

  // The merged dimensions, outermost first; rank() is at least 1 and the last is the row.
  size_t rank() const { return rank_; }
  int64_t extent(size_t axis) const { return extent_[axis]; }
  int64_t stride(size_t axis, size_t operand) const { return stride_[axis][operand]; }

  // Calls body(result offset, operand offsets, operand strides in the row, count) for pieces of
  // rows that cover the result once.
  template <typename Body>
  void Run(Parallel* parallel, Body&& body) const {
    const int64_t row = extent_[last()];
    if (row == 0 || rows_ == 0) return;
    if (row >= kElementsPerTask) {  // long rows: cut each
      const int64_t pieces = (row + kElementsPerTask - 1) / kElementsPerTask;
      parallel->Run(rows_ * pieces, [&](int64_t task) {
        const int64_t begin = task % pieces * kElementsPerTask;
        Piece(task / pieces, begin, std::min(row - begin, kElementsPerTask), body);
      });
      return;
    }
    ParallelBlocks(parallel, rows_, kElementsPerTask / row, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) Piece(r, 0, row, body);
    });
  }

 private:
  size_t last() const { return rank_ - 1; }

  template <typename Body>
  void Piece(int64_t row, int64_t begin, int64_t count, Body&& body) const {
    std::array<int64_t, N> offset;
    for (size_t k = 0; k < N; ++k) offset[k] = begin * stride_[last()][k];
    int64_t rest = row;
    for (size_t axis = last(); axis-- > 0;) {
      const int64_t index = rest % extent_[axis];
      rest /= extent_[axis];
      for (size_t k = 0; k < N; ++k) offset[k] += index * stride_[axis][k];
    }
    body(row * extent_[last()] + begin, offset, stride_[last()], count);
  }

  size_t rank_ = 0;
  int64_t rows_ = 1;
  std::array<int64_t, kMaxRank> extent_{};
  std::array<std::array<bool, N>, kMaxRank> walks_{};
  std::array<std::array<int64_t, N>, kMaxRank> stride_{};
};

}  // namespace fusee::ops::pointwise
