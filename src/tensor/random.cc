#include "tensor/random.h"

#include <bit>

namespace fusee {
namespace {

double FloatValue(Fill fill, uint64_t seed, uint64_t stream, uint64_t i) {
  const double u = RandomUniform(seed, stream, i) * 2 - 1;
  switch (fill) {
    case Fill::kUniform: return u;
    case Fill::kLarge: return u * 1e4;
    case Fill::kTiny: {
      // Exponents from 2^-149 (the smallest denormal of f32) to 2^-100.
      const int exponent = -149 + static_cast<int>(RandomBits(seed, stream + 1, i) % 50);
      return u * std::bit_cast<double>(static_cast<uint64_t>(exponent + 1023) << 52);
    }
    case Fill::kSignedZeros:
      switch (RandomBits(seed, stream + 1, i) % 4) {
        case 0: return -0.0;
        case 1: return 0.0;
        case 2: return u * 0x1p-140;
        default: return u;
      }
    case Fill::kConstant: return 0.5;
  }
  return u;
}

}  // namespace

void FillRandom(const TensorView& tensor, Fill fill, uint64_t seed, uint64_t stream,
                int64_t int_min, int64_t int_max) {
  const int64_t n = tensor.elements();
  const uint64_t range = static_cast<uint64_t>(int_max - int_min) + 1;
  for (int64_t i = 0; i < n; ++i) {
    const auto counter = static_cast<uint64_t>(i);
    if (IsFloat(tensor.dtype)) {
      StoreDouble(tensor, i, FloatValue(fill, seed, stream, counter));
    } else if (tensor.dtype == DType::kBool) {
      StoreInt(tensor, i, static_cast<int64_t>(RandomBits(seed, stream, counter) & 1));
    } else {
      const uint64_t draw =
          fill == Fill::kConstant ? range - 1 : RandomBits(seed, stream, counter) % range;
      StoreInt(tensor, i, int_min + static_cast<int64_t>(draw));
    }
  }
}

}  // namespace fusee
