// Import rule of FlexAttention without nested graphs; with them: compiler/control_flow_test.cc.
// Values are compared by ONNX's node tests.
#include <gmock/gmock.h>

#include "ops/nn/import_support.h"

namespace fusee::ops {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Flex : ImportCase {
  Flex() : ImportCase("FlexAttention", 1) { Domain("ai.onnx.preview"); }
};
ImportCase& ByHeads(ImportCase& c, DType dtype = DType::kF32) {
  return c.Input({Sym("b"), 6, Sym("s"), 8}, dtype)
      .Input({Sym("b"), 3, Sym("t"), 8}, dtype)
      .Input({Sym("b"), 3, Sym("t"), 10}, dtype);
}

TEST(ImportFlexAttention, IsAttentionWithoutNestedGraphs) {
  Flex c;
  ASSERT_TRUE(ByHeads(c).Run().ok());
  EXPECT_EQ(c.Shape(), "[b,6,s,10]");
  EXPECT_EQ(c.Operators(),
            "Mul Reshape Expand Reshape Transpose MatMul Softmax Reshape Expand Reshape MatMul");
  Flex twice;
  ASSERT_TRUE(ByHeads(twice, DType::kF64).Float("scale", 1).Run().ok());
  EXPECT_EQ(twice.Type(), DType::kF64);
  EXPECT_THAT(twice.Operators(), Not(HasSubstr("Cast")));
}

TEST(ImportFlexAttention, HalvesAreWeighedInFloat) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    Flex c;
    ASSERT_TRUE(ByHeads(c, dtype).Run().ok());
    EXPECT_EQ(c.Type(), dtype);
    EXPECT_THAT(c.Operators(), HasSubstr("MatMul Cast Softmax Reshape Expand Reshape Cast MatMul"));
    Flex own;
    ASSERT_TRUE(
        ByHeads(own, dtype).Int("softmax_precision", static_cast<int64_t>(dtype)).Run().ok());
    EXPECT_THAT(own.Operators(), Not(HasSubstr("Cast")));
  }
}

TEST(ImportFlexAttention, RefusesWhatIsWrongOrUnknown) {
  const auto run = [](std::vector<std::vector<ir::Dim>> shapes, DType last = DType::kF32) {
    Flex c;
    for (size_t i = 0; i < shapes.size(); ++i) c.Input(shapes[i], i == 2 ? last : DType::kF32);
    return c.Run().code();
  };
  const std::vector<ir::Dim> x = {2, 4, 5, 8};
  EXPECT_EQ(run({x, x, x}), StatusCode::kOk);
  EXPECT_EQ(run({}), StatusCode::kInvalidArgument);
  EXPECT_EQ(run({x, x}), StatusCode::kInvalidArgument);
  EXPECT_EQ(run({x, x, {2, 4, 5}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(run({x, x, x}, DType::kF16), StatusCode::kInvalidArgument);
  EXPECT_EQ(run({x, x, {2, 4, 6, 8}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(run({x, x, {1, 4, 5, 8}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(run({x, {2, 4, 5, 9}, x}), StatusCode::kInvalidArgument);
  EXPECT_EQ(run({x, {2, 3, 5, 8}, {2, 3, 5, 8}}), StatusCode::kInvalidArgument);
  EXPECT_EQ(run({{2, 4, 5, Sym("d")}, {2, 4, 5, Sym("d")}, x}), StatusCode::kUnimplemented);
  EXPECT_EQ(run({{2, 0, 5, 8}, {2, 0, 5, 8}, {2, 0, 5, 8}}), StatusCode::kOk);
  for (const int64_t precision : {int64_t{-1}, int64_t{7}, int64_t{1} << 40}) {
    Flex c;
    EXPECT_EQ(ByHeads(c).Int("softmax_precision", precision).Run().code(),
              StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace fusee::ops
