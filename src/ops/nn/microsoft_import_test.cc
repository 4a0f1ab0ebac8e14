// Import rules of com.microsoft's matrix products, convolution and attention. Values are compared
// by tests/ops_oracle_test.py.
#include <gmock/gmock.h>

#include "ops/nn/import_support.h"

namespace fusee::ops {
namespace {

using ::testing::HasSubstr;

class MicrosoftCase : public ImportCase {
 public:
  explicit MicrosoftCase(std::string_view op) : ImportCase(op, 1) { Domain("com.microsoft"); }
};

TEST(ImportFusedMatMul, TransposesAndScales) {
  MicrosoftCase plain("FusedMatMul");
  ASSERT_TRUE(plain.Input({Sym("b"), 3, 4}).Input({4, 5}).Run().ok());
  EXPECT_EQ(plain.Operators(), "MatMul");
  MicrosoftCase c("FusedMatMul");
  c.Input({Sym("b"), 4, 3}, DType::kF16).Input({Sym("b"), 5, 4}, DType::kF16);
  ASSERT_TRUE(c.Int("transA", 1).Int("transB", 1).Float("alpha", 0.5f).Run().ok());
  EXPECT_EQ(c.Operators(), "Transpose Transpose MatMul Mul");
  EXPECT_EQ(c.Shape(), "[b,3,5]");
  MicrosoftCase batch("FusedMatMul");
  batch.Input({3, Sym("b"), Sym("h"), 4}).Input({Sym("b"), Sym("h"), 4, 5}).Int("transBatchA", 1);
  ASSERT_TRUE(batch.Run().ok());
  EXPECT_EQ(batch.Shape(), "[b,h,3,5]");
  MicrosoftCase vector("FusedMatMul");
  ASSERT_TRUE(vector.Input({4}).Input({4, 5}).Int("transA", 1).Run().ok());
  EXPECT_EQ(vector.Operators(), "MatMul");
  MicrosoftCase low("FusedMatMul");
  EXPECT_EQ(low.Input({3, 4}).Input({4, 5}).Int("transBatchA", 1).Run().code(),
            StatusCode::kInvalidArgument);
}

TEST(ImportFusedConv, SumComesBeforeTheActivation) {
  MicrosoftCase c("FusedConv");
  c.Input({Sym("n"), 3, 9, 9}).Input({8, 3, 3, 3}).Input({8}).Input({Sym("n"), 8, 7, 7});
  ASSERT_TRUE(c.Str("activation", "Relu").Run().ok());
  EXPECT_EQ(c.Operators(), "Conv Add Relu");
  EXPECT_EQ(c.Shape(), "[n,8,7,7]");
  const auto code = [](std::string_view activation) {
    MicrosoftCase conv("FusedConv");
    conv.Input({1, 3, 9, 9}).Input({8, 3, 3, 3}).Str("activation", activation);
    return conv.Run().code();
  };
  EXPECT_EQ(code("HardSigmoid"), StatusCode::kOk) << "has defaults";
  EXPECT_EQ(code("Clip"), StatusCode::kInvalidArgument) << "has none";
  EXPECT_EQ(code("Softplus"), StatusCode::kUnimplemented);
}

TEST(ImportFusedGemm, ActivationIsANodeOfItsOwn) {
  MicrosoftCase c("FusedGemm");
  c.Input({Sym("n"), 4})
      .Input({4, 5})
      .Input({5})
      .Str("activation", "LeakyRelu")
      .Float("activation_alpha", 0.5f);
  ASSERT_TRUE(c.Run().ok());
  EXPECT_EQ(c.Operators(), "Gemm LeakyRelu");
  EXPECT_EQ(*c.attrs().Float("alpha", 0), 0.5);
  EXPECT_EQ(c.Shape(), "[n,5]");
}

ImportCase& Projected(ImportCase& c, int64_t columns = 36, int64_t heads = 3) {
  return c.Input({Sym("b"), Sym("s"), 6})
      .Input({6, columns})
      .Input({columns})
      .Int("num_heads", heads);
}

TEST(ImportMicrosoftAttention, ProjectsThreeTimes) {
  MicrosoftCase c("Attention");
  ASSERT_TRUE(Projected(c).Run().ok());
  EXPECT_EQ(c.Shape(), "[b,s,12]");
  EXPECT_THAT(c.Operators(), HasSubstr("Slice MatMul Slice Add Reshape Transpose Slice MatMul"));
  MicrosoftCase sizes("Attention");
  ASSERT_TRUE(Projected(sizes, 33).Ints("qkv_hidden_sizes", {12, 12, 9}).Run().ok());
  EXPECT_EQ(sizes.Shape(), "[b,s,9]");
}

TEST(ImportMicrosoftAttention, PastIsInOneTensor) {
  MicrosoftCase c("Attention");
  Projected(c).Absent().Input({2, Sym("b"), 3, Sym("p"), 4}).Outputs({"y", "present"});
  ASSERT_TRUE(c.Int("unidirectional", 1).Run().ok());
  EXPECT_EQ(c.Shape(1), ir::ToString({2, Sym("b"), 3, Sym("p") + Sym("s"), 4}));
  MicrosoftCase four("Attention");
  EXPECT_EQ(Projected(four).Absent().Input({Sym("b"), 3, Sym("p"), 4}).Run().code(),
            StatusCode::kInvalidArgument);
}

TEST(ImportMicrosoftAttention, MasksOfIntegers) {
  const auto code = [](ir::SymShape mask, DType dtype = DType::kI32) {
    MicrosoftCase c("Attention");
    return Projected(c).Input(std::move(mask), dtype).Run().code();
  };
  EXPECT_EQ(code({Sym("b")}), StatusCode::kOk);
  EXPECT_EQ(code({Sym("b"), Sym("s")}), StatusCode::kOk);
  EXPECT_EQ(code({Sym("b"), Sym("s"), Sym("s")}), StatusCode::kOk);
  EXPECT_EQ(code({Sym("2*b")}), StatusCode::kUnimplemented) << "ends and starts";
  EXPECT_EQ(code({Sym("b"), 1, 64, 64}), StatusCode::kUnimplemented);
  EXPECT_EQ(code({Sym("b")}, DType::kF32), StatusCode::kInvalidArgument);
}

TEST(ImportMicrosoftAttention, RefusesWhatIsWrongOrNotThere) {
  MicrosoftCase uneven("Attention");
  EXPECT_EQ(Projected(uneven, 35).Run().code(), StatusCode::kInvalidArgument);
  MicrosoftCase heads("Attention");
  EXPECT_EQ(Projected(heads, 30).Run().code(), StatusCode::kInvalidArgument);
  MicrosoftCase sizes("Attention");
  EXPECT_EQ(Projected(sizes).Ints("qkv_hidden_sizes", {12, 9, 15}).Run().code(),
            StatusCode::kInvalidArgument);
  MicrosoftCase rotary("Attention");
  EXPECT_EQ(Projected(rotary).Int("do_rotary", 1).Run().code(), StatusCode::kUnimplemented);
  MicrosoftCase shared("Attention");
  Projected(shared).Absent().Absent().Absent().Input({1}, DType::kI32);
  EXPECT_EQ(shared.Run().code(), StatusCode::kUnimplemented);
  MicrosoftCase none("Attention");
  EXPECT_EQ(Projected(none, 36, 0).Run().code(), StatusCode::kInvalidArgument);
}

TEST(ImportMultiHeadAttention, EveryPacking) {
  const auto shape = [](const std::vector<ir::SymShape>& operands) {
    MicrosoftCase c("MultiHeadAttention");
    for (const ir::SymShape& s : operands) c.Input(s);
    const Status status = c.Int("num_heads", 3).Run();
    return status.ok() ? c.Shape() : std::string(StatusCodeName(status.code()));
  };
  const ir::Dim b = Sym("b"), s = Sym("s"), t = Sym("t");
  EXPECT_EQ(shape({{b, s, 12}, {b, t, 12}, {b, t, 18}}), "[b,s,18]");
  EXPECT_EQ(shape({{b, s, 12}, {b, 3, t, 4}, {b, 3, t, 6}}), "[b,s,18]");
  EXPECT_EQ(shape({{b, s, 12}, {b, t, 3, 2, 4}}), "[b,s,12]");
  EXPECT_EQ(shape({{b, s, 3, 3, 4}}), "[b,s,12]");
  EXPECT_EQ(shape({{b, s, 12}, {b, t, 12}, {b, t, 18}, {42}}), "[b,s,18]");
  EXPECT_EQ(shape({{b, s, 12}, {b, t, 12}, {b, t, 18}, {36}}), "INVALID_ARGUMENT");
  EXPECT_EQ(shape({{b, s, 12}, {b, 3, t, 4}, {b, 3, t, 6}, {42}}), "UNIMPLEMENTED");
  EXPECT_EQ(shape({{b, s, 12}}), "INVALID_ARGUMENT");
  EXPECT_EQ(shape({{b, s, 12}, {b, t, 12}}), "INVALID_ARGUMENT");
  EXPECT_EQ(shape({{b, s, 2, 3, 4}}), "INVALID_ARGUMENT") << "two heads";
  EXPECT_EQ(shape({{b, s, 13}, {b, t, 12}, {b, t, 12}}), "INVALID_ARGUMENT");
  EXPECT_EQ(shape({{b, s, Sym("h")}, {b, t, 12}, {b, t, 12}}), "UNIMPLEMENTED");
}

TEST(ImportMultiHeadAttention, PastAndPresent) {
  MicrosoftCase c("MultiHeadAttention");
  c.Input({Sym("b"), Sym("s"), 12}).Input({Sym("b"), Sym("s"), 12}).Input({Sym("b"), Sym("s"), 12});
  c.Absent().Absent().Absent().Input({Sym("b"), 3, Sym("p"), 4}).Input({Sym("b"), 3, Sym("p"), 4});
  ASSERT_TRUE(c.Int("num_heads", 3).Outputs({"y", "k", "v"}).Run().ok());
  EXPECT_EQ(c.Shape(1), ir::ToString({Sym("b"), 3, Sym("p") + Sym("s"), 4}));
  MicrosoftCase probe("MultiHeadAttention");
  probe.Input({2, 4, 12}).Input({2, 4, 12}).Input({2, 4, 12}).Int("num_heads", 3);
  ASSERT_TRUE(probe.Outputs({"y", "", "", "qk"}).Run().ok());
  EXPECT_FALSE(probe.Gave(3)) << "which the importer refuses";
}

}  // namespace
}  // namespace fusee::ops
