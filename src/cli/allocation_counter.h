// Counts what this program asks of the heap, so that `fusee bench` can show that runs ask nothing.
//
// While counting, every malloc, calloc, realloc and aligned allocation of any thread counts,
// whoever makes it: the executable's definitions stand before the C library's. operator new ends in
// malloc and so counts too. Under a sanitizer its own hooks are used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fusee::cli {

// Where a counted call came from.
struct AllocationTrace {
  uint64_t bytes = 0;
  bool same_thread = false;  // as made the counter
  // Innermost first, from the heap's own function on: "malloc (/usr/bin/fusee+0x41c0)". What has no
  // dynamic symbol is a file and an offset in it, which `addr2line -Cfie FILE OFFSET` names. A
  // library without unwinding tables ends the list.
  std::vector<std::string> frames;
};

// Counts between construction and Stop (or destruction). One at a time in a process.
class AllocationCounter {
 public:
  // With trace the first kTracesMax calls are also traced, which takes tens of microseconds each
  // and asks nothing of the heap while counting.
  explicit AllocationCounter(bool trace = false);
  ~AllocationCounter() { Stop(); }
  AllocationCounter(const AllocationCounter&) = delete;
  AllocationCounter& operator=(const AllocationCounter&) = delete;

  // Ends counting; more calls have no effect.
  void Stop();
  uint64_t calls() const;
  // Of these, calls on other threads than the one that made the counter.
  uint64_t calls_elsewhere() const;
  uint64_t bytes() const;
  // In the order of the calls. After Stop.
  std::vector<AllocationTrace> traces() const;

  static constexpr size_t kTracesMax = 4;
};

// True in builds with AddressSanitizer or ThreadSanitizer, whose heap and speed are not a user's.
bool HeapIsSanitized();

}  // namespace fusee::cli
