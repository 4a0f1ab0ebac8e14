// The floating-point environment of every run: one place, one value.
//
// MXCSR = 0x1f80: round to nearest even, all exceptions masked, flush-to-zero and
// denormals-are-zero OFF. Denormals are therefore computed as IEEE 754 says, on every machine and
// thread alike, and agree with the reference kernels, which the verifier feeds denormals on
// purpose. The price is some hundred cycles per denormal operation on some CPUs (none on Zen 4); a
// model whose activations decay into denormals is rare and still right. Programs that host the
// runtime may have other settings (a library built with -ffast-math turns FTZ on for its process),
// hence the guard around each run and at the start of each pool thread.
#pragma once

#include <xmmintrin.h>

namespace fusee {

inline constexpr unsigned kMxcsr = 0x1f80;

// Sets kMxcsr for the current thread; restores what was there, sticky exception flags included.
// Cost: a few cycles.
class ScopedFpEnvironment {
 public:
  ScopedFpEnvironment() : saved_(_mm_getcsr()) { _mm_setcsr(kMxcsr); }
  ~ScopedFpEnvironment() { _mm_setcsr(saved_); }
  ScopedFpEnvironment(const ScopedFpEnvironment&) = delete;
  ScopedFpEnvironment& operator=(const ScopedFpEnvironment&) = delete;

 private:
  unsigned saved_;
};

}  // namespace fusee
