#include "ops/movement/pieces_cuda.cuh"

#include <algorithm>
#include <array>

#include "cuda/fast_div.cuh"
#include "cuda/vec.cuh"

namespace fusee::ops {
namespace {

// Elements that one thread moves, a block apart from each other.
constexpr uint32_t kPerThread = 4;
constexpr uint32_t kPerBlock = cuda::kElementThreads * kPerThread;
// Elements of one piece of a launch: below FastDiv's limit.
constexpr int64_t kChunk = int64_t{1} << 30;

// A Piece with lengths and pitches in elements of some width.
struct Part {
  const void* from = nullptr;
  void* to = nullptr;
  int64_t from_pitch = 0;
  int64_t to_pitch = 0;
  uint32_t count = 0;
  cuda::FastDiv row;
};
struct Parts {
  std::array<Part, kPiecesPerLaunch> part;
};

// blockIdx.y is the piece.
template <typename Bits>
__global__ void __launch_bounds__(cuda::kElementThreads)
    PiecesKernel(const __grid_constant__ Parts parts) {
  cuda::WaitForPrior();
  cuda::AllowNext();
  const Part& part = parts.part[blockIdx.y];
  const auto* from = static_cast<const Bits*>(part.from);
  auto* to = static_cast<Bits*>(part.to);
  const uint32_t begin = blockIdx.x * kPerBlock + threadIdx.x;
  Bits value[kPerThread];
  int64_t at[kPerThread];
#pragma unroll
  for (uint32_t k = 0; k < kPerThread; ++k) {
    const uint32_t i = begin + k * cuda::kElementThreads;
    if (i >= part.count) continue;
    uint32_t column;
    const int64_t row = part.row.Divide(i, &column);
    value[k] = from[row * part.from_pitch + column];
    at[k] = row * part.to_pitch + column;
  }
#pragma unroll
  for (uint32_t k = 0; k < kPerThread; ++k) {
    if (begin + k * cuda::kElementThreads < part.count) to[at[k]] = value[k];
  }
}

// The widest element that divides everything about the pieces.
int64_t WidthOf(std::span<const Piece> pieces) {
  uint64_t all = 16;
  for (const Piece& p : pieces) {
    all |= reinterpret_cast<uintptr_t>(p.from) | reinterpret_cast<uintptr_t>(p.to) |
           static_cast<uint64_t>(p.row_bytes);
    // Of one row the pitches do not count.
    if (p.rows > 1) all |= static_cast<uint64_t>(p.from_pitch) | static_cast<uint64_t>(p.to_pitch);
  }
  return static_cast<int64_t>(all & (~all + 1));
}

class Batch {
 public:
  Batch(int64_t width, void* queue) : width_(width), queue_(queue) {}

  // Cuts what is too large for 32-bit indices, and launches when there are enough parts.
  Status Add(const Piece& p) {
    const int64_t row = p.row_bytes / width_;
    if (p.rows == 0 || row == 0) return OkStatus();
    const int64_t columns = std::min(row, kChunk);
    const int64_t rows = kChunk / columns;
    for (int64_t r = 0; r < p.rows; r += rows) {
      for (int64_t c = 0; c < row; c += columns) {
        const int64_t width = std::min(columns, row - c);
        const int64_t height = std::min(rows, p.rows - r);
        Part part;
        part.from = static_cast<const char*>(p.from) + r * p.from_pitch + c * width_;
        part.to = static_cast<char*>(p.to) + r * p.to_pitch + c * width_;
        part.from_pitch = p.from_pitch / width_;
        part.to_pitch = p.to_pitch / width_;
        part.count = static_cast<uint32_t>(width * height);
        part.row = cuda::FastDiv(width);
        parts_.part[static_cast<size_t>(count_++)] = part;
        largest_ = std::max(largest_, part.count);
        if (count_ == kPiecesPerLaunch) FUSEE_TRY(Launch());
      }
    }
    return OkStatus();
  }

  Status Launch() {
    if (count_ == 0) return OkStatus();
    const dim3 grid((largest_ + kPerBlock - 1) / kPerBlock, static_cast<unsigned>(count_));
    count_ = 0;
    largest_ = 0;
    return cuda::VisitBytes(width_, [&]<typename Bits>() -> Status {
      return cuda::Launch(&PiecesKernel<Bits>, grid, dim3(cuda::kElementThreads), 0, queue_,
                          parts_);
    });
  }

 private:
  const int64_t width_;
  void* const queue_;
  Parts parts_;
  int count_ = 0;
  uint32_t largest_ = 0;
};

}  // namespace

Status LaunchPieces(std::span<const Piece> pieces, void* queue) {
  Batch batch(WidthOf(pieces), queue);
  for (const Piece& p : pieces) FUSEE_TRY(batch.Add(p));
  return batch.Launch();
}

Status LaunchCopyBytes(const void* from, void* to, int64_t bytes, void* queue) {
  if (from == to) return OkStatus();
  const Piece piece{from, to, 1, bytes, bytes, bytes};
  return LaunchPieces({&piece, 1}, queue);
}

}  // namespace fusee::ops
