// A stream of numbers for tests that make up steps: the same seed and stream give the same numbers.
#pragma once

#include <cstdint>

#include "tensor/random.h"

namespace fusee::ops {

class NumberStream {
 public:
  NumberStream(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}
  // From low to high, both included.
  int64_t operator()(int64_t low, int64_t high) {
    const auto span = static_cast<uint64_t>(high - low + 1);
    return low + static_cast<int64_t>(RandomBits(seed_, stream_, count_++) % span);
  }
  // Mostly small, three times in `every` absurd.
  int64_t Number(int64_t every) {
    switch ((*this)(0, every - 1)) {
      case 0: return INT64_MAX;
      case 1: return INT64_MIN;
      case 2: return int64_t{1} << (*this)(20, 62);
      default: return (*this)(-3, 4);
    }
  }

 private:
  uint64_t seed_, stream_;
  uint64_t count_ = 0;
};

}  // namespace fusee::ops
