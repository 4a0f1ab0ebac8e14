// Quantisation of a device under test (FUSEE_TEST_DEVICE) against the CPU's reference, to the bit:
// every type and arrangement of scales, sizes around the edges of packs and blocks.
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/device_test_util.h"
#include "ops/kernel_test_util.h"
#include "tensor/random.h"

namespace fusee::ops {
namespace {

constexpr uint64_t kSeed = 5150;
constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};

Tensor Random(DType dtype, const Shape& shape, uint64_t stream, int64_t low, int64_t high) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  FillRandom(view, Fill::kUniform, kSeed, stream, low, high);
  return tensor;
}
Tensor Scales(DType dtype, const Shape& shape) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  for (int64_t i = 0; i < view.elements(); ++i)
    StoreDouble(view, i, 0.004 + 0.01 * RandomUniform(kSeed, 1, static_cast<uint64_t>(i)));
  return tensor;
}

void ExpectSameBits(const KernelCall& call) {
  const auto ran = CompareTactics(call, 0, 0);
  ASSERT_TRUE(ran.ok()) << ran.status().ToString() << " (seed " << kSeed << ")";
  for (const KernelDef* kernel : TestDevice()->kernels->For(call.op))
    EXPECT_EQ(std::ranges::count(*ran, kernel->id), 1) << kernel->id << " did not run";
}

struct Case {
  Shape x, scale;
  int64_t axis, block;
};
const std::vector<Case>& Cases() {
  static const auto* const cases = new std::vector<Case>{{{1}, {}, 0, 0},
                                                         {{7}, {}, 0, 0},
                                                         {{8}, {}, 0, 0},
                                                         {{2047}, {}, 0, 0},
                                                         {{2048}, {1}, 0, 0},
                                                         {{2049}, {}, 0, 0},
                                                         {{}, {}, 0, 0},
                                                         {{0, 3}, {3}, 1, 0},
                                                         {{2, 3, 5}, {3}, 1, 0},
                                                         {{3, 33}, {33}, 1, 0},
                                                         {{5, 64, 8}, {64}, 1, 0},
                                                         {{64, 16}, {64}, 0, 0},
                                                         {{2, 7, 5}, {2, 3, 5}, 1, 3},
                                                         {{2, 3, 33}, {2, 3, 5}, 2, 8},
                                                         {{4, 3}, {1, 3}, 0, 100}};
  return *cases;
}

TEST(QuantOnDevice, QuantizeGivesTheReferencesBits) {
  FUSEE_NEEDS_DEVICE();
  for (const Case& c : Cases()) {
    for (DType code : {DType::kU8, DType::kI8, DType::kU16, DType::kI16}) {
      for (DType type : kFloats) {
        for (bool zero : {false, true}) {
          SCOPED_TRACE(::testing::Message() << c.x.ToString() << c.scale.ToString()
                                            << DTypeName(type) << " to " << DTypeName(code));
          ExpectSameBits({.op = "QuantizeLinear",
                          .attrs = {{"axis", c.axis},
                                    {"block_size", c.block},
                                    {"precision", static_cast<int64_t>(type)}},
                          .inputs = {Random(type, c.x, 0, 0, 0), Scales(type, c.scale),
                                     zero ? Random(code, c.scale, 2, 0, 100) : Tensor()},
                          .outputs = {{code, c.x}}});
        }
      }
      ExpectSameBits(
          {.op = "QuantizeLinear",
           .attrs = {{"axis", c.axis},
                     {"block_size", c.block},
                     {"precision", static_cast<int64_t>(DType::kF32)}},
           .inputs = {Random(DType::kI32, c.x, 0, -2000, 2000), Scales(DType::kF32, c.scale)},
           .outputs = {{code, c.x}}});
    }
  }
}

TEST(QuantOnDevice, DequantizeGivesTheReferencesBits) {
  FUSEE_NEEDS_DEVICE();
  for (const Case& c : Cases()) {
    for (DType code : {DType::kU8, DType::kI8, DType::kU16, DType::kI16, DType::kI32}) {
      for (DType type : kFloats) {
        for (DType scale : {type, DType::kF32}) {
          for (bool zero : {false, true}) {
            SCOPED_TRACE(::testing::Message() << c.x.ToString() << c.scale.ToString()
                                              << DTypeName(code) << " to " << DTypeName(type));
            ExpectSameBits({.op = "DequantizeLinear",
                            .attrs = {{"axis", c.axis}, {"block_size", c.block}},
                            .inputs = {Random(code, c.x, 0, 0, 127), Scales(scale, c.scale),
                                       zero ? Random(code, c.scale, 2, 0, 100) : Tensor()},
                            .outputs = {{type, c.x}}});
          }
        }
      }
    }
  }
}

TEST(QuantOnDevice, DynamicQuantizeGivesTheReferencesBits) {
  FUSEE_NEEDS_DEVICE();
  for (int64_t n : {0, 1, 3, 4, 5, 255, 1023, 1024, 1025, 5000, 262143, 262144, 262145, 600001}) {
    SCOPED_TRACE(n);
    KernelCall call = {.op = "DynamicQuantizeLinear",
                       .inputs = {Random(DType::kF32, Shape{n}, 0, 0, 0)},
                       .outputs = {{DType::kU8, {n}}, {DType::kF32, {}}, {DType::kU8, {}}}};
    ExpectSameBits(call);
    call.outputs[1] = call.outputs[2] = {DType::kInvalid, Shape{}};
    ExpectSameBits(call);
  }
}

}  // namespace
}  // namespace fusee::ops
