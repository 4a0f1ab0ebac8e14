// QuantizeLinear and DequantizeLinear with the narrow types, against formulas written out here.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/kernel_test_util.h"
#include "tensor/narrow.h"
#include "tensor/random.h"

namespace fusee::ops {
namespace {

constexpr uint64_t kSeed = 99;
constexpr int64_t kF32 = static_cast<int64_t>(DType::kF32);
constexpr DType kTypes[] = {DType::kF8E4M3FN,   DType::kF8E4M3FNUZ, DType::kF8E5M2,
                            DType::kF8E5M2FNUZ, DType::kU4,         DType::kI4,
                            DType::kF4E2M1,     DType::kU2,         DType::kI2};

Tensor Filled(DType dtype, const Shape& shape, uint64_t stream, double low, double high) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  for (int64_t i = 0; i < view.elements(); ++i)
    StoreDouble(view, i,
                low + (high - low) * RandomUniform(kSeed, stream, static_cast<uint64_t>(i)));
  return tensor;
}

Tensor Numbers(DType dtype, const std::vector<double>& values) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, {static_cast<int64_t>(values.size())}, &view).value();
  for (size_t i = 0; i < values.size(); ++i) StoreDouble(view, static_cast<int64_t>(i), values[i]);
  return tensor;
}

std::vector<double> Values(const Tensor& t) {
  std::vector<double> values;
  for (int64_t i = 0; i < t.elements(); ++i) values.push_back(DoubleAt(t.view(), i));
  return values;
}

Tensor RunOne(const KernelCall& call) {
  auto got = RunKernel(
      call.op == "QuantizeLinear" ? "quantize_linear_ref.1" : "dequantize_linear_ref.1", call);
  EXPECT_TRUE(got.ok()) << got.status().ToString();
  return got.ok() ? (*got)[0] : Tensor();
}

std::vector<double> Quantised(DType y, const std::vector<double>& x, Attrs more = {},
                              Tensor zero = Tensor()) {
  more.Set("precision", kF32);
  const Tensor in = Numbers(DType::kF32, x);
  return Values(RunOne({.op = "QuantizeLinear",
                        .attrs = std::move(more),
                        .inputs = {in, Tensor::Of<float>(Shape{}, {2}), zero},
                        .outputs = {{y, in.shape()}}}));
}

TEST(NarrowQuantize, IntegersRoundHalfToEvenAndSaturate) {
  const std::vector<double> x = {1, 3, -1, 5, 100, -100, 0};
  EXPECT_EQ(Quantised(DType::kI4, x), (std::vector<double>{0, 2, 0, 2, 7, -8, 0}));
  EXPECT_EQ(Quantised(DType::kU4, x), (std::vector<double>{0, 2, 0, 2, 15, 0, 0}));
  EXPECT_EQ(Quantised(DType::kI2, x), (std::vector<double>{0, 1, 0, 1, 1, -2, 0}));
  EXPECT_EQ(Quantised(DType::kU2, x), (std::vector<double>{0, 2, 0, 2, 3, 0, 0}));
  EXPECT_EQ(Quantised(DType::kU4, x, {}, Numbers(DType::kU4, {3}).Reshaped(Shape{})),
            (std::vector<double>{3, 5, 3, 5, 15, 0, 3}));
}

TEST(NarrowQuantize, FloatsRoundTheQuotientAndSaturateAsTold) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> x = {2, 2.25, 2.375, 1000, -1000, inf};
  EXPECT_EQ(Quantised(DType::kF8E4M3FN, x), (std::vector<double>{1, 1.125, 1.25, 448, -448, 448}));
  EXPECT_EQ(Quantised(DType::kF8E5M2, {200000, -inf}, {{"saturate", int64_t{0}}}),
            (std::vector<double>{inf, -inf}));
  const auto lost = Quantised(DType::kF8E4M3FNUZ, {1000, 2}, {{"saturate", int64_t{0}}});
  EXPECT_TRUE(std::isnan(lost[0]));
  EXPECT_EQ(lost[1], 1);
  EXPECT_EQ(Quantised(DType::kF4E2M1, {1, 1000, -3, 5}), (std::vector<double>{.5, 6, -1.5, 2}));
  EXPECT_EQ(Quantised(DType::kF4E2M1, {1, 2}, {}, Numbers(DType::kF4E2M1, {1}).Reshaped(Shape{})),
            (std::vector<double>{1.5, 2}));
}

