// Import rules and symbolic shape inference of the nn family.
#include <gmock/gmock.h>

#include "ops/nn/import_support.h"

namespace fusee::ops {
namespace {

using ::testing::HasSubstr;
using List = std::vector<int64_t>;

TEST(ImportConv, KernelComesFromTheWeightAndListsAreExplicit) {
  ImportCase c("Conv", 11);
  c.Input({Sym("n"), 3, Sym("h"), Sym("w")}).Input({8, 3, 3, 5}).Ints("strides", {2, 1});
  ASSERT_TRUE(c.Run().ok());
  EXPECT_EQ(*c.attrs().Ints("kernel_shape"), (List{3, 5}));
  EXPECT_EQ(*c.attrs().Ints("strides"), (List{2, 1}));
  EXPECT_EQ(*c.attrs().Ints("dilations"), (List{1, 1}));
  EXPECT_EQ(*c.attrs().Ints("pads"), (List{0, 0, 0, 0}));
  EXPECT_EQ(c.Shape(), ir::ToString({Sym("n"), 8, FloorDiv(Sym("h") - 3, 2) + 1, Sym("w") - 4}));
}

TEST(ImportConv, SameBecomesPadsWhereTheShapeAllows) {
  ImportCase fixed("Conv", 11);
  fixed.Input({Sym("n"), 1, 5, 5})
      .Input({1, 1, 3, 3})
      .Str("auto_pad", "SAME_LOWER")
      .Ints("strides", {2, 2});
  ASSERT_TRUE(fixed.Run().ok());
  EXPECT_EQ(*fixed.attrs().Ints("pads"), (List{1, 1, 1, 1}));
  EXPECT_FALSE(fixed.attrs().Has("auto_pad"));

  ImportCase even("Conv", 11);
  even.Input({1, 1, Sym("h")}).Input({1, 1, 4}).Str("auto_pad", "SAME_UPPER");
  ASSERT_TRUE(even.Run().ok()) << "stride 1 needs no size";
  EXPECT_EQ(*even.attrs().Ints("pads"), (List{1, 2}));
  EXPECT_EQ(even.Shape(), "[1,1,h]");

  ImportCase open("Conv", 11);
  open.Input({1, 1, Sym("h")}).Input({1, 1, 3}).Str("auto_pad", "SAME_UPPER").Ints("strides", {2});
  ASSERT_TRUE(open.Run().ok());
  EXPECT_EQ(*open.attrs().Str("auto_pad", ""), "SAME_UPPER");
  EXPECT_EQ(open.Shape(), ir::ToString({1, 1, CeilDiv(Sym("h"), 2)}));
}

TEST(ImportConv, ChannelsAreCheckedAndNamed) {
  ImportCase c("Conv", 11);
  c.Input({1, 4, 9, 9}).Input({8, 3, 3, 3});
  const Status status = c.Run();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("'n'"));

