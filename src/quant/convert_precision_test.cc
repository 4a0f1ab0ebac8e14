#include "quant/convert_precision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/text.h"
#include "passes/interpret.h"
#include "passes/pass_manager.h"
#include "tensor/compare.h"
#include "tensor/random.h"

namespace fusee::quant {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::unique_ptr<ir::Graph> Parse(std::string_view text) {
  auto graph = ir::Parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status().ToString();
  return std::move(graph).value();
}

// Operators in order, with "Cast" where borders are.
std::vector<std::string> Operators(const ir::Graph& graph) {
  std::vector<std::string> names;
  for (ir::NodeId id : graph.order()) names.push_back(graph.node(id).op);
  return names;
}

constexpr std::string_view kNet = R"(graph "g" {
  input %x : f32[2,3]
  const %w : f32[3,4] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
  const %b : f32[4] = {0.5, 0.25, -1, 3}
  %m : f32[2,4] = MatMul(%x, %w) from("m")
  %a : f32[2,4] = Add(%m, %b) from("a")
  %e : f32[2,4] = Exp(%a) from("e")
  %y : f32[2,4] = Relu(%a) from("y")
  output %y as "y"
  output %e as "e"
})";

TEST(ConvertPrecision, ConvertsWhatIsSafeAndCastsAtTheBorders) {
  auto graph = Parse(kNet);
  const auto report = ConvertPrecision(*graph, {.dtype = DType::kF16});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->converted, 3);
  ASSERT_EQ(report->kept.size(), 1u);
  EXPECT_THAT(report->kept[0].node, HasSubstr("'e'"));
  EXPECT_THAT(Operators(*graph),
              ElementsAre("Cast", "MatMul", "Add", "Cast", "Exp", "Relu", "Cast"));
  EXPECT_EQ(report->casts, 3);
  const Status typed = passes::VerifyTyped(*graph);
  EXPECT_TRUE(typed.ok()) << typed.ToString();
  for (ir::ValueId id : graph->outputs()) EXPECT_EQ(graph->value(id).info.dtype, DType::kF32);
  EXPECT_EQ(graph->value(graph->inputs()[0]).info.dtype, DType::kF32);
}

TEST(ConvertPrecision, BordersInTheTypeBecomeIdentities) {
  auto graph = Parse(R"(graph "g" {
  input %x : f16[2,3]
  const %w : f32[3,4] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
  %f : f32[2,3] = Cast(%x) {to = 1} from("input x")
  %m : f32[2,4] = MatMul(%f, %w) from("m")
  %y : f16[2,4] = Cast(%m) {to = 10} from("output y")
  %b : bf16[2,4] = Cast(%m) {to = 16} from("output b")
  output %y as "y"
  output %b as "b"
})");
  const auto report = ConvertPrecision(*graph, {.dtype = DType::kF16});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->casts, 0);
  EXPECT_EQ(report->converted, 3);
  ASSERT_EQ(report->kept.size(), 1u);
  EXPECT_THAT(report->kept[0].node, HasSubstr("output b"));
  const auto is_half = [&](ir::ValueId id) { return graph->value(id).info.dtype == DType::kF16; };
  for (ir::NodeId id : graph->order()) {
    const ir::Node& node = graph->node(id);
    EXPECT_TRUE(is_half(node.inputs[0])) << ir::DescribeNode(node);
  }
  const Status typed = passes::VerifyTyped(*graph);
  EXPECT_TRUE(typed.ok()) << typed.ToString();
}

TEST(ConvertPrecision, ComputesTheSameWithinTheTypesRounding) {
  for (const auto& [dtype, tolerance] :
       {std::pair(DType::kF16, 2e-3), std::pair(DType::kBF16, 2e-2)}) {
    TensorView view;
    auto x = Tensor::Allocate(DType::kF32, Shape{2, 3}, &view);
    ASSERT_TRUE(x.ok());
    FillRandom(view, Fill::kUniform, /*seed=*/7, 0, 0, 1);
    const std::vector<Tensor> inputs = {*x};
    auto graph = Parse(kNet);
    const auto want = passes::Interpret(*graph, inputs);
    ASSERT_TRUE(want.ok());
    ASSERT_TRUE(ConvertPrecision(*graph, {.dtype = dtype}).ok());
    const auto got = passes::Interpret(*graph, inputs);
    ASSERT_TRUE(got.ok()) << got.status().ToString();
    const Comparison c = Compare((*got)[0].view(), (*want)[0].view(), {tolerance, tolerance});
    EXPECT_TRUE(c.passed) << c.reason;
  }
}

