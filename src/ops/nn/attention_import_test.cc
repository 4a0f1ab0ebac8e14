// Import rules of Attention: shapes, the forms they are spelled in, and what they refuse. Values
// are compared by ONNX's node tests and by tests/ops_oracle_test.py.
#include <gmock/gmock.h>

#include "ops/nn/import_support.h"

namespace fusee::ops {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// [b,s,24] on [b,t,24], three heads.
ImportCase& ThreeHeads(ImportCase& c, DType dtype = DType::kF32) {
  return c.Input({Sym("b"), Sym("s"), 24}, dtype)
      .Input({Sym("b"), Sym("t"), 24}, dtype)
      .Input({Sym("b"), Sym("t"), 30}, dtype)
      .Int("q_num_heads", 3)
      .Int("kv_num_heads", 3);
}
ImportCase& ByHeads(ImportCase& c) {
  return c.Input({Sym("b"), 3, Sym("s"), 8})
      .Input({Sym("b"), 3, Sym("t"), 8})
      .Input({Sym("b"), 3, Sym("t"), 10});
}

TEST(ImportAttention, JoinedHeadsAreSplitAndJoinedAgain) {
  ImportCase c("Attention", 23);
  ASSERT_TRUE(ThreeHeads(c).Run().ok());
  EXPECT_EQ(c.Shape(), "[b,s,30]");
  EXPECT_EQ(c.Operators(),
            "Reshape Transpose Reshape Transpose Reshape Transpose Mul Transpose MatMul Softmax "
            "MatMul Transpose Reshape");
}

TEST(ImportAttention, HeadsAsAxisStay) {
  ImportCase c("Attention", 24);
  ASSERT_TRUE(ByHeads(c).Run().ok());
  EXPECT_EQ(c.Shape(), "[b,3,s,10]");
  EXPECT_EQ(c.Operators(), "Mul Transpose MatMul Softmax MatMul");
  ImportCase unscaled("Attention", 24);
  ASSERT_TRUE(ByHeads(unscaled).Float("scale", 1).Run().ok());
  EXPECT_EQ(unscaled.Operators(), "Transpose MatMul Softmax MatMul");
}

TEST(ImportAttention, PastGoesBeforeKeysAndValues) {
  ImportCase c("Attention", 23);
  ByHeads(c).Absent().Input({Sym("b"), 3, Sym("p"), 8}).Input({Sym("b"), 3, Sym("p"), 10});
  c.Int("is_causal", 1).Int("qk_matmul_output_mode", 3).Outputs({"y", "k", "v", "qk"});
  ASSERT_TRUE(c.Run().ok());
  EXPECT_EQ(c.Shape(1), ir::ToString({Sym("b"), 3, Sym("p") + Sym("t"), 8}));
  EXPECT_EQ(c.Shape(2), ir::ToString({Sym("b"), 3, Sym("p") + Sym("t"), 10}));
  EXPECT_EQ(c.Shape(3), ir::ToString({Sym("b"), 3, Sym("s"), Sym("p") + Sym("t")}));
  EXPECT_THAT(c.Operators(), Not(HasSubstr("ReduceMax"))) << "a causal query sees the first key";
  ImportCase half("Attention", 23);
  ByHeads(half).Absent().Input({Sym("b"), 3, Sym("p"), 8});
  EXPECT_EQ(half.Run().code(), StatusCode::kInvalidArgument);
}

TEST(ImportAttention, PresentWithoutPastIsTheOperand) {
  ImportCase c("Attention", 23);
  ASSERT_TRUE(ByHeads(c).Outputs({"y", "k", "v"}).Run().ok());
  EXPECT_EQ(c.Shape(1), "[b,3,t,8]");
  EXPECT_EQ(c.Shape(2), "[b,3,t,10]");
}

TEST(ImportAttention, EveryQueryHeadNeedsAKeyHead) {
  const auto run = [](const ir::Dim& q, const ir::Dim& kv) {
    ImportCase c("Attention", 23);
    c.Input({2, q, 4, 8}).Input({2, kv, 6, 8}).Input({2, kv, 6, 8});
    return c.Run().code();
  };
  EXPECT_EQ(run(9, 3), StatusCode::kOk);
  EXPECT_EQ(run(Sym("h"), Sym("h")), StatusCode::kOk);
  EXPECT_EQ(run(9, 2), StatusCode::kInvalidArgument);
  EXPECT_EQ(run(2, 4), StatusCode::kInvalidArgument);
  EXPECT_EQ(run(9, 0), StatusCode::kInvalidArgument);
  EXPECT_EQ(run(Sym("h"), 3), StatusCode::kUnimplemented);
}

TEST(ImportAttention, MasksOfNumbersAndConditions) {
  ImportCase numbers("Attention", 23);
  ASSERT_TRUE(ThreeHeads(numbers).Input({Sym("s"), Sym("t")}).Run().ok());
  EXPECT_THAT(numbers.Operators(), HasSubstr("ReduceMax Equal Where"));
  ImportCase conditions("Attention", 23);
  ASSERT_TRUE(ThreeHeads(conditions, DType::kF16)
                  .Input({Sym("b"), 1, 1, Sym("t")}, DType::kBool)
                  .Run()
                  .ok());
  EXPECT_EQ(conditions.Type(), DType::kF16);
  ImportCase integers("Attention", 23);
  EXPECT_EQ(ThreeHeads(integers).Input({Sym("s"), Sym("t")}, DType::kI64).Run().code(),
            StatusCode::kUnimplemented);
  ImportCase deep("Attention", 23);
  EXPECT_EQ(ThreeHeads(deep).Input({1, 1, 1, 1, Sym("t")}).Run().code(),
            StatusCode::kInvalidArgument);
}

TEST(ImportAttention, ShortMasksAreWidenedSinceOpset24) {
  const auto run = [](int opset, const ir::Dim& keys, const ir::Dim& covered,
                      std::string* operators) {
    ImportCase c("Attention", opset);
    c.Input({2, 3, 4, 8}).Input({2, 3, keys, 8}).Input({2, 3, keys, 8}).Input({4, covered});
    c.Range("t", 4, 16).Range("m", 1, 16);
    const StatusCode code = c.Run().code();
    *operators = c.Operators();
    return code;
  };
  std::string operators;
  EXPECT_EQ(run(24, 6, 4, &operators), StatusCode::kOk);
  EXPECT_THAT(operators, HasSubstr("Concat"));
  EXPECT_EQ(run(23, 6, 4, &operators), StatusCode::kInvalidArgument);
  EXPECT_EQ(run(23, 6, 1, &operators), StatusCode::kOk);
  EXPECT_THAT(operators, Not(HasSubstr("Concat"))) << "broadcasts";
  EXPECT_EQ(run(24, 4, 6, &operators), StatusCode::kInvalidArgument);
  EXPECT_EQ(run(24, Sym("t"), 4, &operators), StatusCode::kOk);
  EXPECT_THAT(operators, HasSubstr("Concat"));
  EXPECT_EQ(run(24, Sym("t"), Sym("m"), &operators), StatusCode::kOk);
  EXPECT_THAT(operators, Not(HasSubstr("Concat"))) << "must be equal at run time";
}

TEST(ImportAttention, LengthsNeedOpset24AndNoPast) {
  ImportCase c("Attention", 24);
  ByHeads(c).Absent().Absent().Absent().Input({Sym("b")}, DType::kI64).Int("is_causal", 1);
  ASSERT_TRUE(c.Run().ok());
  EXPECT_EQ(c.Shape(), "[b,3,s,10]");
  ImportCase old("Attention", 23);
  ByHeads(old).Absent().Absent().Absent().Input({Sym("b")}, DType::kI64);
  EXPECT_EQ(old.Run().code(), StatusCode::kInvalidArgument);
  ImportCase both("Attention", 24);
  ByHeads(both).Absent().Input({Sym("b"), 3, 4, 8}).Input({Sym("b"), 3, 4, 10});
  EXPECT_EQ(both.Input({Sym("b")}, DType::kI64).Run().code(), StatusCode::kInvalidArgument);
}

TEST(ImportAttention, WindowsNeedOpset25) {
  ImportCase c("Attention", 25);
  ASSERT_TRUE(ByHeads(c).Int("left_window_size", 2).Int("right_window_size", INT64_MAX).Run().ok());
  EXPECT_EQ(c.Shape(), "[b,3,s,10]");
  ImportCase old("Attention", 24);
  EXPECT_FALSE(ByHeads(old).Int("left_window_size", 2).Run().ok()) << "nobody reads it";
  ImportCase negative("Attention", 25);
  EXPECT_EQ(ByHeads(negative).Int("left_window_size", -2).Run().code(),
            StatusCode::kInvalidArgument);
}

TEST(ImportAttention, RefusesWhatIsWrongOrUnknown) {
  ImportCase no_heads("Attention", 23);
  no_heads.Input({2, 4, 24}).Input({2, 6, 24}).Input({2, 6, 24});
  EXPECT_EQ(no_heads.Run().code(), StatusCode::kInvalidArgument);
  ImportCase uneven("Attention", 23);
  uneven.Input({2, 4, 25})
      .Input({2, 6, 24})
      .Input({2, 6, 24})
      .Int("q_num_heads", 3)
      .Int("kv_num_heads", 3);
  EXPECT_EQ(uneven.Run().code(), StatusCode::kInvalidArgument);
  ImportCase width("Attention", 23);
  width.Input({2, 3, 4, Sym("d")}).Input({2, 3, 6, Sym("d")}).Input({2, 3, 6, 8});
  EXPECT_EQ(width.Run().code(), StatusCode::kUnimplemented);
  ImportCase mixed("Attention", 23);
  mixed.Input({2, 3, 4, 8}).Input({2, 3, 6, 8}).Input({2, 3, 6, 8}, DType::kF16);
  EXPECT_EQ(mixed.Run().code(), StatusCode::kUnimplemented);
  ImportCase ranks("Attention", 23);
  ranks.Input({2, 3, 4, 8}).Input({2, 6, 24}).Input({2, 6, 24});
  EXPECT_EQ(ranks.Run().code(), StatusCode::kInvalidArgument);
  for (const auto& [name, value] : {std::pair("qk_matmul_output_mode", 4),
                                    {"softmax_precision", 7},
                                    {"softmax_precision", 300},
                                    {"q_num_heads", 2}}) {
    ImportCase attribute("Attention", 23);
    EXPECT_EQ(ByHeads(attribute).Int(name, value).Run().code(), StatusCode::kInvalidArgument)
        << name;
  }
  ImportCase cap("Attention", 23);
  EXPECT_EQ(ByHeads(cap).Float("softcap", -1).Run().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee::ops
