#include "cli/allocation_counter.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <span>
#include <thread>

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
std::atomic<uint64_t> g_calls_elsewhere{0};

constexpr int kFramesMax = 40;

// A call as it was traced; written by its thread, read once ready says so.
struct RawTrace {
  void* frames[kFramesMax] = {};
  size_t bytes = 0;
  std::thread::id thread;
  int frame_count = 0;
  std::atomic<bool> ready{false};
};

std::atomic<bool> g_tracing{false};
std::thread::id g_thread;  // that made the counter
RawTrace g_traces[AllocationCounter::kTracesMax];
thread_local bool t_tracing = false;      // what the unwinder itself may ask for is nobody's run
std::atomic<const bool*> g_own{nullptr};  // t_tracing of the thread that made the counter

// Never inlined, so that it is exactly the first frame.
[[gnu::noinline]] void Trace(RawTrace* trace, size_t bytes) {
  t_tracing = true;
  trace->bytes = bytes;
  trace->thread = std::this_thread::get_id();
  trace->frame_count = ::backtrace(trace->frames, kFramesMax);
  t_tracing = false;
  trace->ready.store(true, std::memory_order_release);
}

// Runs inside malloc: nothing here may allocate, lock or throw.
[[gnu::always_inline]] inline void Count(size_t bytes) {
  if (!g_counting.load(std::memory_order_relaxed)) [[likely]]
    return;
  if (t_tracing) return;
  const uint64_t call = g_calls.fetch_add(1, std::memory_order_relaxed);
  g_bytes.fetch_add(bytes, std::memory_order_relaxed);
  if (g_own.load(std::memory_order_relaxed) != &t_tracing)
    g_calls_elsewhere.fetch_add(1, std::memory_order_relaxed);
  if (g_tracing.load(std::memory_order_relaxed) && call < AllocationCounter::kTracesMax)
    Trace(&g_traces[call], bytes);
}

// "cuGraphLaunch+0x8c (/usr/lib/libcuda.so.1+0x2f1a3c)", or the bracket alone without a symbol.
std::string DescribeFrame(const void* address) {
  // A return address may be the next function's first; the call itself lies before it.
  const auto at = reinterpret_cast<uintptr_t>(address) - 1;
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(at), &info) == 0 || info.dli_fname == nullptr)
    return fmt::format("{:#x}", at);
  std::string place =
      fmt::format("{}+{:#x}", info.dli_fname, at - reinterpret_cast<uintptr_t>(info.dli_fbase));
  if (info.dli_sname == nullptr) return place;
  int status = 0;
  char* const demangled = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
  std::string text = fmt::format("{}+{:#x} ({})", demangled != nullptr ? demangled : info.dli_sname,
                                 at - reinterpret_cast<uintptr_t>(info.dli_saddr), place);
  std::free(demangled);
  return text;
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

AllocationCounter::AllocationCounter(bool trace) {
  InstallHooks();
  for (RawTrace& t : g_traces) t.ready = false;
  g_thread = std::this_thread::get_id();
  if (trace) {  // the first call loads the unwinder, which allocates
    void* frames[2];
    (void)::backtrace(frames, 2);
  }
  g_tracing = trace;
  g_own = &t_tracing;
  g_calls = 0;
  g_calls_elsewhere = 0;
  g_bytes = 0;
  g_counting = true;
}

void AllocationCounter::Stop() { g_counting = false; }
uint64_t AllocationCounter::calls() const { return g_calls; }
uint64_t AllocationCounter::calls_elsewhere() const { return g_calls_elsewhere; }
uint64_t AllocationCounter::bytes() const { return g_bytes; }

std::vector<AllocationTrace> AllocationCounter::traces() const {
  std::vector<AllocationTrace> traces;
  for (const RawTrace& raw : g_traces) {
    if (!raw.ready.load(std::memory_order_acquire)) continue;
    AllocationTrace trace{.bytes = raw.bytes, .same_thread = raw.thread == g_thread, .frames = {}};
    const int count = std::max(raw.frame_count, 1);
    for (const void* frame : std::span(raw.frames).subspan(1, static_cast<size_t>(count - 1)))
      trace.frames.push_back(DescribeFrame(frame));
    traces.push_back(std::move(trace));
  }
  return traces;
}

}  // namespace fusee::cli
