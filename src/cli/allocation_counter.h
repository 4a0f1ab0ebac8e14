// Counts what this program asks of the heap, so that `fusee bench` can show that runs ask nothing.
//
// While counting, every malloc, calloc, realloc and aligned allocation of any thread counts,
// whoever makes it: the executable's definitions stand before the C library's. operator new ends in
// malloc and so counts too. Under a sanitizer its own hooks are used.
#pragma once

#include <cstdint>

namespace fusee::cli {

// Counts between construction and Stop (or destruction). One at a time in a process.
class AllocationCounter {
 public:
  AllocationCounter();
  ~AllocationCounter() { Stop(); }
  AllocationCounter(const AllocationCounter&) = delete;
  AllocationCounter& operator=(const AllocationCounter&) = delete;

  // Ends counting; more calls have no effect.
  void Stop();
  uint64_t calls() const;
  uint64_t bytes() const;
};

// True in builds with AddressSanitizer or ThreadSanitizer, whose heap and speed are not a user's.
bool HeapIsSanitized();

}  // namespace fusee::cli
