// A counter-based generator: element i of stream s is a pure function of (seed, s, i), so that
// inputs can be made again anywhere, in any order, on any thread, and a plan can name its golden
// inputs by seed alone. Mixing function: splitmix64 (Steele, Lea, Flood, OOPSLA 2014,
// https://doi.org/10.1145/2660193.2660195).
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace fusee {

inline uint64_t SplitMix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// 64 random bits for counter i of the stream.
inline uint64_t RandomBits(uint64_t seed, uint64_t stream, uint64_t i) {
  return SplitMix64(SplitMix64(seed ^ SplitMix64(stream)) + i);
}

// Uniform in [0, 1) with 24 random bits: exact in float.
inline double RandomUniform(uint64_t seed, uint64_t stream, uint64_t i) {
  return static_cast<double>(RandomBits(seed, stream, i) >> 40) * 0x1p-24;
}

// What kind of values to fill a tensor with.
enum class Fill : uint8_t {
  kUniform = 0,      // floats in [-1, 1); integers in a small range of their type; bools fair
  kLarge = 1,        // floats of magnitude up to 1e4 with both signs
  kTiny = 2,         // floats of magnitude down to the smallest normal, and denormals
  kSignedZeros = 3,  // -0, +0, denormals and small numbers mixed
  kConstant = 4,     // one value everywhere: 0.5, or int_max
};

// Fills tensor from (seed, stream). Integers are drawn from [int_min, int_max].
void FillRandom(const TensorView& tensor, Fill fill, uint64_t seed, uint64_t stream,
                int64_t int_min = 0, int64_t int_max = 9);

}  // namespace fusee
