// Time, as an argument. Nothing but clock.cc reads a clock; schedulers and tests take a Clock&.
#pragma once

#include <chrono>
#include <cstdint>

namespace fusee {

using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

// Source of monotonic time. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;
};

// The machine's monotonic clock (CLOCK_MONOTONIC); one instance for the process.
const Clock& SteadyClock();

// Microseconds since 1970 by the machine's calendar clock, which may jump: for stamps that people
// and other programs read, never for measuring.
uint64_t UnixMicroseconds();

// A clock that moves only when told to. Not thread-safe against Advance.
class FakeClock final : public Clock {
 public:
  TimePoint Now() const override { return now_; }
  void Advance(Duration d) { now_ += d; }
  void Set(TimePoint t) { now_ = t; }

 private:
  TimePoint now_{std::chrono::seconds(1)};
};

}  // namespace fusee
