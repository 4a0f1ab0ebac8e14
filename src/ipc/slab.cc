#include "ipc/slab.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <bit>
#include <functional>

namespace fusee::ipc {

Result<std::shared_ptr<Slab>> Slab::Create(const std::string& name, size_t bytes) {
  if (bytes < kBlockBytesMin || bytes > kBytesMax) {
    return InvalidArgument(fmt::format("slab '{}': expected {} to {} bytes, got {}", name,
                                       kBlockBytesMin, kBytesMax, bytes));
  }
  FUSEE_TRY(SharedMemory memory, SharedMemory::Create(name, std::bit_floor(bytes)));
  return std::shared_ptr<Slab>(new Slab(std::move(memory)));
}

Slab::Slab(SharedMemory memory) : memory_(std::move(memory)) {
  const size_t pages = memory_.size() / kBlockBytesMin;
  const auto orders = static_cast<size_t>(std::countr_zero(pages)) + 1;
  state_.assign(pages, kInside);
  next_.assign(pages, kNone);
  before_.assign(pages, kNone);
  free_.assign(orders, kNone);
  Push(0, static_cast<uint8_t>(orders - 1));
}

void Slab::Push(uint32_t page, uint8_t order) {
  state_[page] = order;
  before_[page] = kNone;
  next_[page] = free_[order];
  if (free_[order] != kNone) before_[free_[order]] = page;
  free_[order] = page;
}

void Slab::Unlink(uint32_t page, uint8_t order) {
  (before_[page] == kNone ? free_[order] : next_[before_[page]]) = next_[page];
  if (next_[page] != kNone) before_[next_[page]] = before_[page];
  state_[page] = kInside;
}

std::byte* Slab::DoTake(size_t bytes) {
  if (bytes > memory_.size()) return nullptr;
  const size_t pages = std::bit_ceil((bytes + kBlockBytesMin - 1) / kBlockBytesMin);
  const auto want = static_cast<uint8_t>(std::countr_zero(pages));
  const std::lock_guard lock(mutex_);
  uint8_t order = want;
  while (order < free_.size() && free_[order] == kNone) ++order;
  if (order == free_.size()) return nullptr;
  const uint32_t page = free_[order];
  Unlink(page, order);
  // The upper halves go back, until what is left is as small as it may be.
  while (order > want) {
    --order;
    Push(page + (uint32_t{1} << order), order);
  }
  state_[page] = kTaken | want;
  taken_bytes_ += pages * kBlockBytesMin;
  return memory_.data() + size_t{page} * kBlockBytesMin;
}

void Slab::DoGive(std::byte* data) {
  auto page = static_cast<uint32_t>(static_cast<size_t>(data - memory_.data()) / kBlockBytesMin);
  FUSEE_CHECK(state_[page] != kInside && (state_[page] & kTaken) != 0,
              "a block of the slab was given back twice");
  auto order = static_cast<uint8_t>(state_[page] & ~kTaken);
  const size_t bytes = kBlockBytesMin << order;
  // Still ours here: after the lock somebody else may have it.
  if (bytes >= kReturnBytes) madvise(data, bytes, MADV_REMOVE);
  const std::lock_guard lock(mutex_);
  taken_bytes_ -= bytes;
  state_[page] = kInside;
  while (order + size_t{1} < free_.size()) {
    const uint32_t buddy = page ^ (uint32_t{1} << order);
    if (state_[buddy] != order) break;  // taken, or split
    Unlink(buddy, order);
    page = std::min(page, buddy);
    ++order;
  }
  Push(page, order);
}

bool Slab::Holds(const void* data, size_t bytes) const {
  const auto* at = static_cast<const std::byte*>(data);
  const std::less_equal<const std::byte*> not_after;
  if (!not_after(memory_.data(), at) || !not_after(at, memory_.data() + memory_.size()))
    return false;
  return bytes <= memory_.size() - static_cast<size_t>(at - memory_.data());
}

uint64_t Slab::OffsetOf(const void* data) const {
  return static_cast<uint64_t>(static_cast<const std::byte*>(data) - memory_.data());
}

size_t Slab::taken_bytes() const {
  const std::lock_guard lock(mutex_);
  return taken_bytes_;
}

}  // namespace fusee::ipc
