// Shape inference and element tracking of the movement family, symbolic and constant.
#include "ops/movement/import_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

TEST(ReshapeDef, ResolvesZeroAndMinusOneSymbolically) {
  H h;
  const ir::Dim batch = h.Symbol("batch", 1, 32), seq = h.Symbol("seq", 1, 512);
  const ir::ValueId x = h.Input("x", DType::kF32, {batch, seq, 768});
  EXPECT_EQ(h.Shape(h.Import("Reshape", 13, {x, h.Ints({0, 0, 12, 64})})), "[batch,seq,12,64]");
  EXPECT_EQ(h.Shape(h.Import("Reshape", 13, {x, h.Ints({0, -1, 12, 64})})), "[batch,seq,12,64]");
  EXPECT_EQ(h.Shape(h.Import("Reshape", 13, {x, h.Ints({0, 0, -1})})), "[batch,seq,768]");
  EXPECT_EQ(h.Shape(h.Import("Reshape", 13, {x, h.Ints({-1, 768})})),
            ir::ToString({batch * seq, 768}));
  EXPECT_TRUE(h.graph.constraints().empty());  // all of that is known to fit
}

TEST(ReshapeDef, RefusesWhatCannotFit) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {2, 3});
  EXPECT_FALSE(h.TryImport("Reshape", 13, {x, h.Ints({5})}).ok());
  EXPECT_FALSE(h.TryImport("Reshape", 13, {x, h.Ints({4, -1})}).ok());
  EXPECT_FALSE(h.TryImport("Reshape", 13, {x, h.Ints({-1, -1})}).ok());
  EXPECT_FALSE(h.TryImport("Reshape", 13, {x, h.Ints({2, 3, 0})}).ok());
  EXPECT_FALSE(h.TryImport("Reshape", 13, {x, h.Ints({-2, 3})}).ok());
  const auto unknown = h.Input("shape", DType::kI64, {2});
  EXPECT_EQ(h.TryImport("Reshape", 13, {x, unknown}).status().code(), StatusCode::kUnimplemented);
}

TEST(ReshapeDef, AllowZeroKeepsZero) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {0, 3});
  EXPECT_EQ(
      h.Shape(h.Import("Reshape", 14, {x, h.Ints({3, 0})}, H::Attrs(H::Attr("allowzero", 1)))),
      "[3,0]");
  EXPECT_EQ(h.Shape(h.Import("Reshape", 14, {x, h.Ints({0, 0, 2})})), "[0,3,2]");
}

TEST(ReshapeDef, RecordsAConstraintWhenCountsMayDiffer) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {h.Symbol("n", 1, 100)});
  EXPECT_EQ(h.Shape(h.Import("Reshape", 13, {x, h.Ints({2, 5})})), "[2,5]");
  ASSERT_EQ(h.graph.constraints().size(), 1U);
}

TEST(FlattenDef, SplitsBeforeTheAxis) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {h.Symbol("batch", 1, 8), 2, 3, 4});
  EXPECT_EQ(h.Shape(h.Import("Flatten", 13, {x})), "[batch,24]");
  EXPECT_EQ(h.Shape(h.Import("Flatten", 13, {x}, H::Attrs(H::Attr("axis", 0)))), "[1,24*batch]");
  EXPECT_EQ(h.Shape(h.Import("Flatten", 13, {x}, H::Attrs(H::Attr("axis", -1)))), "[6*batch,4]");
  EXPECT_FALSE(h.TryImport("Flatten", 13, {x}, H::Attrs(H::Attr("axis", 5))).ok());
}

TEST(SqueezeDef, DropsOnesByAttributeAndOperand) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {1, 3, 1, 5});
  EXPECT_EQ(h.Shape(h.Import("Squeeze", 13, {x})), "[3,5]");
  EXPECT_EQ(
      h.Shape(h.Import("Squeeze", 11, {x}, H::Attrs(H::Attr("axes", std::vector<int64_t>{-2})))),
      "[1,3,5]");
  EXPECT_EQ(h.Shape(h.Import("Squeeze", 13, {x, h.Ints({0, 2})})), "[3,5]");
  EXPECT_FALSE(h.TryImport("Squeeze", 13, {x, h.Ints({1})}).ok());
}

TEST(SqueezeDef, RefusesARankThatDependsOnTheInput) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {h.Symbol("n", 1, 4), 1});
  EXPECT_EQ(h.TryImport("Squeeze", 13, {x}).status().code(), StatusCode::kUnimplemented);
  const ir::ValueId y = h.Input("y", DType::kF32, {h.Symbol("m", 2, 4), 1});
  EXPECT_EQ(h.Shape(h.Import("Squeeze", 13, {y})), "[m]");
}

