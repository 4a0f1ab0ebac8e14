// The quantised operators of com.microsoft: exact values by hand, and refusals.
#include "ops/quant/quantised_test_util.h"

namespace fusee::ops {
namespace {

constexpr std::string_view kDomain = "com.microsoft";

// codes, a scale, a zero point.
template <typename T>
void Quantised(QuantisedNode& node, const Shape& shape, const std::vector<T>& codes, float scale,
               T zero) {
  node.Operand<T>(shape, codes).template One<float>(scale).template One<T>(zero);
}

TEST(QLinearAdd, BroadcastsAndSaturates) {
  QuantisedNode node(kDomain);
  Quantised<uint8_t>(node, {2, 2}, {10, 20, 255, 0}, 0.5F, 10);
  Quantised<uint8_t>(node, {2}, {3, 1}, 2, 1);
  node.One<float>(1).One<uint8_t>(5);
  // {0, 5, 122.5, -5} + {4, 0}; 126.5 rounds to 126
  EXPECT_EQ(Values<uint8_t>(node.Run("QLinearAdd")), (U8{9, 10, 131, 0}));
}

TEST(QLinearAdd, ZeroPointsAreOptional) {
  QuantisedNode node(kDomain);
  node.Operand<int8_t>({1}, {-3}).One<float>(1).Absent();
  node.Operand<int8_t>({1}, {1}).One<float>(1).Absent().One<float>(1);
  EXPECT_EQ(Values<int8_t>(node.Run("QLinearAdd")), (I8{-2}));
  QuantisedNode rows(kDomain);
  rows.Operand<int8_t>({2}, {-3, 1}).Operand<float>({2}, {1, 2}).Absent();
  rows.Operand<int8_t>({1}, {1}).One<float>(1).Absent().One<float>(1);
  EXPECT_EQ(rows.Refusal("QLinearAdd"), StatusCode::kInvalidArgument) << "one scale each";
}

TEST(QLinearMul, ScalesTheIntegerProduct) {
  QuantisedNode node(kDomain);
  Quantised<int8_t>(node, {3}, {2, -128, 127}, 0.5F, 0);
  Quantised<int8_t>(node, {3}, {4, 127, 1}, 0.5F, 1);
  node.One<float>(1).One<int8_t>(-1);
  // {6, -128 * 126, 0} / 4; 1.5 rounds to 2
  EXPECT_EQ(Values<int8_t>(node.Run("QLinearMul")), (I8{1, -128, -1}));
}

TEST(QLinearSigmoid, OfZeroIsHalf) {
  QuantisedNode node(kDomain);
  Quantised<uint8_t>(node, {3}, {128, 0, 255}, 1, 128);
  node.One<float>(1.0F / 256).One<uint8_t>(0);
  EXPECT_EQ(Values<uint8_t>(node.Run("QLinearSigmoid")), (U8{128, 0, 255}));
}

TEST(QLinearLeakyRelu, DefaultsToOneHundredth) {
  QuantisedNode node(kDomain);
  Quantised<int8_t>(node, {2}, {-100, 7}, 1, 0);
  node.One<float>(1).One<int8_t>(0);
  EXPECT_EQ(Values<int8_t>(node.Run("QLinearLeakyRelu")), (I8{-1, 7}));
  QuantisedNode half(kDomain);
  Quantised<int8_t>(half, {2}, {-100, 7}, 1, 0);
  half.One<float>(1).One<int8_t>(0).WithFloat("alpha", 0.5F);
  EXPECT_EQ(Values<int8_t>(half.Run("QLinearLeakyRelu")), (I8{-50, 7}));
}

TEST(QLinearConcat, BringsAllToOneScale) {
  QuantisedNode node(kDomain);
  node.One<float>(1).One<uint8_t>(10);
  Quantised<uint8_t>(node, {1, 2}, {4, 6}, 0.5F, 2);
  Quantised<uint8_t>(node, {1, 1}, {255}, 1, 0);
  node.With("axis", -1);
  EXPECT_EQ(Values<uint8_t>(node.Run("QLinearConcat")), (U8{11, 12, 255}));
  QuantisedNode odd(kDomain);
  odd.One<float>(1).One<uint8_t>(10).Operand<uint8_t>({1}, {4}).With("axis", 0);
  EXPECT_EQ(odd.Refusal("QLinearConcat"), StatusCode::kInvalidArgument);
}

TEST(QLinearAveragePool, PadsWithTheZeroPoint) {
  for (int include : {0, 1}) {
    QuantisedNode node(kDomain);
    Quantised<uint8_t>(node, {1, 1, 2}, {14, 18}, 1, 10);
    node.One<float>(0.5F).One<uint8_t>(0);
    node.With("kernel_shape", std::vector<int64_t>{2}).With("pads", std::vector<int64_t>{1, 0});
    node.With("count_include_pad", include);
    EXPECT_EQ(Values<uint8_t>(node.Run("QLinearAveragePool")),
              (include != 0 ? U8{4, 12} : U8{8, 12}));
  }
}

TEST(QLinearGlobalAveragePool, BothLayouts) {
  for (int last : {0, 1}) {
    QuantisedNode node(kDomain);
    Quantised<uint8_t>(node, {1, 2, 2}, {1, 3, 5, 7}, 1, 1);
    node.One<float>(1).One<uint8_t>(0).With("channels_last", last);
    EXPECT_EQ(Values<uint8_t>(node.Run("QLinearGlobalAveragePool")),
              (last != 0 ? U8{2, 4} : U8{1, 5}));
  }
}

TEST(QGemm, QuantisedOrReal) {
  for (bool quantised : {true, false}) {
    QuantisedNode node(kDomain);
    Quantised<uint8_t>(node, {2, 1}, {3, 5}, 0.5F, 1);  // a, transposed: {2, 4}
    node.Operand<int8_t>({2, 2}, {1, 2, 3, 4});         // b, transposed: columns {1, 2}, {3, 4}
    node.Operand<float>({2}, {1, 2}).Operand<int8_t>({2}, {0, 1}).Operand<int32_t>({2}, {2, -2});
    node.With("transA", 1).With("transB", 1).WithFloat("alpha", 2);
    if (quantised) node.One<float>(2).One<uint8_t>(3);
    // acc: 2 + 8 + 2, 4 + 12 - 2; scales 1 and 2
    const Tensor y = node.Run("QGemm");
    if (quantised) {
      EXPECT_EQ(Values<uint8_t>(y), (U8{9, 17}));
    } else {
      EXPECT_EQ(Values<float>(y), (F32{12, 28}));
    }
  }
  QuantisedNode tall(kDomain);  // a c of more rows than the product
  Quantised<uint8_t>(tall, {1, 1}, {3}, 1, 0);
  Quantised<uint8_t>(tall, {1, 1}, {3}, 1, 0);
  tall.Operand<int32_t>({2, 1}, {1, 2});
  EXPECT_EQ(tall.Refusal("QGemm"), StatusCode::kInvalidArgument);
}

TEST(MatMulIntegerToFloat, ScalesAndAddsTheBias) {
  QuantisedNode node(kDomain);
  node.Operand<uint8_t>({1, 2}, {3, 5}).Operand<int8_t>({2, 2}, {1, 2, 3, 4});
  node.One<float>(0.5F).Operand<float>({2}, {1, 2}).One<uint8_t>(1).Absent();
  node.Operand<float>({2}, {10, 20});
  EXPECT_EQ(Values<float>(node.Run("MatMulIntegerToFloat")), (F32{17, 40}));
}

TEST(DynamicQuantizeMatMul, QuantisesAFirst) {
  QuantisedNode node(kDomain);
  // The range 0 to 255 has scale 1 and zero point 0, so that codes are the values.
  node.Operand<float>({1, 2}, {0, 255}).Operand<int8_t>({2, 2}, {1, 2, 3, -4});
  node.Operand<float>({2}, {1, 2}).Operand<int8_t>({2}, {1, 0}).Operand<float>({2}, {0.5F, 0});
  EXPECT_EQ(Values<float>(node.Run("DynamicQuantizeMatMul")), (F32{510.5F, -2040}));
}

// K = 3 in blocks of 2; N = 2. Codes, low nibble first.
void FourBits(QuantisedNode& node) {
  node.Operand<float>({1, 3}, {1, 10, 100});
  node.Constant<uint8_t>({2, 2, 1}, {0x98, 0x0A, 0xF0, 0x07}).Constant<float>({4}, {1, 2, 3, 4});
  node.With("K", 3).With("N", 2).With("block_size", 2).With("bits", 4);
}

TEST(MatMulNBits, ExpandsFourBits) {
  // zero point 8: column 0 {0, 1, 2*2}, column 1 {-8*3, 7*3, -1*4}
  QuantisedNode plain(kDomain);
  FourBits(plain);
  EXPECT_EQ(Values<float>(plain.Run("MatMulNBits")), (F32{410, -24 + 210 - 400}));
  QuantisedNode packed(kDomain);
  FourBits(packed);
  packed.Constant<uint8_t>({2}, {0xA8, 0x70});
  // zeros: column 0 {8, 10}, column 1 {0, 7}
  packed.Absent().Constant<float>({2}, {1, 2});
  EXPECT_EQ(Values<float>(packed.Run("MatMulNBits")), (F32{11, 0 + 450 + 0 + 2}));
  QuantisedNode real(kDomain);
  FourBits(real);
  real.Constant<float>({4}, {8, 8.5F, 0, 7});
  EXPECT_EQ(Values<float>(real.Run("MatMulNBits")), (F32{310, 450}));
}

TEST(MatMulNBits, ExpandsTwoAndEightBits) {
  QuantisedNode two(kDomain);
  two.Operand<float>({4}, {1, 10, 100, 1000}).Constant<uint8_t>({1, 1, 1}, {0xE4});
  two.Constant<float>({1}, {1}).With("K", 4).With("N", 1).With("block_size", 4).With("bits", 2);
  EXPECT_EQ(Values<float>(two.Run("MatMulNBits")), (F32{-2 - 10 + 1000}));
  QuantisedNode eight(kDomain);
  eight.Operand<float>({2}, {1, 10}).Constant<uint8_t>({1, 1, 2}, {0, 255});
  eight.Constant<float>({1}, {1}).With("K", 2).With("N", 1).With("block_size", 2).With("bits", 8);
  EXPECT_EQ(Values<float>(eight.Run("MatMulNBits")), (F32{-128 + 1270}));
}

TEST(MatMulNBits, RefusesWhatIsNoPackedWeight) {
  QuantisedNode order(kDomain);
  FourBits(order);
  order.Absent().Constant<int32_t>({3}, {0, 0, 1});
  EXPECT_EQ(order.Refusal("MatMulNBits"), StatusCode::kUnimplemented) << "g_idx";
  const auto sizes = [](int64_t k, int64_t n, int64_t block, int64_t bits) {
    QuantisedNode node(kDomain);
    node.Operand<float>({1, 3}, {1, 10, 100});
    node.Constant<uint8_t>({2, 2, 1}, {0, 0, 0, 0}).Constant<float>({4}, {1, 2, 3, 4});
    node.With("K", k).With("N", n).With("block_size", block).With("bits", bits);
    return node.Refusal("MatMulNBits");
  };
  EXPECT_EQ(sizes(3, 2, 2, 4), StatusCode::kOk);
  EXPECT_EQ(sizes(3, 2, 2, 3), StatusCode::kUnimplemented);
  EXPECT_EQ(sizes(3, 3, 2, 4), StatusCode::kInvalidArgument);
  EXPECT_EQ(sizes(5, 2, 2, 4), StatusCode::kInvalidArgument);
  EXPECT_EQ(sizes(3, 2, 1, 4), StatusCode::kInvalidArgument) << "half a byte";
  EXPECT_EQ(sizes(INT64_MAX, INT64_MAX, INT64_MAX, 8), StatusCode::kInvalidArgument);
  EXPECT_EQ(sizes(3, -2, 2, 4), StatusCode::kInvalidArgument);
  EXPECT_EQ(sizes(3, 2, 0, 4), StatusCode::kInvalidArgument);
  QuantisedNode open(kDomain);
  open.Operand<float>({1, 2}, {1, 10}).Operand<uint8_t>({1, 1, 1}, {0}).Constant<float>({1}, {1});
  open.With("K", 2).With("N", 1).With("block_size", 2);
  EXPECT_EQ(open.Refusal("MatMulNBits"), StatusCode::kUnimplemented) << "weights not constant";
}

}  // namespace
}  // namespace fusee::ops