TEST(ConvertPrecision, KeepsWhatWasSeenToBeTooLarge) {
  auto graph = Parse(kNet);
  const auto report =
      ConvertPrecision(*graph, {.dtype = DType::kF16, .magnitudes = {{"m", 9000.0}}});
  ASSERT_TRUE(report.ok());
  // 9000 x 8 is beyond 65504: the product and its reader stay.
  EXPECT_EQ(report->converted, 1);
  EXPECT_THAT(report->kept[0].reason, HasSubstr("9e+03"));
  EXPECT_TRUE(passes::VerifyTyped(*graph).ok());
  auto wide = Parse(kNet);
  EXPECT_EQ(
      ConvertPrecision(*wide, {.dtype = DType::kBF16, .magnitudes = {{"m", 9000.0}}})->converted,
      3);
}

TEST(ConvertPrecision, KeepsNodesWithConstantsThatDoNotFit) {
  for (const char* constant : {"1e-12", "70000", "-3e38"}) {
    auto graph = Parse(std::string(R"(graph "g" {
  input %x : f32[4]
  const %c : f32[] = {)") +
                       constant + R"(}
  %y : f32[4] = Add(%x, %c) from("y")
  output %y as "y"
})");
    const auto report = ConvertPrecision(*graph, {.dtype = DType::kF16});
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->converted, 0) << constant;
    EXPECT_THAT(Operators(*graph), ElementsAre("Add"));
  }
}

TEST(ConvertPrecision, KeepsPositionsInAnImage) {
  auto graph = Parse(R"(graph "g" {
  input %x : f32[1,2,4,4]
  input %r : f32[3,4]
  input %i : i64[3]
  %y : f32[3,2,1,1] = RoiAlign(%x, %r, %i) from("y")
  output %y as "y"
})");
  const auto report = ConvertPrecision(*graph, {.dtype = DType::kF16});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->converted, 0);
  EXPECT_THAT(Operators(*graph), ElementsAre("RoiAlign"));
}

TEST(ConvertPrecision, KeepsFeaturesThatTreesCompare) {
  auto graph = Parse(R"(graph "g" {
  input %x : f32[2,1]
  %a : f32[2,1] = Relu(%x) from("a")
  %y : f32[2,1] = TreeEnsemble(%a) {aggregate = "SUM", leaf_targetids = [0, 0], leaf_weights = [0.0, 1.0], n_targets = 1, nodes_falseleafs = [1], nodes_falsenodeids = [0], nodes_featureids = [0], nodes_modes = [0], nodes_splits = [0.1], nodes_trueleafs = [1], nodes_truenodeids = [1], tree_roots = [0]} from("y")
  output %y as "y"
})");
  const auto report = ConvertPrecision(*graph, {.dtype = DType::kF16});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  ASSERT_EQ(report->kept.size(), 1u);
  EXPECT_THAT(report->kept[0].node, HasSubstr("'y'"));
}

TEST(ConvertPrecision, LeavesIntegersAlone) {
  auto graph = Parse(R"(graph "g" {
  input %i : i64[3]
  const %t : f32[4,2] = {1, 2, 3, 4, 5, 6, 7, 8}
  %one : i64[3] = Add(%i, %i) from("one")
  %g : f32[3,2] = Gather(%t, %one) {axis = 0} from("g")
  output %g as "y"
})");
  const auto report = ConvertPrecision(*graph, {.dtype = DType::kF16});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->converted, 1);
  EXPECT_THAT(Operators(*graph), ElementsAre("Add", "Gather", "Cast"));
  EXPECT_TRUE(passes::VerifyTyped(*graph).ok());
}

TEST(ConvertPrecision, TakesTwoTypesOnly) {
  auto graph = Parse(kNet);
  EXPECT_EQ(ConvertPrecision(*graph, {.dtype = DType::kF64}).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee::quant
