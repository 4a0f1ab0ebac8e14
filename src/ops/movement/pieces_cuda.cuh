// Copies of rectangles: many rows of bytes from one pitch to another. What Concat, Split and plain
// copies are made of; up to kPiecesPerLaunch rectangles go in one launch.
#pragma once

#include <cstdint>
#include <span>

#include "ops/kernel.h"

namespace fusee::ops {

// For every row r < rows: row_bytes bytes from `from + r * from_pitch` to `to + r * to_pitch`.
// Everything counts bytes. Destinations are disjoint from each other and from every source.
struct Piece {
  const void* from = nullptr;
  void* to = nullptr;
  int64_t rows = 0;
  int64_t row_bytes = 0;
  int64_t from_pitch = 0;
  int64_t to_pitch = 0;
};

// Fits the 4 KiB of a kernel's parameters.
inline constexpr int kPiecesPerLaunch = 32;

// Moves 16 bytes at a time where the addresses, lengths and pitches of all pieces of a launch
// allow, else 8, 4, 2 or 1.
Status LaunchPieces(std::span<const Piece> pieces, void* queue);

// One piece of one row; nothing where both addresses are equal.
Status LaunchCopyBytes(const void* from, void* to, int64_t bytes, void* queue);

}  // namespace fusee::ops
