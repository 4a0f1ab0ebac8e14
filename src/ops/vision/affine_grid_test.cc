// AffineGrid as other operators; what they compute is for the conformance cases.
#include "ops/movement/import_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

TEST(AffineGridDef, HasOnePositionForEachElementOfTheSize) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8), w = h.Symbol("w", 1, 64);
  const ir::ValueId theta = h.Input("theta", DType::kF16, {n, 2, 3});
  const ir::ValueId size = h.Import("Shape", 15, {h.Input("image", DType::kF32, {n, 3, 4, w})});
  const ir::ValueId grid = h.Import("AffineGrid", 20, {theta, size});
  EXPECT_EQ(h.Shape(grid), "[n,4,w,2]");
  EXPECT_EQ(h.graph.value(grid).info.dtype, DType::kF16);
  const ir::ValueId volume = h.Input("volume", DType::kF64, {2, 3, 4});
  EXPECT_EQ(h.Shape(h.Import("AffineGrid", 20, {volume, h.Ints({2, 1, 4, 5, 6})},
                             H::Attrs(H::Attr("align_corners", 1)))),
            "[2,4,5,6,3]");
}

TEST(AffineGridDef, RefusesWhatDoesNotFit) {
  H h;
  const ir::ValueId theta = h.Input("theta", DType::kF32, {2, 2, 3});
  const auto code = [&](ir::ValueId size) {
    return h.TryImport("AffineGrid", 20, {theta, size}).status().code();
  };
  EXPECT_EQ(code(h.Ints({2, 1, 4})), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(h.Ints({2, 1, 4, 4, 4})), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(h.Ints({3, 1, 4, 4})), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(h.Ints({2, 1, -4, 4})), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(h.Input("size", DType::kI64, {4})), StatusCode::kUnimplemented);
  EXPECT_EQ(h.TryImport("AffineGrid", 20, {h.Ints({1}), h.Ints({2, 1, 4, 4})}).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee::ops
