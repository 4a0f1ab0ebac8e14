#include <gtest/gtest.h>

#include <limits>

#include "ops/kernel_test_util.h"
#include "ops/movement/import_test_util.h"
#include "tensor/random.h"

namespace fusee::ops {
namespace {

constexpr uint64_t kSeed = 4242;
constexpr int64_t kF32 = static_cast<int64_t>(DType::kF32);

template <typename T>
std::vector<T> Compute(std::string_view id, const KernelCall& call, size_t result = 0) {
  const auto got = RunKernel(id, call);
  EXPECT_TRUE(got.ok()) << id << ": " << got.status().ToString();
  if (!got.ok()) return {};
  const Tensor& t = (*got)[result];
  return std::vector<T>(t.as<T>(), t.as<T>() + t.elements());
}

Tensor Random(DType dtype, const Shape& shape, uint64_t stream, int64_t low = 0, int64_t high = 9) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  FillRandom(view, Fill::kUniform, kSeed, stream, low, high);
  return tensor;
}

TEST(Quantize, RoundsHalfToEvenAndSaturates) {
  const Tensor x = Tensor::Of<float>(
      {8}, {0.5F, 1.5F, -0.5F, 2.5F, 300, -300, std::numeric_limits<float>::infinity(), 3});
  KernelCall call = {
      .op = "QuantizeLinear",
      .attrs = {{"precision", kF32}},
      .inputs = {x, Tensor::Of<float>(Shape{}, {1}), Tensor::Of<uint8_t>(Shape{}, {10})},
      .outputs = {{DType::kU8, {8}}}};
  for (const KernelDef* kernel : TacticsUnderTest("QuantizeLinear")) {
    EXPECT_EQ(Compute<uint8_t>(kernel->id, call),
              (std::vector<uint8_t>{10, 12, 10, 12, 255, 0, 255, 13}))
        << kernel->id;
  }
  call.inputs[2] = Tensor();
  call.outputs = {{DType::kI8, {8}}};
  for (const KernelDef* kernel : TacticsUnderTest("QuantizeLinear")) {
    EXPECT_EQ(Compute<int8_t>(kernel->id, call),
              (std::vector<int8_t>{0, 2, 0, 2, 127, -128, 127, 3}))
        << kernel->id;
  }
}

TEST(Dequantize, SubtractsThenScales) {
  const KernelCall call = {
      .op = "DequantizeLinear",
      .inputs = {Tensor::Of<int8_t>({3}, {-128, 0, 127}), Tensor::Of<float>(Shape{}, {0.5F}),
                 Tensor::Of<int8_t>(Shape{}, {127})},
      .outputs = {{DType::kF32, {3}}}};
  for (const KernelDef* kernel : TacticsUnderTest("DequantizeLinear")) {
    EXPECT_EQ(Compute<float>(kernel->id, call), (std::vector<float>{-127.5F, -63.5F, 0}))
        << kernel->id;
  }
}

// Every arrangement of scales, fast against plain, to the bit.
TEST(Quantize, TacticsAgreeOnEveryGranularity) {
  struct Case {
    Shape x, scale;
    int64_t axis, block;
  };
  for (const Case& c : std::vector<Case>{{{2, 3, 5}, {}, 0, 0},
                                         {{2, 3, 5}, {1}, 0, 0},
                                         {{2, 3, 5}, {3}, 1, 0},
                                         {{2, 3, 5}, {2}, 0, 0},
                                         {{2, 3, 33}, {33}, 2, 0},
                                         {{2, 7, 5}, {2, 3, 5}, 1, 3},
                                         {{2, 3, 33}, {2, 3, 5}, 2, 8},
                                         {{4, 3}, {1, 3}, 0, 100},
                                         {{0, 3}, {3}, 1, 0},
                                         {{}, {}, 0, 0},
                                         {{40000}, {}, 0, 0}}) {
    for (DType code : {DType::kU8, DType::kI8}) {
      for (bool zero_point : {false, true}) {
        // Scales in [1, 9], values up to 1000 either way.
        TensorView scales;
        Tensor scale = Tensor::Allocate(DType::kF32, c.scale, &scales).value();
        for (int64_t i = 0; i < scales.elements(); ++i)
          StoreDouble(scales, i, 0.01 + RandomUniform(kSeed, 1, static_cast<uint64_t>(i)));
        const Tensor zero = zero_point ? Random(code, c.scale, 2, 0, 100) : Tensor();
        KernelCall call = {
            .op = "QuantizeLinear",
            .attrs = {{"axis", c.axis}, {"block_size", c.block}, {"precision", kF32}},
            .inputs = {Random(DType::kF32, c.x, 0), scale, zero},
            .outputs = {{code, c.x}}};
        auto ran = CompareTactics(call, 0, 0);
        ASSERT_TRUE(ran.ok()) << c.x.ToString() << c.scale.ToString() << " seed " << kSeed << ": "
                              << ran.status().ToString();
        EXPECT_EQ(ran->size(), TacticsUnderTest(call.op).size());
        call = {.op = "DequantizeLinear",
                .attrs = {{"axis", c.axis}, {"block_size", c.block}},
                .inputs = {Random(code, c.x, 3, 0, 127), scale, zero},
                .outputs = {{DType::kF32, c.x}}};
        ran = CompareTactics(call, 0, 0);
        ASSERT_TRUE(ran.ok()) << c.x.ToString() << c.scale.ToString() << " seed " << kSeed << ": "
                              << ran.status().ToString();
        EXPECT_EQ(ran->size(), TacticsUnderTest(call.op).size());
      }
    }
  }
}

TEST(Quantize, PicksTheScaleOfItsBlock) {
  const KernelCall call = {.op = "DequantizeLinear",
                           .attrs = {{"axis", int64_t{1}}, {"block_size", int64_t{2}}},
                           .inputs = {Tensor::Of<uint8_t>({2, 3}, {1, 1, 1, 1, 1, 1}),
                                      Tensor::Of<float>({2, 2}, {1, 2, 3, 4})},
                           .outputs = {{DType::kF32, {2, 3}}}};
  for (const KernelDef* kernel : TacticsUnderTest("DequantizeLinear")) {
    EXPECT_EQ(Compute<float>(kernel->id, call), (std::vector<float>{1, 1, 2, 3, 3, 4}))
        << kernel->id;
  }
}

TEST(Quantize, DividesInTheScalesPrecision) {
  // 10.01 / 1.0 is 10.0078125 in half, and 2049 / 2 is 1024 (tie to even of 1024.5, which half
  // rounds to 1024).
  const KernelCall call = {
      .op = "QuantizeLinear",
      .attrs = {{"precision", static_cast<int64_t>(DType::kF16)}},
      .inputs = {Tensor::Of<Half>({1}, {Half(2050.0F)}), Tensor::Of<Half>(Shape{}, {Half(2.0F)})},
      .outputs = {{DType::kI16, {1}}}};
  EXPECT_EQ(Compute<int16_t>("quantize_linear_ref.1", call), (std::vector<int16_t>{1025}));
  const auto ran = CompareTactics(call, 0, 0);
  EXPECT_TRUE(ran.ok()) << ran.status().ToString();
  EXPECT_EQ(RunKernel("quantize_linear_f32_cpu.1", call).status().code(),
            StatusCode::kUnimplemented);
}

TEST(Quantize, RefusesScalesOfAnotherShape) {
  KernelCall call = {.op = "QuantizeLinear",
                     .attrs = {{"axis", int64_t{1}}, {"precision", kF32}},
                     .inputs = {Random(DType::kF32, {2, 3}, 0), Random(DType::kF32, {2}, 1)},
                     .outputs = {{DType::kU8, {2, 3}}}};
  for (const KernelDef* kernel : TacticsUnderTest("QuantizeLinear"))
    EXPECT_FALSE(RunKernel(kernel->id, call).ok());
  call.inputs[1] = Random(DType::kF32, {3}, 1);
  call.inputs.push_back(Random(DType::kU8, {2}, 1));
  for (const KernelDef* kernel : TacticsUnderTest("QuantizeLinear"))
    EXPECT_FALSE(RunKernel(kernel->id, call).ok());
}

TEST(DynamicQuantize, FollowsTheStandardsExample) {
  const KernelCall call = {.op = "DynamicQuantizeLinear",
                           .inputs = {Tensor::Of<float>({6}, {0, 2, -3, -2.5F, 1.34F, 0.5F})},
                           .outputs = {{DType::kU8, {6}}, {DType::kF32, {}}, {DType::kU8, {}}}};
  KernelCall zeros = call;
  zeros.inputs = {Tensor::Of<float>({6}, {0, 0, 0, 0, 0, 0})};
  for (const KernelDef* kernel : TacticsUnderTest("DynamicQuantizeLinear")) {
    EXPECT_EQ(Compute<uint8_t>(kernel->id, call), (std::vector<uint8_t>{153, 255, 0, 26, 221, 179}))
        << kernel->id;
    EXPECT_EQ(Compute<uint8_t>(kernel->id, call, 2), (std::vector<uint8_t>{153})) << kernel->id;
    EXPECT_EQ(Compute<uint8_t>(kernel->id, zeros), std::vector<uint8_t>(6, 0)) << kernel->id;
  }
}

TEST(QuantizeDef, TakesTypesFromZeroPointScaleOrAttribute) {
  ImportHarness h;
  using H = ImportHarness;
  const ir::ValueId x = h.Input("x", DType::kF32, {h.Symbol("n", 1, 8), 4});
  const ir::ValueId scale = h.Input("scale", DType::kF32, {}),
                    zero = h.Input("zero", DType::kI8, {});
  const auto type = [&](ir::ValueId id) { return h.graph.value(id).info.dtype; };
  EXPECT_EQ(type(h.Import("QuantizeLinear", 13, {x, scale})), DType::kU8);
  EXPECT_EQ(type(h.Import("QuantizeLinear", 13, {x, scale, zero})), DType::kI8);
  EXPECT_EQ(type(h.Import("QuantizeLinear", 21, {x, scale}, H::Attrs(H::Attr("output_dtype", 5)))),
            DType::kI16);
  EXPECT_EQ(type(h.Import("QuantizeLinear", 19, {x, scale, h.Input("f8", DType::kF8E4M3FN, {})})),
            DType::kF8E4M3FN);
  EXPECT_EQ(type(h.Import("QuantizeLinear", 21, {x, scale}, H::Attrs(H::Attr("output_dtype", 22)))),
            DType::kI4);
  const auto complex =
      h.TryImport("QuantizeLinear", 21, {x, scale}, H::Attrs(H::Attr("output_dtype", 14)));
  EXPECT_EQ(complex.status().code(), StatusCode::kUnimplemented);
  EXPECT_NE(complex.status().message().find("complex64"), std::string::npos);
  EXPECT_FALSE(
      h.TryImport("QuantizeLinear", 24, {x, scale}, H::Attrs(H::Attr("output_dtype", 24))).ok())
      << "nothing is quantised to powers of two";
  EXPECT_FALSE(h.TryImport("QuantizeLinear", 13, {x, h.Input("five", DType::kF32, {5})}).ok());
  const ir::ValueId q = h.Input("q", DType::kI8, {2, 4});
  EXPECT_EQ(type(h.Import("DequantizeLinear", 13, {q, scale, zero})), DType::kF32);
  EXPECT_EQ(type(h.Import("DequantizeLinear", 19, {q, h.Input("half", DType::kF16, {})})),
            DType::kF16);
}

TEST(QuantizeDef, TakesAZeroPointOfOneElementWithAScalarScale) {
  ImportHarness h;
  const ir::ValueId x = h.Input("x", DType::kF32, {4}), q = h.Input("q", DType::kI8, {4});
  const ir::ValueId scalar = h.Input("scalar", DType::kF32, {});
  const ir::ValueId vector = h.Input("vector", DType::kF32, {1});
  const ir::ValueId zero = h.Input("zero", DType::kI8, {}),
                    zeros = h.Input("zeros", DType::kI8, {1});
  EXPECT_TRUE(h.TryImport("QuantizeLinear", 21, {x, scalar, zeros}).ok());
  EXPECT_TRUE(h.TryImport("QuantizeLinear", 21, {x, vector, zero}).ok());
  EXPECT_TRUE(h.TryImport("DequantizeLinear", 21, {q, scalar, zeros}).ok());
  EXPECT_FALSE(
      h.TryImport("DequantizeLinear", 21, {q, scalar, h.Input("two", DType::kI8, {2})}).ok());
}

TEST(QuantizeDef, KeepsSaturateForFloat8AndDividesByPowersOfTwoInF32) {
  ImportHarness h;
  using H = ImportHarness;
  const ir::ValueId x = h.Input("x", DType::kF32, {2, 4});
  const ir::ValueId powers = h.Input("powers", DType::kF8E8M0, {2, 2});
  const auto attrs = [&](int64_t dtype) {
    const ir::ValueId y = h.Import(
        "QuantizeLinear", 25, {x, powers},
        H::Attrs(H::Attr("output_dtype", dtype), H::Attr("saturate", 0), H::Attr("block_size", 2)));
    return h.graph.node(h.graph.value(y).producer).attrs;
  };
  EXPECT_EQ(attrs(19).Int("saturate", 1).value(), 0);
  EXPECT_FALSE(attrs(22).Has("saturate"));
  EXPECT_EQ(attrs(23).Int("precision", 0).value(), kF32);
  const ir::ValueId q = h.Input("q", DType::kF4E2M1, {2, 4});
  const auto untyped =
      h.TryImport("DequantizeLinear", 25, {q, powers}, H::Attrs(H::Attr("block_size", 2)));
  EXPECT_NE(untyped.status().message().find("output_dtype"), std::string::npos);
  const ir::ValueId y = h.Import("DequantizeLinear", 25, {q, powers},
                                 H::Attrs(H::Attr("block_size", 2), H::Attr("output_dtype", 10)));
  EXPECT_EQ(h.graph.value(y).info.dtype, DType::kF16);
}

}  // namespace
}  // namespace fusee::ops
