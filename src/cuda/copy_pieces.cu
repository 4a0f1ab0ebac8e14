// Copies a table of pieces, each cut into chunks that the grid's blocks take in turn.
//
// Table and host-side pieces lie in mapped memory: two copy nodes of a graph would cost 11 us more
// than one kernel that reads and writes over the bus (one H200, 4 KB). Floor: bytes over the bus,
// about 25 GB/s each way on PCIe 4, plus about 2 us to read the table.
#include "cuda/copy_pieces.h"
#include "cuda/launch.cuh"

namespace fusee::cuda {
namespace {

constexpr unsigned kBlocks = 128;
constexpr unsigned kThreads = 256;
constexpr uint64_t kChunkBytes = kThreads * 4 * sizeof(uint4);

// One chunk by one block: 16 bytes a thread where both sides allow it, else single bytes.
__device__ void CopyChunk(const char* from, char* to, uint64_t bytes) {
  const uint64_t misaligned =
      (reinterpret_cast<uint64_t>(from) | reinterpret_cast<uint64_t>(to)) % sizeof(uint4);
  uint64_t done = 0;
  if (misaligned == 0) {
    const uint64_t words = bytes / sizeof(uint4);
    const uint4* source = reinterpret_cast<const uint4*>(from);
    uint4* target = reinterpret_cast<uint4*>(to);
#pragma unroll 4
    for (uint64_t i = threadIdx.x; i < words; i += kThreads) target[i] = source[i];
    done = words * sizeof(uint4);
  }
  for (uint64_t i = done + threadIdx.x; i < bytes; i += kThreads) to[i] = from[i];
}

__global__ void __launch_bounds__(kThreads)
    CopyPiecesKernel(const DeviceQueue::Piece* entries, const uint32_t* count) {
  WaitForPrior();
  AllowNext();
  const uint32_t n = *count;
  uint64_t first = 0;  // chunks of the pieces before
  for (uint32_t e = 0; e < n; ++e) {
    const DeviceQueue::Piece piece = entries[e];
    const uint64_t chunks = (piece.bytes + kChunkBytes - 1) / kChunkBytes;
    // The first chunk of this piece that is this block's.
    uint64_t chunk = (blockIdx.x + kBlocks - first % kBlocks) % kBlocks;
    for (; chunk < chunks; chunk += kBlocks) {
      const uint64_t offset = chunk * kChunkBytes;
      const uint64_t bytes =
          piece.bytes - offset < kChunkBytes ? piece.bytes - offset : kChunkBytes;
      CopyChunk(static_cast<const char*>(piece.from) + offset,
                static_cast<char*>(piece.to) + offset, bytes);
    }
    first += chunks;
  }
}

__global__ void TrapKernel() { asm volatile("trap;"); }

}  // namespace

Status EnqueueCopyPieces(const DeviceQueue::Piece* entries, const uint32_t* count, void* queue) {
  return Launch(&CopyPiecesKernel, dim3(kBlocks), dim3(kThreads), 0, queue, entries, count);
}

Status EnqueueTrap(void* queue) { return Launch(&TrapKernel, dim3(1), dim3(1), 0, queue); }

}  // namespace fusee::cuda
