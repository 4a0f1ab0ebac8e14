// Faults on demand: a process that dies, hangs, slows down or answers wrongly at a named place.
//
// Code marks a place with fault::Hit(Point); nothing happens there unless a test, or the option
// --faults of fusee-worker, armed it. Unarmed, a Hit is one relaxed load.
//
//   "run:kill@3"            the third time `run` is passed, the process kills itself
//   "batch:stop"            the first time, it stops (SIGSTOP) until somebody continues or kills it
//   "run:slow=20x0"         every time, 20 ms pass
//   "scatter:wrong@5x2"     the fifth and sixth time, Hit returns kWrong
//   "run:sticky,load:slow=100"   several, separated by commas
//
// A fault happens `x` times (default 1; 0: for ever) from the `@`-th passage on (default 1).
// Thread-safe; arming allocates, hitting does not.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace fusee::fault {

enum class Point : uint8_t {
#define FUSEE_FAULT_POINT(id, name, what) id,
#include "base/fault_points.inc"
#undef FUSEE_FAULT_POINT
};

// What is left to the caller. Kill, stop and slow happen inside Hit.
enum class Effect : uint8_t {
  kNone,
  kWrong,   // give a wrong result
  kSticky,  // behave as after a device error that only a new process can mend
};

// Adds the faults of spec to those armed. Errors: kInvalidArgument naming what is wrong; then
// nothing is armed.
Status Arm(std::string_view spec);
// Forgets all of them.
void Disarm();

namespace internal {
extern std::atomic<bool> armed;
Effect HitArmed(Point point);
}  // namespace internal

inline Effect Hit(Point point) {
  return internal::armed.load(std::memory_order_relaxed) ? internal::HitArmed(point)
                                                         : Effect::kNone;
}

}  // namespace fusee::fault