TEST(UnsqueezeDef, InsertsOnesInTheResultsAxes) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {3, 4});
  EXPECT_EQ(h.Shape(h.Import("Unsqueeze", 13, {x, h.Ints({-1, 0})})), "[1,3,4,1]");
  EXPECT_EQ(
      h.Shape(h.Import("Unsqueeze", 11, {x}, H::Attrs(H::Attr("axes", std::vector<int64_t>{1})))),
      "[3,1,4]");
  EXPECT_FALSE(h.TryImport("Unsqueeze", 13, {x, h.Ints({0, -4})}).ok());
}

// How PyTorch exports x.view(x.size(0), -1, 12, 64): everything is gone into the shape.
TEST(Tracking, FollowsAnExportersShapeArithmetic) {
  H h;
  const ir::Dim batch = h.Symbol("batch", 1, 32), seq = h.Symbol("seq", 1, 512);
  const ir::ValueId x = h.Input("x", DType::kF32, {batch, seq, 768});
  const ir::ValueId shape = h.Import("Shape", 13, {x});
  EXPECT_EQ(h.Elements(shape), "{batch, seq, 768}");
  const ir::ValueId first = h.Import("Gather", 13, {shape, h.Int(0)});
  EXPECT_EQ(h.Elements(first), "{batch}");
  EXPECT_EQ(h.Shape(first), "[]");
  const ir::ValueId one = h.Import("Unsqueeze", 13, {first, h.Ints({0})});
  EXPECT_EQ(h.Elements(one), "{batch}");
  const ir::ValueId target =
      h.Import("Concat", 13, {one, h.Ints({-1, 12, 64})}, H::Attrs(H::Attr("axis", 0)));
  EXPECT_EQ(h.Elements(target), "{batch, -1, 12, 64}");
  EXPECT_EQ(h.Shape(h.Import("Reshape", 13, {x, target})), "[batch,seq,12,64]");
}

TEST(Tracking, SurvivesSliceSplitTransposeTileExpandRange) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 9);
  const ir::ValueId shape = h.Import("Shape", 15, {h.Input("x", DType::kF32, {n, 2, 3, 4})});
  EXPECT_EQ(h.Elements(h.Import("Slice", 13, {shape, h.Ints({-2}), h.Ints({INT64_MAX})})),
            "{3, 4}");
  EXPECT_EQ(h.Elements(h.Import(
                "Slice", 13, {shape, h.Ints({3}), h.Ints({INT64_MIN}), h.Ints({0}), h.Ints({-2})})),
            "{4, 2}");
  EXPECT_EQ(h.Elements(h.Import("Split", 13, {shape, h.Ints({1, 3})}, {}, 2)), "{n}");
  EXPECT_EQ(
      h.Elements(h.Import("Transpose", 13, {h.Import("Reshape", 13, {shape, h.Ints({2, 2})})})),
      "{n, 3, 2, 4}");
  EXPECT_EQ(h.Elements(h.Import("Tile", 13, {h.Ints({7, 8}), h.Ints({2})})), "{7, 8, 7, 8}");
  const ir::ValueId first = h.Import("Gather", 13, {shape, h.Ints({0})});
  EXPECT_EQ(h.Elements(h.Import("Expand", 13, {first, h.Ints({3})})), "{n, n, n}");
  EXPECT_EQ(h.Elements(h.Import("Range", 11, {h.Int(5), h.Int(-1), h.Int(-2)})), "{5, 3, 1}");
  EXPECT_EQ(h.Elements(h.Import("Size", 13, {h.Input("y", DType::kF32, {n, 3})})), "{3*n}");
}

TEST(ShapeDef, ClampsStartAndEnd) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {2, 3, 4});
  EXPECT_EQ(h.Elements(h.Import("Shape", 15, {x}, H::Attrs(H::Attr("start", -1)))), "{4}");
  EXPECT_EQ(h.Elements(h.Import("Shape", 15, {x}, H::Attrs(H::Attr("end", -9)))), "{}");
  EXPECT_EQ(
      h.Elements(h.Import("Shape", 15, {x}, H::Attrs(H::Attr("start", 1), H::Attr("end", 9)))),
      "{3, 4}");
}

