// Import rules of RotaryEmbedding. Values are compared by ONNX's node tests and by
// tests/ops_oracle_test.py.
#include <gmock/gmock.h>

#include "ops/nn/import_support.h"

namespace fusee::ops {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ImportCase& Tables(ImportCase& c, int64_t half) { return c.Input({50, half}).Input({50, half}); }

TEST(ImportRotaryEmbedding, BothOrdersOfAxes) {
  ImportCase by_heads("RotaryEmbedding", 23);
  Tables(by_heads.Input({Sym("b"), Sym("h"), Sym("s"), 8}), 4)
      .Input({Sym("b"), Sym("s")}, DType::kI64);
  ASSERT_TRUE(by_heads.Run().ok());
  EXPECT_EQ(by_heads.Shape(), "[b,h,s,8]");
  EXPECT_THAT(by_heads.Operators(), Not(HasSubstr("Transpose")));
  ImportCase joined("RotaryEmbedding", 23);
  Tables(joined.Input({Sym("b"), Sym("s"), 24}), 4).Input({Sym("b"), Sym("s")}, DType::kI64);
  ASSERT_TRUE(joined.Int("num_heads", 3).Int("interleaved", 1).Run().ok());
  EXPECT_EQ(joined.Shape(), "[b,s,24]");
}

TEST(ImportRotaryEmbedding, TablesOfEveryPositionNeedNoIds) {
  ImportCase c("RotaryEmbedding", 23);
  c.Input({Sym("b"), 3, Sym("s"), 8}).Input({Sym("b"), Sym("s"), 2}).Input({Sym("b"), Sym("s"), 2});
  ASSERT_TRUE(c.Int("rotary_embedding_dim", 4).Run().ok());
  EXPECT_EQ(c.Shape(), "[b,3,s,8]");
  EXPECT_THAT(c.Operators(), Not(HasSubstr("Gather")));
}

TEST(ImportRotaryEmbedding, RefusesWhatDoesNotFit) {
  const auto code = [](int64_t columns, int64_t half, int64_t heads, int64_t rotary) {
    ImportCase c("RotaryEmbedding", 23);
    Tables(c.Input({2, 3, columns}), half).Input({2, 3}, DType::kI64);
    return c.Int("num_heads", heads).Int("rotary_embedding_dim", rotary).Run().code();
  };
  EXPECT_EQ(code(24, 4, 3, 0), StatusCode::kOk);
  EXPECT_EQ(code(24, 3, 3, 0), StatusCode::kInvalidArgument) << "the tables' columns";
  EXPECT_EQ(code(24, 4, 0, 0), StatusCode::kInvalidArgument) << "no heads";
  EXPECT_EQ(code(24, 4, -1, 0), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(24, 4, 7, 0), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(24, 8, 3, 16), StatusCode::kInvalidArgument) << "more than a head";
  EXPECT_EQ(code(24, 1, 3, 3), StatusCode::kInvalidArgument) << "odd";
  ImportCase unknown("RotaryEmbedding", 23);
  Tables(unknown.Input({2, 3, 4, Sym("d")}), 4).Input({2, 4}, DType::kI64);
  EXPECT_EQ(unknown.Run().code(), StatusCode::kUnimplemented);
  ImportCase ids("RotaryEmbedding", 23);
  Tables(ids.Input({2, 3, 4, 8}), 4).Input({2, 4}, DType::kF32);
  EXPECT_EQ(ids.Run().code(), StatusCode::kInvalidArgument);
}

TEST(ImportMicrosoftRotaryEmbedding, OnePositionOrAll) {
  ImportCase first("RotaryEmbedding", 1);
  Tables(first.Domain("com.microsoft").Input({Sym("b"), Sym("s"), 24}).Input({1}, DType::kI64), 4);
  ASSERT_TRUE(first.Run().ok()) << "heads follow from the tables";
  EXPECT_EQ(first.Shape(), "[b,s,24]");
  ImportCase all("RotaryEmbedding", 1);
  all.Domain("com.microsoft")
      .Input({Sym("b"), 3, Sym("s"), 8})
      .Input({Sym("b"), Sym("s")}, DType::kI64);
  ASSERT_TRUE(Tables(all, 4).Run().ok());
  EXPECT_EQ(all.Shape(), "[b,3,s,8]");
  ImportCase scaled("RotaryEmbedding", 1);
  scaled.Domain("com.microsoft").Input({2, 3, 4, 8}).Input({1}, DType::kI64).Float("scale", 2);
  EXPECT_EQ(Tables(scaled, 4).Run().code(), StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace fusee::ops
