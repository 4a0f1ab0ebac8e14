// ArrayFeatureExtractor as a Gather.
#include "ops/movement/evaluate_test_util.h"
#include "ops/movement/import_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

TEST(ArrayFeatureExtractor, PicksAlongTheLastAxis) {
  H h;
  h.domain = "ai.onnx.ml";
  const ir::Dim n = h.Symbol("n", 0, 8), k = h.Symbol("k", 0, 9);
  const ir::ValueId rows = h.Input("rows", DType::kF64, {n, 3, 4});
  const auto shape = [&](ir::ValueId x, ir::ValueId indices) {
    return h.Shape(h.Import("ArrayFeatureExtractor", 1, {x, indices}));
  };
  EXPECT_EQ(shape(rows, h.Ints({2, 0})), "[n,3,2]");
  EXPECT_EQ(shape(rows, h.Input("i", DType::kI64, {1, k})), "[n,3,k]");
  EXPECT_EQ(shape(rows, h.Int(1)), "[n,3,1]");
  EXPECT_EQ(shape(h.Input("row", DType::kI32, {n}), h.Ints({2, 0})), "[1,2]");
}

TEST(ArrayFeatureExtractor, GivesTheElements) {
  H h;
  h.domain = "ai.onnx.ml";
  const ir::ValueId x = h.Input("x", DType::kF32, {2, 3});
  const ir::ValueId y = h.Import("ArrayFeatureExtractor", 1, {x, h.Ints({2, 0, 2})});
  const auto got =
      EvaluateGraph(h.graph, {{x, Tensor::Of<float>({2, 3}, {1, 2, 3, 4, 5, 6})}}, {y});
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  const auto* values = (*got)[0].as<float>();
  EXPECT_EQ(std::vector<float>(values, values + 6), (std::vector<float>{3, 1, 3, 6, 4, 6}));
}

TEST(ArrayFeatureExtractor, RefusesWhatDoesNotFit) {
  H h;
  h.domain = "ai.onnx.ml";
  const ir::ValueId x = h.Input("x", DType::kF32, {2, 3});
  const auto code = [&](std::vector<ir::ValueId> inputs) {
    return h.TryImport("ArrayFeatureExtractor", 1, std::move(inputs)).status().code();
  };
  EXPECT_EQ(code({x, h.Ints({0})}), StatusCode::kOk);
  EXPECT_EQ(code({x}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({ir::ValueId(), h.Ints({0})}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({h.Input("s", DType::kF32, {}), h.Ints({0})}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, h.Input("f", DType::kF32, {2})}), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee::ops
