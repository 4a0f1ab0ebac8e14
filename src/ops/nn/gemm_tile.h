// The innermost loop of every fast matrix product and convolution: a small tile of results kept in
// registers.
//
//   c[i][j] = (accumulate ? c[i][j] : 0) + sum over k of a[i][k] b[k][j]      i < rows, j < columns
//
// Each element is one chain of fused multiply-adds with k ascending. Splitting k over several calls
// with accumulate continues the same chain, so results depend neither on the blocking nor on the
// instruction set: the AVX2 and the AVX-512 tiles give the same bits.
//
// Only raw pointers cross this interface: the files that implement it are compiled for one
// instruction set and must not emit any inline function that the linker could keep for the whole
// program.
#pragma once

#include <cstdint>

namespace fusee::ops {

// a: `rows` rows, row_stride floats apart, each contiguous over k (depth of them).
// b: a packed panel: depth rows of `columns` floats, contiguous, any alignment.
// c: `rows` rows of `columns` floats, c_stride floats apart.
using GemmTileFn = void (*)(int64_t depth, const float* a, int64_t row_stride, const float* b,
                            float* c, int64_t c_stride, bool accumulate);

struct GemmTile {
  int rows;           // most rows of a tile, at most kMaxTileRows
  int columns;        // of a panel, at most kMaxTileColumns
  GemmTileFn run[9];  // by number of rows, 1 to `rows`; [0] is null
};

inline constexpr int kMaxTileRows = 8;
inline constexpr int kMaxTileColumns = 32;

extern const GemmTile kGemmTileAvx2;    // 6 x 16
extern const GemmTile kGemmTileAvx512;  // 8 x 32

}  // namespace fusee::ops
