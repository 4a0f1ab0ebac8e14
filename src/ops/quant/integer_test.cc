// MatMulInteger, ConvInteger, QLinearMatMul and QLinearConv: exact values by hand, and refusals.
#include <cmath>

#include "ops/quant/quantised_test_util.h"

namespace fusee::ops {
namespace {

TEST(MatMulInteger, TakesOffZeroPointsPerRowAndColumn) {
  QuantisedNode plain;
  plain.Operand<uint8_t>({2, 2}, {1, 2, 255, 4}).Operand<int8_t>({2, 2}, {1, -128, 3, 127});
  EXPECT_EQ(Values<int32_t>(plain.Run("MatMulInteger", 10)), (I32{7, 126, 267, -32132}));
  QuantisedNode zeros;
  zeros.Operand<uint8_t>({2, 2}, {1, 2, 255, 4}).Operand<int8_t>({2, 2}, {1, -128, 3, 127});
  zeros.Operand<uint8_t>({2}, {1, 4}).Operand<int8_t>({2}, {1, -128});
  // a: {0, 1}, {251, 0}; b: {0, 0}, {2, 255}
  EXPECT_EQ(Values<int32_t>(zeros.Run("MatMulInteger", 10)), (I32{2, 255, 0, 0}));
}

TEST(MatMulInteger, TakesVectorsBatchesAndNothing) {
  QuantisedNode vectors;
  vectors.Operand<uint8_t>({2}, {3, 4}).Operand<uint8_t>({2}, {5, 6}).One<uint8_t>(1);
  EXPECT_EQ(Values<int32_t>(vectors.Run("MatMulInteger", 10)), (I32{2 * 5 + 3 * 6}));
  QuantisedNode batch;
  batch.Operand<int8_t>({2, 1, 1}, {3, 4}).Operand<uint8_t>({1, 2}, {5, 6});
  batch.Operand<int8_t>({2, 1, 1}, {1, 2});
  EXPECT_EQ(Values<int32_t>(batch.Run("MatMulInteger", 10)), (I32{10, 12, 10, 12}));
  QuantisedNode empty;
  empty.Operand<uint8_t>({2, 0}, {}).Operand<uint8_t>({0, 1}, {}).Operand<uint8_t>({1}, {9});
  EXPECT_EQ(Values<int32_t>(empty.Run("MatMulInteger", 10)), (I32{0, 0}));
}

TEST(MatMulInteger, IsExactWhereFloatsAreNot) {
  // 300 products of 255 * 255 pass 2^24; the sum is odd.
  QuantisedNode node;
  std::vector<uint8_t> row(301, 255), column(301, 255);
  node.Operand<uint8_t>({1, 301}, row).Operand<uint8_t>({301, 1}, column);
  EXPECT_EQ(Values<int32_t>(node.Run("MatMulInteger", 10)), (I32{301 * 255 * 255}));
}

TEST(MatMulInteger, RefusesOtherTypesAndShapes) {
  QuantisedNode real;
  real.Operand<float>({1, 1}, {1}).Operand<uint8_t>({1, 1}, {1});
  EXPECT_EQ(real.Refusal("MatMulInteger", 10), StatusCode::kUnimplemented);
  QuantisedNode mixed;
  mixed.Operand<uint8_t>({1, 1}, {1}).Operand<uint8_t>({1, 1}, {1}).One<int8_t>(1);
  EXPECT_EQ(mixed.Refusal("MatMulInteger", 10), StatusCode::kInvalidArgument);
  QuantisedNode rows;  // three zero points for one row would make three rows
  rows.Operand<uint8_t>({1, 2}, {1, 2}).Operand<uint8_t>({2, 1}, {1, 2});
  rows.Operand<uint8_t>({3}, {1, 2, 3});
  EXPECT_EQ(rows.Refusal("MatMulInteger", 10), StatusCode::kInvalidArgument);
  QuantisedNode missing;
  missing.Operand<uint8_t>({1, 1}, {1});
  EXPECT_EQ(missing.Refusal("MatMulInteger", 10), StatusCode::kInvalidArgument);
  EXPECT_EQ(FindImportRule("", "MatMulInteger", 9), nullptr);
}

TEST(ConvInteger, PadsWithTheZeroPoint) {
  QuantisedNode node;
  node.Operand<uint8_t>({1, 1, 3}, {12, 13, 14}).Operand<int8_t>({2, 1, 2}, {1, 1, 2, 127});
  node.One<uint8_t>(10).Operand<int8_t>({2}, {0, 1}).With("pads", std::vector<int64_t>{1, 1});
  // x: 2 3 4 between zeros; w: {1, 1} and {1, 126}
  EXPECT_EQ(Values<int32_t>(node.Run("ConvInteger", 10)), (I32{2, 5, 7, 4, 252, 380, 507, 4}));
}

TEST(ConvInteger, Groups) {
  QuantisedNode node;
  node.Operand<uint8_t>({1, 2, 1, 1}, {7, 9}).Operand<uint8_t>({2, 1, 1, 1}, {2, 3});
  node.With("group", 2).With("kernel_shape", std::vector<int64_t>{1, 1});
  EXPECT_EQ(Values<int32_t>(node.Run("ConvInteger", 10)), (I32{14, 27}));
}

TEST(QLinearMatMul, RoundsTiesToEvenAndSaturates) {
  QuantisedNode node;
  node.Operand<uint8_t>({3, 1}, {1, 3, 255}).One<float>(0.5F).One<uint8_t>(0);
  node.Operand<int8_t>({1, 2}, {1, -1}).One<float>(1).One<int8_t>(0);
  node.One<float>(1).One<int8_t>(10);
  // 0.5 and 1.5 are ties; 127.5 leaves i8.
  EXPECT_EQ(Values<int8_t>(node.Run("QLinearMatMul", 10)), (I8{10, 10, 12, 8, 127, -118}));
}

TEST(QLinearMatMul, ScalesPerRowAndColumnAndInHalves) {
  QuantisedNode node;
  node.Operand<uint8_t>({2, 1}, {1, 1}).Operand<float>({2}, {1, 2}).One<uint8_t>(0);
  node.Operand<uint8_t>({1, 2}, {10, 10}).Operand<float>({2}, {1, 3}).One<uint8_t>(0);
  node.One<float>(2).One<uint8_t>(0);
  EXPECT_EQ(Values<uint8_t>(node.Run("QLinearMatMul", 10)), (U8{5, 15, 10, 30}));
  QuantisedNode half;
  half.Operand<int8_t>({1, 1}, {3}).One<Half>(Half(0.5F)).One<int8_t>(0);
  half.Operand<int8_t>({1, 1}, {4}).One<Half>(Half(1.0F)).One<int8_t>(0);
  half.One<Half>(Half(1.0F)).One<int8_t>(0);
  EXPECT_EQ(Values<int8_t>(half.Run("QLinearMatMul", 21)), (I8{6}));
  QuantisedNode along;  // a scale that varies along the summed axis cannot be taken out of the sum
  along.Operand<uint8_t>({1, 2}, {1, 1}).Operand<float>({1, 2}, {1, 2}).One<uint8_t>(0);
  along.Operand<uint8_t>({2, 1}, {1, 1}).One<float>(1).One<uint8_t>(0);
  along.One<float>(2).One<uint8_t>(0);
  EXPECT_EQ(along.Refusal("QLinearMatMul", 10), StatusCode::kInvalidArgument);
}

TEST(QLinearConv, ScalesPerChannelAndAddsTheBias) {
  QuantisedNode node;
  node.Operand<uint8_t>({1, 1, 2}, {3, 5}).One<float>(0.5F).One<uint8_t>(1);
  node.Operand<int8_t>({2, 1, 1}, {2, 4}).Operand<float>({2}, {1, 0.25F});
  node.Operand<int8_t>({2}, {0, 0}).One<float>(1).One<uint8_t>(100);
  node.Operand<int32_t>({2}, {1, -8});
  // acc {5, 9}, {0, 8}; scales 0.5 and 0.125
  EXPECT_EQ(Values<uint8_t>(node.Run("QLinearConv", 10)), (U8{102, 104, 100, 101}));
  QuantisedNode real;
  real.Operand<uint8_t>({1, 1, 1}, {3}).One<float>(1).One<uint8_t>(1);
  real.Operand<int8_t>({1, 1, 1}, {2}).One<float>(1).One<int8_t>(0).One<float>(1).One<uint8_t>(0);
  real.Operand<float>({1}, {1});
  EXPECT_EQ(real.Refusal("QLinearConv", 10), StatusCode::kInvalidArgument) << "the bias is i32";
}

TEST(QLinearConv, InfersSymbolicShapes) {
  ImportHarness h;
  const auto scale = h.Input("s", DType::kF32, {}), zero = h.Input("z", DType::kU8, {});
  const auto x = h.Input("x", DType::kU8, {h.Symbol("n", 1, 8), 3, h.Symbol("w", 4, 64)});
  const auto w = h.Input("w", DType::kU8, {8, 3, 3});
  EXPECT_EQ(h.Shape(h.Import("QLinearConv", 10, {x, scale, zero, w, scale, zero, scale, zero})),
            "[n,8,w - 2]");
  EXPECT_EQ(h.Shape(h.Import("ConvInteger", 10, {x, w})), "[n,8,w - 2]");
}

}  // namespace
}  // namespace fusee::ops
