#include "device/arena.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/checked_math.h"
#include "device/memory_limits.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; older headers lack it
#endif

namespace fusee {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;

// Maps `bytes` at a multiple of alignment: maps more, gives the ends back.
void* MapAligned(size_t bytes, size_t alignment) {
  const size_t total = bytes + alignment - kPage;
  void* raw = ::mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = AlignUp(begin, alignment);
  if (aligned > begin) ::munmap(raw, aligned - begin);
  const size_t tail = begin + total - (aligned + bytes);
  if (tail > 0) ::munmap(reinterpret_cast<void*>(aligned + bytes), tail);
  return reinterpret_cast<void*>(aligned);
}

}  // namespace

Result<Arena> Arena::Allocate(size_t bytes, PageAdvice advice) {
  // Beyond what is free the pre-fault below would end in the out-of-memory killer, not in an error.
  if (const uint64_t usable = UsableMemoryBytes(); bytes > usable) {
    return ResourceExhausted(fmt::format(
        "cannot take {} bytes: this process may take {} more (available memory and control group's "
        "limit); free memory, raise the limit or use smaller maximum shapes",
        bytes, usable));
  }
  const bool huge = advice == PageAdvice::kHuge && bytes >= kHugePage;
  Arena arena;
  arena.size_ = bytes;
  arena.mapped_ = AlignUp(bytes == 0 ? 1 : bytes, huge ? kHugePage : kPage);
  void* memory = MapAligned(arena.mapped_, huge ? kHugePage : kPage);
  if (memory == nullptr) {
    arena.mapped_ = 0;
    return ResourceExhausted(fmt::format("cannot map {} bytes: {}", bytes, std::strerror(errno)));
  }
  arena.data_ = static_cast<std::byte*>(memory);
  if (huge)
    (void)::madvise(memory, arena.mapped_,
                    MADV_HUGEPAGE);  // advice: absence of huge pages is no error
  if (::madvise(memory, arena.mapped_, MADV_POPULATE_WRITE) != 0) {
    if (errno != EINVAL)
      return ResourceExhausted(
          fmt::format("cannot populate {} bytes: {}", bytes, std::strerror(errno)));
    volatile std::byte* touch = arena.data_;  // an older kernel
    for (size_t i = 0; i < arena.mapped_; i += kPage) touch[i] = std::byte{0};
  }
  return arena;
}

Arena::~Arena() {
  if (data_ != nullptr) ::munmap(data_, mapped_);
}

Arena::Arena(Arena&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, 0)) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_, other.mapped_);
  return *this;
}

}  // namespace fusee
