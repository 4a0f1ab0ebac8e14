// Counts what the whole test program asks of operator new. In a file of its own, so that no caller
// inlines the operators and then warns of a mismatch.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

// Sanitizers bring operators of their own, which must stay whole.
namespace fusee::runtime {
int64_t AllocationsSoFar() { return -1; }
}  // namespace fusee::runtime

#else

namespace {
std::atomic<int64_t> allocations{0};  // counted by the operators below, for the whole test program
}

void* operator new(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(size)) return p;
  std::abort();
}
void* operator new(size_t size, std::align_val_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  const auto a = static_cast<size_t>(alignment);
  if (void* p = std::aligned_alloc(a, (size + a - 1) / a * a)) return p;
  std::abort();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }

namespace fusee::runtime {
int64_t AllocationsSoFar() { return allocations.load(); }
}  // namespace fusee::runtime

#endif
