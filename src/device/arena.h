// A block of memory taken once, before it is needed: page-backed, pre-faulted, in 2 MiB pages where
// the system grants them. First-touch faults (2.4 us per 4 KiB page, up to milliseconds for a huge
// one) so happen at load, never in a run.
#pragma once

#include <cstddef>
#include <span>

#include "base/status.h"

namespace fusee {

enum class PageAdvice : bool { kSmall = false, kHuge = true };

// Move-only owner of zeroed, private memory, aligned to at least 4 KiB (2 MiB when that large and
// kHuge). Thread-safety: the block is plain memory; share it as such.
class Arena {
 public:
  Arena() = default;  // empty: no bytes
  // Errors: kResourceExhausted when bytes exceeds what is left of the machine's memory and the
  // control group's limit, or the system refuses. 0
  // bytes are allowed. Blocking: touches every page.
  static Result<Arena> Allocate(size_t bytes, PageAdvice advice = PageAdvice::kHuge);
  ~Arena();
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;  // bytes of the mapping, size_ rounded up to pages
};

}  // namespace fusee
