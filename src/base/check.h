// Invariants of our own code. A user's input must never reach a failing check: input errors are a
// Status.
#pragma once

namespace fusee::internal {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const char* message);
}  // namespace fusee::internal

// Aborts with file, line and message when the condition is false; in every build.
#define FUSEE_CHECK(condition, message)                                                        \
  do {                                                                                         \
    if (!(condition)) ::fusee::internal::CheckFailed(__FILE__, __LINE__, #condition, message); \
  } while (false)

// The same, compiled only where FUSEE_DCHECKS is set (presets dev, asan, tsan).
#ifdef FUSEE_DCHECKS
#define FUSEE_DCHECK(condition, message) FUSEE_CHECK(condition, message)
#else
#define FUSEE_DCHECK(condition, message) \
  do {                                   \
  } while (false)
#endif