  ImportCase symbolic("Conv", 11);
  symbolic.Input({1, Sym("c"), 9, 9}).Input({8, 3, 3, 3});
  ASSERT_TRUE(symbolic.Run().ok());
  EXPECT_EQ(symbolic.graph().constraints().size(), 1u) << "checked at run time";
}

TEST(ImportConv, RefusesWhatCannotWork) {
  ImportCase group("Conv", 11);
  group.Input({1, 4, 9, 9}).Input({9, 2, 3, 3}).Int("group", 2);
  EXPECT_FALSE(group.Run().ok());
  ImportCase zero_stride("Conv", 11);
  zero_stride.Input({1, 4, 9, 9}).Input({8, 4, 3, 3}).Ints("strides", {0, 1});
  EXPECT_FALSE(zero_stride.Run().ok());
  ImportCase negative("Conv", 11);
  negative.Input({1, 4, 9, 9}).Input({8, 4, 3, 3}).Ints("pads", {-1, 0, 0, 0});
  EXPECT_EQ(negative.Run().code(), StatusCode::kUnimplemented);
  ImportCase large("Conv", 11);
  large.Input({1, 4, 2, 9}).Input({8, 4, 3, 3});
  EXPECT_FALSE(large.Run().ok());
  ImportCase integer("Conv", 11);
  integer.Input({1, 4, 9, 9}, DType::kI32).Input({8, 4, 3, 3}, DType::kI32);
  EXPECT_FALSE(integer.Run().ok());
}

TEST(ImportConvTranspose, ShapesForwardAndBackward) {
  ImportCase c("ConvTranspose", 11);
  c.Input({Sym("n"), 2, Sym("h")})
      .Input({2, 3, 4})
      .Ints("strides", {2})
      .Ints("pads", {1, 1})
      .Int("group", 2);
  ASSERT_TRUE(c.Run().ok());
  EXPECT_EQ(c.Shape(), ir::ToString({Sym("n"), 6, Sym("2*h")}));
  ImportCase sized("ConvTranspose", 11);
  sized.Input({1, 1, 3}).Input({1, 1, 3}).Ints("strides", {3}).Ints("output_shape", {10});
  ASSERT_TRUE(sized.Run().ok());
  EXPECT_EQ(sized.Shape(), "[1,1,10]");
}

TEST(ImportPool, CeilModeAndIndices) {
  ImportCase c("MaxPool", 12);
  c.Input({Sym("n"), 3, 7})
      .Ints("kernel_shape", {2})
      .Ints("strides", {2})
      .Int("ceil_mode", 1)
      .Int("storage_order", 1);
  c.Outputs({"y", "i"});
  ASSERT_TRUE(c.Run().ok());
  EXPECT_EQ(c.Shape(0), "[n,3,4]");
  EXPECT_EQ(c.Shape(1), "[n,3,4]");
  EXPECT_EQ(c.Type(1), DType::kI64);
  ImportCase average("AveragePool", 7);
  average.Input({Sym("n"), 3, 7})
      .Ints("kernel_shape", {2})
      .Int("count_include_pad", 1)
      .Str("auto_pad", "VALID");
  ASSERT_TRUE(average.Run().ok());
  EXPECT_EQ(average.Shape(), "[n,3,6]");
  EXPECT_EQ(*average.attrs().Int("count_include_pad", 0), 1);
  ImportCase none("AveragePool", 7);
  none.Input({Sym("n"), 3, 7});
  EXPECT_FALSE(none.Run().ok()) << "kernel_shape is required";
}

TEST(ImportPool, SymbolicCeilModeEvaluatesLikeTheKernel) {
  ImportCase c("MaxPool", 12);
  c.Input({1, 1, Sym("h")})
      .Ints("kernel_shape", {3})
      .Ints("strides", {3})
      .Ints("pads", {1, 1})
      .Int("ceil_mode", 1);
  ASSERT_TRUE(c.Run().ok());
  auto shape =
      ir::SymShape(c.graph().value(c.graph().node(c.graph().order().back()).outputs[0]).info.shape);
  EXPECT_EQ(*shape[2].Evaluate({{"h", 2}}), 1);  // a second window would begin beyond the input
  EXPECT_EQ(*shape[2].Evaluate({{"h", 3}}), 2);
}

TEST(ImportGlobalPool, EverySpatialAxisBecomesOne) {
  ImportCase c("GlobalAveragePool", 7);
  c.Input({Sym("n"), Sym("c"), Sym("h"), Sym("w")});
  ASSERT_TRUE(c.Run().ok());
  EXPECT_EQ(c.Shape(), "[n,c,1,1]");
}

TEST(ImportGlobalPool, LpIsAReduction) {
  for (const int64_t p : {1, 2, 3}) {
    ImportCase c("GlobalLpPool", p == 3 ? 22 : 7);
    c.Input({Sym("n"), Sym("c"), Sym("h"), 5}, DType::kF16).Int("p", p);
    ASSERT_TRUE(c.Run().ok());
    EXPECT_EQ(c.Shape(), "[n,c,1,1]");
    EXPECT_EQ(c.Type(0), DType::kF16);
    EXPECT_EQ(c.graph().order().size(), p == 3 ? 6U : 1U);
  }
  ImportCase zero("GlobalLpPool", 7);
  zero.Input({1, 2, 3}).Int("p", 0);
  EXPECT_EQ(zero.Run().code(), StatusCode::kInvalidArgument);
  ImportCase integer("GlobalLpPool", 7);
  integer.Input({1, 2, 3}, DType::kI32);
  EXPECT_EQ(integer.Run().code(), StatusCode::kInvalidArgument);
}

TEST(ImportGemm, TransposesAndBroadcasts) {
  ImportCase c("Gemm", 13);
  c.Input({Sym("k"), Sym("m")})
      .Input({5, Sym("k")})
      .Input({5})
      .Int("transA", 1)
      .Int("transB", 1)
      .Float("alpha", 0.5f);
  ASSERT_TRUE(c.Run().ok());
  EXPECT_EQ(c.Shape(), "[m,5]");
  EXPECT_EQ(*c.attrs().Float("alpha", 1), 0.5);
  EXPECT_FALSE(c.attrs().Has("beta"));
  ImportCase bad("Gemm", 13);
  bad.Input({2, 3}).Input({3, 5}).Input({4});
  EXPECT_FALSE(bad.Run().ok());
}

TEST(ImportMatMul, NumpyShapes) {
  const auto shape = [](ir::SymShape a, ir::SymShape b) {
    ImportCase c("MatMul", 13);
    c.Input(std::move(a)).Input(std::move(b));
    return c.Run().ok() ? c.Shape() : std::string("error");
  };
  EXPECT_EQ(shape({Sym("b"), Sym("s"), 4}, {4, 5}), "[b,s,5]");
  EXPECT_EQ(shape({4}, {4}), "[]");
  EXPECT_EQ(shape({4}, {Sym("b"), 4, 5}), "[b,5]");
  EXPECT_EQ(shape({Sym("b"), 3, 4}, {4}), "[b,3]");
  EXPECT_EQ(shape({Sym("b"), 1, 3, 4}, {7, 4, 5}), "[b,7,3,5]");
  EXPECT_EQ(shape({2, 3, 4}, {3, 4, 5}), "error");
  EXPECT_EQ(shape({3, 4}, {3, 4}), "error");
  EXPECT_EQ(shape({}, {4}), "error");
}

}  // namespace
}  // namespace fusee::ops
