// Request memory that worker processes map: one shared memory, handed out in blocks of powers of
// two.
//
//   [ 4 KiB | 4 KiB |   8 KiB   |          16 KiB          |            free 32 KiB  ... ]
//
// What is free and what is not lies in this process's own memory, never in the shared one: whatever
// a worker writes there, the allocator cannot be confused. A worker knows a block by its offset.
#pragma once

#include <mutex>
#include <vector>

#include "ipc/memory.h"
#include "ipc/shared_memory.h"

namespace fusee::ipc {

// A buddy allocator. Thread-safe. Take and give are O(log size) under one mutex.
class Slab final : public BlockSource {
 public:
  static constexpr size_t kBlockBytesMin = 4096;   // a page: two requests never share one
  static constexpr size_t kReturnBytes = 1 << 20;  // blocks from here on give their pages back
  static constexpr size_t kBytesMax = size_t{16} << 30;

  // bytes: rounded down to a power of two of at least kBlockBytesMin. Errors: those of
  // SharedMemory::Create; kInvalidArgument beyond kBytesMax.
  static Result<std::shared_ptr<Slab>> Create(const std::string& name, size_t bytes);

  const SharedMemory& memory() const { return memory_; }
  bool Holds(const void* data, size_t bytes) const override;
  size_t largest_block() const override { return memory_.size(); }
  // From the start of the memory. Precondition: Holds(data, 1).
  uint64_t OffsetOf(const void* data) const;
  // Bytes in blocks that are taken, rounded up as they were.
  size_t taken_bytes() const;

 private:
  explicit Slab(SharedMemory memory);
  std::byte* DoTake(size_t bytes) override;
  void DoGive(std::byte* data) override;

  static constexpr uint32_t kNone = 0xffffffffu;
  static constexpr uint8_t kInside = 0xff;  // not the first page of a block
  static constexpr uint8_t kTaken = 0x80;   // or'ed with the order
  void Push(uint32_t page, uint8_t order);
  void Unlink(uint32_t page, uint8_t order);

  const SharedMemory memory_;
  mutable std::mutex mutex_;
  std::vector<uint8_t> state_;  // per page, guarded by mutex_: order, kTaken | order, kInside
  std::vector<uint32_t> next_, before_;  // free lists through the first pages, guarded by mutex_
  std::vector<uint32_t> free_;           // per order, the first free block; guarded by mutex_
  size_t taken_bytes_ = 0;               // guarded by mutex_
};

}  // namespace fusee::ipc
