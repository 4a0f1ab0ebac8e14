// Inference and import of the operators whose results are as large as the data makes them.
#include "ops/movement/import_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

// The range of the symbol that sizes axis `axis`, as "name in [0, max]".
std::string RangeOf(const H& h, ir::ValueId id, size_t axis) {
  const auto symbol = h.graph.value(id).info.shape[axis].AsSymbol();
  if (!symbol) return "no symbol";
  const ir::DimRange range = h.graph.symbols().at(*symbol);
  return *symbol + " in [" + std::to_string(range.min) + ", " + std::to_string(range.max) + "]";
}

TEST(SelectionDef, NonZeroIsBoundedByItsOperand) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8);
  const ir::ValueId x = h.Input("x", DType::kF32, {n, 3});
  const ir::ValueId y = h.Import("NonZero", 13, {x});
  EXPECT_EQ(RangeOf(h, y, 1), "NonZero_0/r0:1 in [0, 24]");
  EXPECT_EQ(h.graph.value(y).info.shape[0], ir::Dim(2));
  // A second one of that name finds a size of its own.
  EXPECT_EQ(RangeOf(h, h.Import("NonZero", 9, {x}), 1), "NonZero_0/r1:1 in [0, 24]");
}

TEST(SelectionDef, NonMaxSuppressionIsBoundedByItsLimit) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8);
  const ir::ValueId boxes = h.Input("boxes", DType::kF32, {n, 100, 4});
  const ir::ValueId scores = h.Input("scores", DType::kF32, {n, 5, 100});
  const ir::ValueId limit = h.Input("limit", DType::kI64, {});
  EXPECT_EQ(RangeOf(h, h.Import("NonMaxSuppression", 11, {boxes, scores, h.Int(10)}), 0),
            "NonMaxSuppression_0/r0:0 in [0, 400]");
  EXPECT_EQ(RangeOf(h, h.Import("NonMaxSuppression", 11, {boxes, scores, limit}), 0),
            "NonMaxSuppression_0/r1:0 in [0, 4000]");
  const auto code = [&](std::vector<ir::ValueId> in) {
    return h.TryImport("NonMaxSuppression", 11, std::move(in)).status().code();
  };
  EXPECT_EQ(code({boxes}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({scores, boxes}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({boxes, boxes}), StatusCode::kInvalidArgument);
}

TEST(SelectionDef, UniqueHasFourResultsOfThreeSizes) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kI32, {4, 6});
  const auto all = h.TryImport("Unique", 11, {x}, H::Attrs(H::Attr("axis", -1)), 4);
  ASSERT_TRUE(all.ok()) << all.status().ToString();
  EXPECT_EQ(RangeOf(h, (*all)[0], 1), "Unique_0/r0:1 in [0, 6]");
  EXPECT_EQ(h.Shape((*all)[2]), "[6]");
  EXPECT_EQ(h.graph.value((*all)[1]).info.shape, h.graph.value((*all)[3]).info.shape);
  EXPECT_EQ(RangeOf(h, h.Import("Unique", 11, {x}), 0), "Unique_0/r4:0 in [0, 24]");
  EXPECT_EQ(h.TryImport("Unique", 11, {x}, H::Attrs(H::Attr("axis", 2))).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(SelectionDef, CompressAndTopKTakeWhatARunTells) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {4, 6});
  const ir::ValueId keep = h.Input("keep", DType::kBool, {5});
  const ir::ValueId k = h.Input("k", DType::kI64, {1});
  const ir::ValueId y = h.Import("Compress", 11, {x, keep}, H::Attrs(H::Attr("axis", 1)));
  EXPECT_EQ(RangeOf(h, y, 1), "Compress_0/r0:1 in [0, 5]");
  EXPECT_EQ(RangeOf(h, h.Import("TopK", 11, {x, k}), 1), "TopK_0/r1:1 in [0, 6]");
}

TEST(SelectionDef, WhatNothingBoundsIsRefusedWithTheOption) {
  H h;
  const ir::ValueId shape = h.Input("shape", DType::kI64, {2});
  const Status refused = h.TryImport("ConstantOfShape", 9, {shape}).status();
  EXPECT_EQ(refused.code(), StatusCode::kUnimplemented);
  EXPECT_NE(refused.message().find("--bound ConstantOfShape_0/r0:0=N"), std::string::npos)
      << refused.message();
  const ir::ValueId limit = h.Input("limit", DType::kI64, {});
  EXPECT_EQ(h.TryImport("Range", 11, {h.Int(0), limit, h.Int(1)}).status().code(),
            StatusCode::kUnimplemented);
}

// Of a shape put together only what is not known is found.
TEST(SelectionDef, KnownSizesBesideFoundOnesStay) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8);
  const ir::ValueId x = h.Input("x", DType::kF32, {n, 1});
  const ir::ValueId shape = h.Import("Shape", 13, {x});
  const ir::ValueId rows = h.Import("Gather", 13, {shape, h.Ints({0})});
  const ir::ValueId k = h.Input("k", DType::kI64, {1});
  const ir::ValueId target =
      h.Import("Concat", 13, {rows, k}, H::Attrs(H::Attr("axis", int64_t{0})));
  const Status refused = h.TryImport("Expand", 13, {x, target}).status();
  EXPECT_EQ(refused.message().find("/r3:0"), std::string::npos) << refused.message();
  EXPECT_NE(refused.message().find("--bound Expand_0/r3:1=N"), std::string::npos)
      << refused.message();
}

TEST(SelectionDef, NodesThatFindOtherSizesAreRefused) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {4});
  for (const char* op : {"NonZero", "Sizes"}) {
    ir::Node node;
    node.op = op;
    node.inputs = {x};
    const std::string name = h.graph.FreshName("y");
    EXPECT_FALSE(AddInferredNode(h.graph, std::move(node), std::span(&name, 1)).ok()) << op;
  }
}

}  // namespace
}  // namespace fusee::ops