// Every arrangement of scales, both ways, each result against its own formula.
TEST(NarrowQuantize, EveryTypeAndGranularity) {
  struct Case {
    Shape x, scale;
    int64_t axis, block;
  };
  for (const Case& c : std::vector<Case>{{{2, 3, 5}, {}, 0, 0},
                                         {{2, 3, 5}, {3}, 1, 0},
                                         {{2, 7, 5}, {2, 3, 5}, 1, 3},
                                         {{2, 3, 33}, {2, 3, 5}, 2, 8},
                                         {{0, 3}, {3}, 1, 0},
                                         {{1}, {1}, 0, 0},
                                         {{}, {}, 0, 0}}) {
    for (const DType type : kTypes) {
      for (const DType scale_type : {DType::kF32, DType::kF16, DType::kF8E8M0}) {
        const Tensor x = Filled(DType::kF32, c.x, 0, -20, 20);
        const Tensor scale = Filled(scale_type, c.scale, 1, .5, 2);
        KernelCall call = {
            .op = "QuantizeLinear",
            .attrs = {{"axis", c.axis}, {"block_size", c.block}, {"precision", kF32}},
            .inputs = {x, scale},
            .outputs = {{type, c.x}}};
        const Tensor y = RunOne(call);
        call = {.op = "DequantizeLinear",
                .attrs = {{"axis", c.axis}, {"block_size", c.block}},
                .inputs = {y, scale},
                .outputs = {{DType::kF32, c.x}}};
        const Tensor back = RunOne(call);
        ASSERT_TRUE(y.present() && back.present()) << "seed " << kSeed;
        const Shape strides = RowMajorStrides(c.x);
        for (int64_t i = 0; i < x.elements(); ++i) {
          // The scale's index, from the element's own.
          int64_t s = 0;
          if (c.block > 0) {
            for (int a = 0; a < c.x.rank(); ++a) {
              const int64_t at = i / strides[a] % c.x[a];
              s = s * c.scale[a] + (a == c.axis ? at / c.block : at);
            }
          } else if (c.scale.rank() == 1 && c.scale[0] > 1) {
            const int a = static_cast<int>(c.axis);
            s = i / strides[a] % c.x[a];
          }
          const auto by = static_cast<float>(DoubleAt(scale.view(), s));
          const float quotient = x.as<float>()[i] / by;
          double want = DoubleAt(y.view(), i);
          if (IsNarrowFloat(type)) {
            want = NarrowToFloat(type, DoubleToNarrow(type, static_cast<double>(quotient)));
          } else {
            const int bits = PackedBitsPerElement(type);
            const bool is_signed = type == DType::kI4 || type == DType::kI2;
            const double low = is_signed ? -std::ldexp(1, bits - 1) : 0;
            want = std::fmin(std::fmax(std::nearbyint(static_cast<double>(quotient)), low),
                             low + std::ldexp(1, bits) - 1);
          }
          ASSERT_EQ(DoubleAt(y.view(), i), want)
              << DTypeName(type) << c.x.ToString() << " at " << i << ", seed " << kSeed;
          ASSERT_EQ(back.as<float>()[i], static_cast<float>(want) * by);
        }
      }
    }
  }
}

TEST(NarrowQuantize, DequantizesEveryCodeIntoEveryType) {
  for (const DType type : kTypes) {
    TensorView codes;
    const Tensor x = Tensor::Allocate(type, {256}, &codes).value();
    for (int64_t i = 0; i < 256; ++i)
      static_cast<uint8_t*>(codes.data)[i] = static_cast<uint8_t>(i);
    for (const DType result : {DType::kF32, DType::kF16, DType::kBF16}) {
      const Tensor y = RunOne({.op = "DequantizeLinear",
                               .inputs = {x, Tensor::Of<float>(Shape{}, {0.5F})},
                               .outputs = {{result, {256}}}});
      TensorView one;
      const Tensor want = Tensor::Allocate(result, {}, &one).value();
      for (int64_t i = 0; i < 256; ++i) {
        StoreDouble(one, 0, DoubleAt(x.view(), i) * 0.5);
        const double w = DoubleAt(one, 0), g = DoubleAt(y.view(), i);
        EXPECT_TRUE(g == w || (std::isnan(g) && std::isnan(w))) << DTypeName(type) << " " << i;
      }
    }
  }
}

TEST(NarrowQuantize, SubtractsZeroPoints) {
  const Tensor y =
      RunOne({.op = "DequantizeLinear",
              .inputs = {Numbers(DType::kI4, {-8, 0, 7}), Tensor::Of<float>(Shape{}, {2}),
                         Numbers(DType::kI4, {7}).Reshaped(Shape{})},
              .outputs = {{DType::kF32, {3}}}});
  EXPECT_EQ(Values(y), (std::vector<double>{-30, -14, 0}));
}

TEST(NarrowQuantize, RefusesWhatIsNotQuantised) {
  const Tensor x = Tensor::Of<float>({1}, {1}), one = Tensor::Of<float>(Shape{}, {1});
  const auto quantise = [&](DType y, const Tensor& scale, Tensor zero) {
    return RunKernel("quantize_linear_ref.1", {.op = "QuantizeLinear",
                                               .attrs = {{"precision", kF32}},
                                               .inputs = {x, scale, std::move(zero)},
                                               .outputs = {{y, {1}}}})
        .status()
        .code();
  };
  EXPECT_EQ(quantise(DType::kF8E8M0, one, {}), StatusCode::kInvalidArgument);
  EXPECT_EQ(quantise(DType::kI4, Numbers(DType::kF8E5M2, {1}), {}), StatusCode::kInvalidArgument);
  EXPECT_EQ(quantise(DType::kI4, one, Numbers(DType::kU4, {0}).Reshaped(Shape{})),
            StatusCode::kInvalidArgument);
  for (const char* fast : {"quantize_linear_f32_cpu.1"}) {
    EXPECT_EQ(RunKernel(fast, {.op = "QuantizeLinear",
                               .attrs = {{"precision", kF32}},
                               .inputs = {x, one},
                               .outputs = {{DType::kI4, {1}}}})
                  .status()
                  .code(),
              StatusCode::kUnimplemented);
  }
}

}  // namespace
}  // namespace fusee::ops
