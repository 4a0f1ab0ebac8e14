// Inputs and expectations for the tests of elementwise kernels.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "ops/kernel_test_util.h"
#include "tensor/compare.h"
#include "tensor/random.h"

namespace fusee::ops::pointwise {

inline constexpr uint64_t kSeed = 4242;

inline const std::vector<DType>& FloatTypes() {
  static const std::vector<DType> types = {DType::kF32, DType::kF64, DType::kF16, DType::kBF16};
  return types;
}
inline const std::vector<DType>& IntTypes() {
  static const std::vector<DType> types = {DType::kI8, DType::kI16, DType::kI32, DType::kI64,
                                           DType::kU8, DType::kU16, DType::kU32, DType::kU64};
  return types;
}

inline Tensor Make(DType dtype, const Shape& shape,
                   const std::function<void(const TensorView&)>& fill) {
  TensorView view;
  auto tensor = Tensor::Allocate(dtype, shape, &view);
  FUSEE_CHECK(tensor.ok(), "no memory for a test tensor");
  fill(view);
  return std::move(tensor).value();
}
inline Tensor Doubles(DType dtype, const Shape& shape, const std::vector<double>& values) {
  return Make(dtype, shape, [&](const TensorView& v) {
    FUSEE_CHECK(v.elements() == static_cast<int64_t>(values.size()), "wrong count");
    for (size_t i = 0; i < values.size(); ++i) StoreDouble(v, static_cast<int64_t>(i), values[i]);
  });
}
inline Tensor Ints(DType dtype, const Shape& shape, const std::vector<int64_t>& values) {
  return Make(dtype, shape, [&](const TensorView& v) {
    FUSEE_CHECK(v.elements() == static_cast<int64_t>(values.size()), "wrong count");
    for (size_t i = 0; i < values.size(); ++i) StoreInt(v, static_cast<int64_t>(i), values[i]);
  });
}
// Seeded numbers in [low, high).
inline Tensor Random(DType dtype, const Shape& shape, uint64_t stream, double low, double high) {
  return Make(dtype, shape, [&](const TensorView& v) {
    for (int64_t i = 0; i < v.elements(); ++i) {
      const double u = low + (high - low) * RandomUniform(kSeed, stream, static_cast<uint64_t>(i));
      if (IsFloat(dtype)) {
        StoreDouble(v, i, u);
      } else {
        StoreInt(v, i, static_cast<int64_t>(std::floor(u)));
      }
    }
  });
}

// The numpy-broadcast shape, spelled out anew: tests must not share the kernels' own.
inline Shape Broadcast(const std::vector<Shape>& shapes) {
  int rank = 0;
  for (const Shape& s : shapes) rank = std::max(rank, s.rank());
  std::vector<int64_t> dims(static_cast<size_t>(rank), 1);
  for (const Shape& s : shapes) {
    for (int i = 0; i < s.rank(); ++i) {
      int64_t& d = dims[static_cast<size_t>(rank - s.rank() + i)];
      if (s[i] != 1) d = s[i];
    }
  }
  return Shape(dims);
}
// Flat index into a broadcast operand for a flat index of the result.
inline int64_t SourceIndex(const Shape& out, const Shape& operand, int64_t flat) {
  int64_t source = 0;
  int64_t step = 1;
  for (int i = out.rank() - 1; i >= 0; --i) {
    const int64_t index = flat % out[i];
    flat /= out[i];
    const int own = i - (out.rank() - operand.rank());
    if (own < 0) continue;
    source += (operand[own] == 1 ? 0 : index) * step;
    step *= operand[own];
  }
  return source;
}

// Pairs of operand shapes around every case of broadcasting and around vector and task sizes.
inline std::vector<std::pair<Shape, Shape>> ShapePairs() {
  return {{{}, {}},
          {{1}, {}},
          {{}, {3}},
          {{0}, {1}},
          {{2, 0, 3}, {3}},
          {{1}, {5}},
          {{7}, {7}},
          {{8}, {8}},
          {{9}, {9}},
          {{31}, {31}},
          {{33}, {1}},
          {{2, 3}, {3}},
          {{3}, {2, 3}},
          {{2, 1, 3}, {4, 1}},
          {{3, 1}, {1, 4}},
          {{1, 4, 1, 6}, {3, 1, 5, 6}},
          {{2, 4, 5, 5}, {4, 1, 1}},
          {{2, 1, 1, 2, 1, 1, 2, 1}, {1, 3, 1, 1, 2, 1, 1, 2}},
          {{16384 + 17}, {1}},
          {{3, 16384 + 1}, {3, 1}},
          {{2000, 9}, {9}}};
}

// More of them, around a device's packs, blocks and rows.
inline std::vector<std::pair<Shape, Shape>> EdgePairs() {
  return {
      {{255}, {255}},         {{256}, {1}},        {{1}, {257}},         {{65536 + 3}, {65536 + 3}},
      {{16, 256}, {256}},     {{300, 257}, {257}}, {{64, 49}, {64, 1}},  {{64, 48}, {64, 1}},
      {{2, 64, 16}, {64, 1}}, {{7, 16}, {7, 1}},   {{256, 1}, {1, 255}}, {{5, 1, 32}, {1, 6, 32}},
      {{5, 1, 32}, {6, 1}}};
}

inline Tensor RunOne(std::string_view id, const KernelCall& call, Parallel* parallel = nullptr) {
  auto result = RunKernel(id, call, parallel);
  if (!result.ok()) {
    ADD_FAILURE() << id << ": " << result.status().ToString();
    return Tensor();
  }
  return (*result)[0];
}

inline void ExpectNear(const Tensor& got, const Tensor& want, Tolerance tolerance,
                       const std::string& what) {
  const Comparison c = Compare(got.view(), want.view(), tolerance);
  EXPECT_TRUE(c.passed) << what << ": " << c.reason << ", seed " << kSeed;
}

// A few units in the last place of the type.
inline Tolerance RoundingOf(DType dtype) {
  switch (dtype) {
    case DType::kF64: return {1e-14, 1e-300};
    case DType::kF16: return {1.1e-3, 6e-8};
    case DType::kBF16: return {8e-3, 1e-38};
    default: return {2.5e-7, 1e-44};
  }
}

// A device's powf (8 units in the last place) and pow, against references that round once.
inline Tolerance DevicePow(DType dtype) {
  switch (dtype) {
    case DType::kF16:
    case DType::kBF16: return RoundingOf(dtype);
    case DType::kF64: return {1e-14, 1e-300};
    default: return {2e-6, 1e-38};
  }
}

// Runs tasks last to first: results must not depend on order.
class ReverseParallel final : public Parallel {
 public:
  void For(int64_t count, void (*task)(void*, int64_t), void* context) override {
    for (int64_t i = count; i-- > 0;) task(context, i);
  }
  int width() const override { return 3; }
};

}  // namespace fusee::ops::pointwise