TEST(SliceDef, KeepsSymbolicBoundsExact) {
  H h;
  const ir::Dim n = h.Symbol("n", 4, 100), m = h.Symbol("m", 0, 50);
  const ir::ValueId x = h.Input("x", DType::kF32, {n});
  const auto slice = [&](std::vector<int64_t> start, std::vector<int64_t> end, int64_t step) {
    return h.Shape(
        h.Import("Slice", 13, {x, h.Ints(start), h.Ints(end), h.Ints({0}), h.Ints({step})}));
  };
  EXPECT_EQ(slice({0}, {INT64_MAX}, 1), "[n]");
  EXPECT_EQ(slice({1}, {INT64_MAX}, 1), "[n - 1]");
  EXPECT_EQ(slice({0}, {-1}, 1), "[n - 1]");
  EXPECT_EQ(slice({1}, {3}, 1), "[2]");
  EXPECT_EQ(slice({-3}, {INT64_MAX}, 1), "[3]");
  EXPECT_EQ(slice({-1}, {INT64_MIN}, -1), "[n]");
  // A bound that is a dimension of another input.
  const ir::ValueId size = h.Import("Shape", 13, {h.Input("y", DType::kF32, {m})});
  const ir::ValueId cut = h.Import("Slice", 13, {x, h.Ints({0}), size});
  const ir::SymShape got = h.graph.value(cut).info.shape;
  for (int64_t mv : {0, 3, 50}) {
    for (int64_t nv : {4, 20}) {
      EXPECT_EQ(*got[0].Evaluate({{"n", nv}, {"m", mv}}), std::min(nv, mv));
    }
  }
}

TEST(SplitDef, HandlesEqualUnevenAndNamedSizes) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {7, 2});
  EXPECT_FALSE(h.TryImport("Split", 13, {x}, {}, 2).ok());
  auto parts = h.TryImport("Split", 18, {x}, H::Attrs(H::Attr("num_outputs", 3)), 3);
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(h.Shape((*parts)[0]), "[3,2]");
  EXPECT_EQ(h.Shape((*parts)[2]), "[1,2]");
  parts = h.TryImport("Split", 11, {x}, H::Attrs(H::Attr("split", std::vector<int64_t>{1, 6})), 2);
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(h.Shape((*parts)[1]), "[6,2]");
  EXPECT_FALSE(h.TryImport("Split", 13, {x, h.Ints({1, 5})}, {}, 2).ok());
  const ir::ValueId y = h.Input("y", DType::kF32, {h.Symbol("n", 1, 8) * ir::Dim(3)});
  EXPECT_EQ(h.Shape(h.Import("Split", 13, {y}, {}, 3)), "[n]");
}

TEST(ConcatDef, AddsTheAxisAndHoldsTheRestEqual) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8), m = h.Symbol("m", 1, 8);
  const ir::ValueId x = h.Input("x", DType::kF32, {n, 3}), y = h.Input("y", DType::kF32, {m, 3});
  EXPECT_EQ(h.Shape(h.Import("Concat", 13, {x, y}, H::Attrs(H::Attr("axis", 0)))), "[m + n,3]");
  EXPECT_TRUE(h.graph.constraints().empty());
  EXPECT_EQ(h.Shape(h.Import("Concat", 13, {x, y}, H::Attrs(H::Attr("axis", -1)))), "[n,6]");
  EXPECT_EQ(h.graph.constraints().size(), 1U);
  EXPECT_FALSE(h.TryImport("Concat", 13, {x, h.Ints({1})}, H::Attrs(H::Attr("axis", 0))).ok());
}

TEST(ExpandDef, ImportsConstantOfShape) {
  H h;
  const ir::ValueId shape =
      h.Import("Shape", 13, {h.Input("x", DType::kF32, {h.Symbol("n", 1, 8), 2})});
  EXPECT_EQ(h.Shape(h.Import("ConstantOfShape", 9, {shape})), "[n,2]");
  EXPECT_EQ(h.Shape(h.Import("ConstantOfShape", 9, {h.Ints({})})), "[]");
  EXPECT_FALSE(h.TryImport("ConstantOfShape", 9, {h.Ints({-1})}).ok());
}

TEST(RangeDef, CountsSymbolically) {
  H h;
  const ir::ValueId shape =
      h.Import("Shape", 13, {h.Input("x", DType::kF32, {h.Symbol("n", 1, 8)})});
  const ir::ValueId n = h.Import("Squeeze", 13, {shape, h.Ints({0})});
  EXPECT_EQ(h.Shape(h.Import("Range", 11, {h.Int(0), n, h.Int(1)})), "[n]");
  EXPECT_EQ(h.Shape(h.Import("Range", 11, {h.Int(3), h.Int(0), h.Int(1)})), "[0]");
  EXPECT_FALSE(h.TryImport("Range", 11, {h.Int(3), h.Int(0), h.Int(0)}).ok());
}

