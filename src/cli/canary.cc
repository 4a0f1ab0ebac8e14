#include "cli/canary.h"

#include <immintrin.h>

#include "device/cpu_features.h"

namespace fusee::cli {
namespace {

// Two FMA units with a latency of four cycles: eight independent chains keep both busy. 6.9 M
// multiply-adds are about one millisecond at 3.5 GHz.
constexpr int kRounds = 860'000;

__attribute__((target("avx2,fma"))) float FmaBlock() {
  const __m256 scale = _mm256_set1_ps(0.999999F);
  const __m256 shift = _mm256_set1_ps(1e-6F);
  // Eight variables rather than an array, which without optimisation would live in memory.
  __m256 a = _mm256_set1_ps(0), b = _mm256_set1_ps(1), c = _mm256_set1_ps(2), d = _mm256_set1_ps(3);
  __m256 e = _mm256_set1_ps(4), f = _mm256_set1_ps(5), g = _mm256_set1_ps(6), h = _mm256_set1_ps(7);
  for (int r = 0; r < kRounds; ++r) {
    a = _mm256_fmadd_ps(a, scale, shift);
    b = _mm256_fmadd_ps(b, scale, shift);
    c = _mm256_fmadd_ps(c, scale, shift);
    d = _mm256_fmadd_ps(d, scale, shift);
    e = _mm256_fmadd_ps(e, scale, shift);
    f = _mm256_fmadd_ps(f, scale, shift);
    g = _mm256_fmadd_ps(g, scale, shift);
    h = _mm256_fmadd_ps(h, scale, shift);
  }
  const __m256 low = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
  const __m256 high = _mm256_add_ps(_mm256_add_ps(e, f), _mm256_add_ps(g, h));
  return _mm256_cvtss_f32(_mm256_add_ps(low, high));
}

// The same work for a processor below the product's floor, on which only `fusee doctor` runs.
float PlainBlock() {
  float chain[] = {0, 1, 2, 3, 4, 5, 6, 7};
  for (int r = 0; r < kRounds; ++r) {
    for (float& value : chain) value = value * 0.999999F + 1e-6F;
  }
  float sum = 0;
  for (float value : chain) sum += value;
  return sum;
}

}  // namespace

Canary::Canary(const Clock& clock, size_t capacity) : clock_(clock), capacity_(capacity) {
  samples_ns_.reserve(capacity_);
}

void Canary::Sample() {
  const TimePoint start = clock_.Now();
  volatile float sink = HostCpu().supported ? FmaBlock() : PlainBlock();
  (void)sink;
  const TimePoint end = clock_.Now();
  if (samples_ns_.size() < capacity_) samples_ns_.push_back((end - start).count());
}

double CanaryRatio(const Distribution& times) { return times.OverMedian(99); }

}  // namespace fusee::cli
