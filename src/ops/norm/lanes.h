// Sixteen partial results side by side: how the row kernels reduce without depending on how a
// compiler vectorises. Element i of a row goes to lane i modulo 16, and lanes are combined in one
// fixed tree, so a row's result depends on the row alone.
#pragma once

#include <cstdint>
#include <cstring>

// Before an elementwise loop: iterations are independent even where the result shares an operand's
// memory (same index), which compilers cannot see and would answer with a scalar loop.
#ifndef FUSEE_INDEPENDENT_LOOP
#if defined(__clang__)
#define FUSEE_INDEPENDENT_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define FUSEE_INDEPENDENT_LOOP _Pragma("GCC ivdep")
#endif
#endif

namespace fusee::ops {

inline constexpr int64_t kLanes = 16;

// Folds fold(lane value, x[i]) over n floats starting from `start`, then the lanes with combine(a,
// b).
template <typename Fold, typename Combine>
[[gnu::always_inline]] inline float ReduceLanes(int64_t n, float start, Fold&& fold,
                                                Combine&& combine) {
  float lane[kLanes];
  for (int64_t l = 0; l < kLanes; ++l) lane[l] = start;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) lane[l] = fold(lane[l], i + l);
  }
  for (int64_t l = 0; i < n; ++i, ++l) lane[l] = fold(lane[l], i);
  for (int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (int64_t l = 0; l < half; ++l) lane[l] = combine(lane[l], lane[l + half]);
  }
  return lane[0];
}

[[gnu::always_inline]] inline float Add(float a, float b) { return a + b; }

// The larger; NaN if either is.
[[gnu::always_inline]] inline float MaxOrNan(float a, float b) {
  const float larger = b <= a ? a : b;
  return a != a ? a : larger;
}

}  // namespace fusee::ops
