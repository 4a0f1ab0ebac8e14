// Memory that a request's tensors lie in: taken in blocks, given back when the last user lets go.
//
// In a server with workers the blocks lie in shared memory (slab.h), so that a worker reads inputs
// and writes outputs where they are; without, they come from the heap. Inputs stay where they are
// until the answer is sent, which is what lets a batch be run again elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "tensor/tensor.h"

namespace fusee::ipc {

class BlockSource;

// A block of memory, owned; aligned to kTensorAlignment. Movable; empty when default-made or when
// there was no room. Keeps its source alive.
class Block {
 public:
  Block() = default;
  Block(std::shared_ptr<BlockSource> source, std::byte* data, size_t bytes)
      : source_(std::move(source)), data_(data), bytes_(bytes) {}
  Block(Block&& other) noexcept
      : source_(std::move(other.source_)),
        data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  Block& operator=(Block&& other) noexcept;
  ~Block() { Reset(); }
  void Reset();

  explicit operator bool() const { return data_ != nullptr; }
  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<BlockSource> source_;  // shared by all of its blocks
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

// Where blocks come from. Thread-safe.
class BlockSource : public std::enable_shared_from_this<BlockSource> {
 public:
  virtual ~BlockSource() = default;
  // At least this many bytes (0 counts as 1); an empty block when there is no room.
  Block Take(size_t bytes) {
    std::byte* data = DoTake(bytes == 0 ? 1 : bytes);
    return data == nullptr ? Block() : Block(shared_from_this(), data, bytes);
  }
  // Whether all of these bytes lie in memory of this source.
  virtual bool Holds(const void* data, size_t bytes) const = 0;
  // Bytes that one block can have at most.
  virtual size_t largest_block() const = 0;

 private:
  friend class Block;
  virtual std::byte* DoTake(size_t bytes) = 0;
  virtual void DoGive(std::byte* data) = 0;
};

inline void Block::Reset() {
  if (data_ != nullptr) source_->DoGive(std::exchange(data_, nullptr));
  source_.reset();
  bytes_ = 0;
}
inline Block& Block::operator=(Block&& other) noexcept {
  if (this != &other) {
    Reset();
    source_ = std::move(other.source_);
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

// Blocks from the heap: for executors in this process, which can read any memory.
class HeapSource final : public BlockSource {
 public:
  bool Holds(const void*, size_t) const override { return true; }
  size_t largest_block() const override { return SIZE_MAX / 2; }

 private:
  std::byte* DoTake(size_t bytes) override {
    const size_t rounded = (bytes + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
    return static_cast<std::byte*>(std::aligned_alloc(kTensorAlignment, rounded));
  }
  void DoGive(std::byte* data) override { std::free(data); }
};

// The two places of a request's tensors. They may be the same source.
struct RequestMemory {
  std::shared_ptr<BlockSource> inputs;   // shared with every block
  std::shared_ptr<BlockSource> outputs;  // the same
};

inline RequestMemory HeapMemory() {
  auto heap = std::make_shared<HeapSource>();
  return {heap, heap};
}

}  // namespace fusee::ipc
