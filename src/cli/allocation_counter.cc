#include "cli/allocation_counter.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FUSEE_SANITIZER_HEAP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define FUSEE_SANITIZER_HEAP 1
#endif
#endif

namespace fusee::cli {
namespace {

std::atomic<bool> g_counting{false};
std::atomic<uint64_t> g_calls{0};
std::atomic<uint64_t> g_bytes{0};

// Runs inside malloc: nothing here may allocate, lock or throw.
inline void Count(size_t bytes) {
  if (!g_counting.load(std::memory_order_relaxed)) [[likely]]
    return;
  g_calls.fetch_add(1, std::memory_order_relaxed);
  g_bytes.fetch_add(bytes, std::memory_order_relaxed);
}

}  // namespace
}  // namespace fusee::cli

#ifdef FUSEE_SANITIZER_HEAP

// Of the sanitizers' common interface; declared here because not every compiler ships the header.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*,
                                                                           size_t),
                                                         void (*on_free)(const volatile void*));

namespace fusee::cli {
namespace {
void InstallHooks() {
  static const int installed = __sanitizer_install_malloc_and_free_hooks(
      [](const volatile void*, size_t bytes) { Count(bytes); }, [](const volatile void*) {});
  (void)installed;
}
}  // namespace

bool HeapIsSanitized() { return true; }

}  // namespace fusee::cli

#else

namespace fusee::cli {
namespace {
void InstallHooks() {}
}  // namespace

bool HeapIsSanitized() { return false; }

}  // namespace fusee::cli

// glibc's own entry points, exported for replacements such as this one. free needs none: it is not
// replaced.
extern "C" {
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* block, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);

void* malloc(size_t bytes) {
  fusee::cli::Count(bytes);
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  fusee::cli::Count(count * bytes);
  return __libc_calloc(count, bytes);
}
void* realloc(void* block, size_t bytes) {
  fusee::cli::Count(bytes);
  return __libc_realloc(block, bytes);
}
void* memalign(size_t alignment, size_t bytes) {
  fusee::cli::Count(bytes);
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  fusee::cli::Count(bytes);
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** block, size_t alignment, size_t bytes) {
  const bool power_of_two = alignment != 0 && (alignment & (alignment - 1)) == 0;
  if (!power_of_two || alignment % sizeof(void*) != 0) return EINVAL;
  fusee::cli::Count(bytes);
  void* result = __libc_memalign(alignment, bytes);
  if (result == nullptr) return ENOMEM;
  *block = result;
  return 0;
}
}  // extern "C"

#endif

namespace fusee::cli {

AllocationCounter::AllocationCounter() {
  InstallHooks();
  g_calls = 0;
  g_bytes = 0;
  g_counting = true;
}

void AllocationCounter::Stop() { g_counting = false; }
uint64_t AllocationCounter::calls() const { return g_calls; }
uint64_t AllocationCounter::bytes() const { return g_bytes; }

}  // namespace fusee::cli
