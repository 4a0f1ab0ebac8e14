// Import rules and symbolic shape inference of the norm family.
#include <gmock/gmock.h>

#include "ops/nn/import_support.h"

namespace fusee::ops {
namespace {

TEST(ImportSoftmax, OldOpsetsFlattenNewOnesDoNot) {
  ImportCase old("Softmax", 11);
  old.Input({Sym("n"), 3, 4, 5});
  ASSERT_TRUE(old.Run().ok());
  EXPECT_EQ(*old.attrs().Int("axis", -1), 1);
  EXPECT_EQ(*old.attrs().Int("axes_count", 1), 3);
  EXPECT_EQ(old.Shape(), "[n,3,4,5]");
  ImportCase last("Softmax", 11);
  last.Input({Sym("n"), 3}).Int("axis", -1);
  ASSERT_TRUE(last.Run().ok());
  EXPECT_FALSE(last.attrs().Has("axes_count")) << "one axis is the plain form";
  ImportCase now("LogSoftmax", 13);
  now.Input({Sym("n"), 3, 4, 5});
  ASSERT_TRUE(now.Run().ok());
  EXPECT_EQ(*now.attrs().Int("axis", -1), 3);
  ImportCase outside("Softmax", 13);
  outside.Input({2, 3}).Int("axis", 2);
  EXPECT_FALSE(outside.Run().ok());
}

ImportCase& FourVectors(ImportCase& c) {
  for (int i = 0; i < 4; ++i) c.Input({3});
  return c;
}

TEST(ImportBatchNormalization, InferenceOnly) {
  ImportCase plain("BatchNormalization", 7);
  FourVectors(plain.Input({Sym("n"), 3, Sym("h")})).Float("momentum", 0.9f).Int("spatial", 1);
  ASSERT_TRUE(plain.Run().ok());
  EXPECT_EQ(plain.Shape(), "[n,3,h]");
  ImportCase now("BatchNormalization", 15);
  FourVectors(now.Input({Sym("n"), 3, 4})).Int("training_mode", 0).Outputs({"y", "mean"});
  EXPECT_EQ(now.Run().code(), StatusCode::kUnimplemented);
  ImportCase results("BatchNormalization", 9);
  FourVectors(results.Input({Sym("n"), 3, 4})).Outputs({"y", "mean", "var"});
  EXPECT_EQ(results.Run().code(), StatusCode::kUnimplemented);
  ImportCase spatial("BatchNormalization", 7);
  FourVectors(spatial.Input({Sym("n"), 3, 4})).Int("spatial", 0);
  EXPECT_EQ(spatial.Run().code(), StatusCode::kUnimplemented);
  ImportCase channels("BatchNormalization", 9);
  FourVectors(channels.Input({Sym("n"), 4, 4}));
  EXPECT_EQ(channels.Run().code(), StatusCode::kInvalidArgument);
}

TEST(ImportBatchNormalization, TrainingComputesTheStatistics) {
  for (const int opset : {14, 15, 26}) {
    ImportCase c("BatchNormalization", opset);
    FourVectors(c.Input({Sym("n"), 3, Sym("h")})).Int("training_mode", 1);
    ASSERT_TRUE(c.Outputs({"y", "mean", "var"}).Run().ok());
    EXPECT_EQ(c.Shape(0), "[n,3,h]");
    EXPECT_EQ(c.Shape(1), "[3]");
    EXPECT_EQ(c.Shape(2), "[3]");
    EXPECT_EQ(
        c.Operators(),
        "ReduceMean Sub Reshape Mul ReduceMean Reshape BatchNormalization Mul Mul Add Mul Mul "
        "Add");
  }
  ImportCase half("BatchNormalization", 15);
  half.Input({2, 3}, DType::kF16).Input({3}, DType::kF16).Input({3}, DType::kF16);
  half.Input({3}, DType::kBF16).Input({3}, DType::kBF16).Int("training_mode", 1);
  ASSERT_TRUE(half.Outputs({"y", "", "var"}).Run().ok());
  EXPECT_EQ(half.Type(0), DType::kF16);
  EXPECT_EQ(half.Type(2), DType::kBF16);
  EXPECT_EQ(
      half.Operators(),
      "Cast ReduceMean Sub Reshape Mul ReduceMean Reshape BatchNormalization Cast Mul Mul Add "
      "Cast");
}

TEST(ImportBatchNormalization, TrainingRefusesWhatDoesNotFit) {
  const auto code = [](std::vector<ir::Dim> x, std::vector<ir::Dim> mean, DType type,
                       std::vector<std::string_view> outputs) {
    ImportCase c("BatchNormalization", 15);
    c.Input(std::move(x), type).Input({3}).Input({3}).Input(std::move(mean)).Input({3});
    return c.Int("training_mode", 1).Outputs(std::move(outputs)).Run().code();
  };
  EXPECT_EQ(code({2, 3, 4}, {3}, DType::kF32, {"y"}), StatusCode::kOk);
  EXPECT_EQ(code({2, 3, 4}, {1}, DType::kF32, {"y"}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({2, 3, 4}, {3, 1}, DType::kF32, {"y"}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({2, 4, 3}, {3}, DType::kF32, {"y"}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({3}, {3}, DType::kF32, {"y"}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({2, 3, 4}, {3}, DType::kI32, {"y"}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({2, 3, 4}, {3}, DType::kF32, {"y", "m", "v", "sm", "sv"}),
            StatusCode::kInvalidArgument);
  ImportCase missing("BatchNormalization", 15);
  missing.Input({2, 3, 4}).Input({3}).Input({3}).Int("training_mode", 1);
  EXPECT_EQ(missing.Run().code(), StatusCode::kInvalidArgument);
}

TEST(ImportLayerNormalization, StatisticsHaveOnes) {
  ImportCase c("LayerNormalization", 17);
  c.Input({Sym("b"), Sym("s"), 8}, DType::kF16).Input({8}, DType::kF16).Input({8}, DType::kF16);
  c.Outputs({"y", "mean", "inv"});
  ASSERT_TRUE(c.Run().ok());
  EXPECT_EQ(c.Shape(0), "[b,s,8]");
  EXPECT_EQ(c.Shape(1), "[b,s,1]");
  EXPECT_EQ(c.Type(1), DType::kF32);
  ImportCase wide("LayerNormalization", 17);
  wide.Input({2, 3, 8}).Input({3, 8});
  EXPECT_FALSE(wide.Run().ok()) << "scale varies outside the normalised axis";
  ImportCase rms("RMSNormalization", 23);
  rms.Input({Sym("b"), 8}).Input({8});
  ASSERT_TRUE(rms.Run().ok());
  EXPECT_EQ(rms.Shape(), "[b,8]");
}

TEST(ImportGroupNormalization, InstanceIsOneChannelPerGroup) {
  ImportCase c("InstanceNormalization", 6);
  c.Input({Sym("n"), 3, 4, 4}).Input({3}).Input({3});
  ASSERT_TRUE(c.Run().ok());
  EXPECT_EQ(*c.attrs().Int("num_groups", 0), 3);
  ImportCase uneven("GroupNormalization", 21);
  uneven.Input({Sym("n"), 3, 4, 4}).Input({3}).Input({3}).Int("num_groups", 2);
  EXPECT_FALSE(uneven.Run().ok());
}

TEST(ImportLrn, SizeIsRequired) {
  ImportCase c("LRN", 13);
  c.Input({Sym("n"), 3, 4, 4});
  EXPECT_FALSE(c.Run().ok());
  ImportCase good("LRN", 13);
  good.Input({Sym("n"), 3, 4, 4}).Int("size", 5);
  ASSERT_TRUE(good.Run().ok());
  EXPECT_EQ(good.Shape(), "[n,3,4,4]");
}

TEST(ImportMeanVarianceNormalization, AxesAndTypes) {
  ImportCase c("MeanVarianceNormalization", 9);
  c.Input({Sym("n"), 3, Sym("h"), 4});
  ASSERT_TRUE(c.Run().ok());
  EXPECT_EQ(c.Shape(), "[n,3,h,4]");
  EXPECT_EQ(c.Operators(), "ReduceMean Sub Mul ReduceMean Sqrt Add Div");
  ImportCase half("MeanVarianceNormalization", 13);
  ASSERT_TRUE(half.Input({Sym("n"), 3}, DType::kF16).Ints("axes", {-1}).Run().ok());
  EXPECT_EQ(half.Type(), DType::kF16);
  EXPECT_EQ(half.Operators(), "Cast ReduceMean Sub Mul ReduceMean Sqrt Add Div Cast");
  for (const std::vector<int64_t>& axes : {std::vector<int64_t>{2}, {0, -2}}) {
    ImportCase bad("MeanVarianceNormalization", 13);
    EXPECT_EQ(bad.Input({2, 3}).Ints("axes", axes).Run().code(), StatusCode::kInvalidArgument);
  }
  ImportCase few("MeanVarianceNormalization", 13);
  EXPECT_FALSE(few.Input({2, 3}).Run().ok()) << "the default axes are those of images";
}

TEST(ImportHardmax, OldOpsetsFlattenNewOnesDoNot) {
  ImportCase old("Hardmax", 11);
  ASSERT_TRUE(old.Input({Sym("n"), 3, Sym("h")}).Run().ok());
  EXPECT_EQ(old.Shape(), "[n,3,h]");
  EXPECT_EQ(old.Operators(), "Reshape ArgMax OneHot Reshape");
  ImportCase now("Hardmax", 13);
  ASSERT_TRUE(now.Input({Sym("n"), 3, Sym("h")}, DType::kF16).Int("axis", 1).Run().ok());
  EXPECT_EQ(now.Shape(), "[n,3,h]");
  EXPECT_EQ(now.Type(), DType::kF16);
  EXPECT_EQ(now.Operators(), "ArgMax OneHot");
  ImportCase empty("Hardmax", 13);
  ASSERT_TRUE(empty.Input({4, 0}).Run().ok());
  EXPECT_EQ(empty.Shape(), "[4,0]");
  ImportCase rows("Hardmax", 1);
  ASSERT_TRUE(rows.Input({4}).Int("axis", 1).Run().ok()) << "rows of one element";
  ImportCase outside("Hardmax", 13);
  EXPECT_EQ(outside.Input({2, 3}).Int("axis", 2).Run().code(), StatusCode::kInvalidArgument);
  ImportCase integers("Hardmax", 13);
  EXPECT_EQ(integers.Input({2, 3}, DType::kI32).Run().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee::ops
