// What import rules see of an ONNX node: typed attributes, operands that must be known, refusals
// that name the node.
#include "ops/import_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fusee::ops {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

onnx::Attribute IntAttribute(std::string_view name, int64_t value) {
  onnx::Attribute a;
  a.name = name;
  a.type = onnx::AttrType::kInt;
  a.i = value;
  return a;
}

class ImportContextTest : public testing::Test {
 protected:
  ImportContextTest() {
    node_.name = "the_node";
    node_.op_type = "TestOp";
    node_.outputs = {"y", ""};
    node_.attributes.push_back(IntAttribute("axis", 3));
    node_.attributes.push_back(IntAttribute("stray", 1));
  }
  ImportContext Make(std::vector<ir::ValueId> inputs) {
    return ImportContext(graph_, node_, 17, std::move(inputs));
  }

  ir::Graph graph_;
  onnx::Node node_;
};

TEST_F(ImportContextTest, ReadsAttributesWithDefaults) {
  ImportContext c = Make({});
  EXPECT_EQ(c.Int("axis", 0).value(), 3);
  EXPECT_EQ(c.Int("absent", 7).value(), 7);
  EXPECT_EQ(c.Float("alpha", 0.5).value(), 0.5);
  EXPECT_TRUE(c.HasAttr("axis"));
  EXPECT_FALSE(c.HasAttr("absent"));
}

TEST_F(ImportContextTest, ReadsListsOfStrings) {
  onnx::Attribute& names = node_.attributes.emplace_back();
  names.name = "names";
  names.type = onnx::AttrType::kStrings;
  names.strings = {"a", "b"};
  ImportContext c = Make({});
  EXPECT_THAT(c.Strings("names").value(), ElementsAre("a", "b"));
  EXPECT_TRUE(c.Strings("absent").value().empty());
  EXPECT_EQ(c.Strings("axis").status().code(), StatusCode::kInvalidArgument);
}

TEST_F(ImportContextTest, DimensionsMustAgreeNowOrAtRunTime) {
  graph_.symbols()["n"] = {1, 4};
  ImportContext c = Make({});
  const ir::Dim n = ir::Dim::Symbol("n");
  EXPECT_TRUE(c.RequireEqual(n, n, "sizes").ok());
  EXPECT_TRUE(graph_.constraints().empty());
  const Status apart = c.RequireEqual(n, 5, "sizes");
  EXPECT_EQ(apart.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(apart.message(), HasSubstr("sizes must agree, got n and 5"));
  EXPECT_TRUE(c.RequireEqual(n, 3, "sizes").ok());
  ASSERT_EQ(graph_.constraints().size(), 1U);
}

TEST_F(ImportContextTest, WrongAttributeTypeIsAnErrorThatNamesNodeAndAttribute) {
  ImportContext c = Make({});
  const auto result = c.Float("axis", 0);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(result.status().message(), HasSubstr("the_node"));
  EXPECT_THAT(result.status().message(), HasSubstr("axis"));
  EXPECT_FALSE(c.RequiredInt("absent").ok());
}

TEST_F(ImportContextTest, ListsAttributesNobodyRead) {
  ImportContext c = Make({});
  EXPECT_THAT(c.UnreadAttrs(), ElementsAre("axis", "stray"));
  (void)c.Int("axis", 0);
  EXPECT_THAT(c.UnreadAttrs(), ElementsAre("stray"));
  c.Ignore("stray");
  EXPECT_TRUE(c.UnreadAttrs().empty());
}

TEST_F(ImportContextTest, ConstIntsReadsConstantsAndTrackedElements) {
  const ir::ValueId constant = graph_.AddConstant("axes", Tensor::Of<int64_t>({2}, {0, -1}));
  const ir::ValueId tracked =
      graph_.AddInput("shape", {DType::kI64, {2}, std::vector<ir::Dim>{ir::Dim(4), ir::Dim(5)}});
  const ir::ValueId unknown = graph_.AddInput("x", {DType::kI64, {2}, {}});
  ImportContext c = Make({constant, tracked, unknown, ir::ValueId()});
  EXPECT_THAT(c.ConstInts(0, "the axes").value(), ElementsAre(0, -1));
  EXPECT_THAT(c.ConstInts(1, "the shape").value(), ElementsAre(4, 5));
  const auto refused = c.ConstInts(2, "the axes");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kUnimplemented);
  EXPECT_THAT(refused.status().message(), HasSubstr("--pin x="));
  EXPECT_EQ(c.ConstInts(3, "the axes").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(c.ConstInts(9, "the axes").status().code(), StatusCode::kInvalidArgument);
}

TEST_F(ImportContextTest, DimInputKeepsSymbols) {
  const ir::Dim n = ir::Dim::Symbol("n");
  const ir::ValueId tracked =
      graph_.AddInput("shape", {DType::kI64, {2}, std::vector<ir::Dim>{n, ir::Dim(5)}});
  ImportContext c = Make({tracked});
  const auto dims = c.DimInput(0, "the shape");
  ASSERT_TRUE(dims.ok());
  EXPECT_EQ((*dims)[0], n);
  EXPECT_EQ((*dims)[1], ir::Dim(5));
  EXPECT_FALSE(c.ConstInts(0, "the shape").ok());
}

TEST_F(ImportContextTest, KnowsWhichResultsAreWanted) {
  ImportContext c = Make({});
  EXPECT_TRUE(c.wants_output(0));
  EXPECT_FALSE(c.wants_output(1));
  EXPECT_FALSE(c.wants_output(2));
}

TEST_F(ImportContextTest, AxisNormalises) {
  ImportContext c = Make({});
  EXPECT_EQ(c.Axis(-1, 3).value(), 2);
  EXPECT_EQ(c.Axis(0, 3).value(), 0);
  EXPECT_FALSE(c.Axis(3, 3).ok());
  EXPECT_FALSE(c.Axis(-4, 3).ok());
}

TEST_F(ImportContextTest, ErrorsNameNodeOperatorAndOpset) {
  ImportContext c = Make({});
  EXPECT_EQ(c.Error("broken").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(c.Refuse("never").code(), StatusCode::kUnimplemented);
  EXPECT_THAT(c.Refuse("never").message(), HasSubstr("node 'the_node' (TestOp, opset 17): never"));
}

TEST_F(ImportContextTest, EmitInfersAndNamesTheSource) {
  const ir::ValueId x = graph_.AddInput("x", {DType::kF32, {2, 3}, {}});
  ImportContext c = Make({x});
  const auto y = c.Emit("Neg", {x});
  ASSERT_TRUE(y.ok()) << y.status().ToString();
  EXPECT_EQ(graph_.value(*y).info.shape, (ir::SymShape{2, 3}));
  EXPECT_THAT(graph_.node(graph_.value(*y).producer).sources, ElementsAre("the_node"));
}

TEST_F(ImportContextTest, ScalarRoundsToItsType) {
  ImportContext c = Make({});
  const ir::ValueId s = c.Scalar(DType::kF16, 1.0 / 3);
  EXPECT_EQ(graph_.value(s).constant.dtype(), DType::kF16);
  EXPECT_EQ(DoubleAt(graph_.value(s).constant.view(), 0), 0.333251953125);
}

}  // namespace
}  // namespace fusee::ops