TEST(PadDef, SpreadsAxesAndRefusesOvercropping) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {h.Symbol("n", 1, 8), 4});
  EXPECT_EQ(h.Shape(h.Import("Pad", 18, {x, h.Ints({1, 2}), ir::ValueId(), h.Ints({-1})})),
            "[n,7]");
  EXPECT_EQ(h.Shape(h.Import("Pad", 13, {x, h.Ints({1, 0, 1, -3})})), "[n + 2,1]");
  EXPECT_FALSE(h.TryImport("Pad", 13, {x, h.Ints({0, -3, 0, -3})}).ok());
  EXPECT_FALSE(
      h.TryImport("Pad", 13, {x, h.Ints({0, 0, 0, 0})}, H::Attrs(H::Attr("mode", "mirror"))).ok());
}

TEST(DepthToSpaceDef, IsThreeNodes) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {h.Symbol("n", 1, 8), 8, 2, 3});
  EXPECT_EQ(h.Shape(h.Import("DepthToSpace", 13, {x}, H::Attrs(H::Attr("blocksize", 2)))),
            "[n,2,4,6]");
  EXPECT_EQ(h.graph.order().size(), 3U);
  EXPECT_EQ(h.Shape(h.Import("SpaceToDepth", 13, {x}, H::Attrs(H::Attr("blocksize", 1)))),
            "[n,8,2,3]");
  EXPECT_FALSE(h.TryImport("DepthToSpace", 13, {x}, H::Attrs(H::Attr("blocksize", 3))).ok());
}

TEST(TensorScatterDef, WritesPartOfTheSequenceAxis) {
  H h;
  const ir::Dim b = h.Symbol("b", 1, 8), s = h.Symbol("s", 1, 4);
  const ir::ValueId cache = h.Input("cache", DType::kF16, {b, 3, 16, 8});
  const ir::ValueId update = h.Input("update", DType::kF16, {b, 3, s, 8});
  const ir::ValueId at = h.Input("at", DType::kI64, {b});
  EXPECT_EQ(h.Shape(h.Import("TensorScatter", 24, {cache, update})), "[b,3,16,8]");
  EXPECT_EQ(h.Shape(h.Import("TensorScatter", 24, {cache, update, at},
                             H::Attrs(H::Attr("mode", "circular"), H::Attr("axis", 2)))),
            "[b,3,16,8]");
  EXPECT_TRUE(h.graph.constraints().empty());
  const ir::ValueId other = h.Input("other", DType::kF16, {h.Symbol("c", 1, 8), 3, s, 8});
  h.Import("TensorScatter", 24, {cache, other});
  EXPECT_EQ(h.graph.constraints().size(), 1U) << "batches must agree";
}

TEST(TensorScatterDef, RefusesWhatDoesNotFit) {
  H h;
  const ir::ValueId cache = h.Input("cache", DType::kF32, {2, 4, 5});
  const auto import = [&](ir::SymShape update, int axis, const char* mode,
                          DType dtype = DType::kF32) {
    const ir::ValueId value = h.Input(h.graph.FreshName("u"), dtype, std::move(update));
    return h
        .TryImport("TensorScatter", 24, {cache, value},
                   H::Attrs(H::Attr("axis", axis), H::Attr("mode", mode)))
        .status()
        .code();
  };
  EXPECT_EQ(import({2, 4, 5}, 1, "linear"), StatusCode::kOk);
  EXPECT_EQ(import({2, 0, 5}, 1, "circular"), StatusCode::kOk);
  EXPECT_EQ(import({2, 5, 5}, 1, "linear"), StatusCode::kInvalidArgument);
  EXPECT_EQ(import({1, 4, 5}, 1, "linear"), StatusCode::kInvalidArgument);
  EXPECT_EQ(import({2, 4, 5}, 0, "linear"), StatusCode::kInvalidArgument) << "the batch";
  EXPECT_EQ(import({2, 4, 5}, 3, "linear"), StatusCode::kInvalidArgument);
  EXPECT_EQ(import({2, 4, 5}, 1, "ring"), StatusCode::kInvalidArgument);
  EXPECT_EQ(import({2, 4, 5}, 1, "linear", DType::kF16), StatusCode::kInvalidArgument);
  EXPECT_FALSE(h.TryImport("TensorScatter", 23, {cache, cache}).ok());
}

}  // namespace
}  // namespace fusee::ops
