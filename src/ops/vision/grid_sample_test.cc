// GridSample: inference, import rules, and the kernel on cases worked out by hand.
#include <cmath>
#include <limits>

#include "ops/kernel_test_util.h"
#include "ops/movement/import_test_util.h"
#include "ops/vision/vision_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

TEST(GridSampleDef, TakesPositionsFromTheGrid) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8), w = h.Symbol("w", 1, 64);
  const ir::ValueId x = h.Input("x", DType::kF32, {n, 3, 8, w});
  const ir::ValueId grid = h.Input("grid", DType::kF32, {n, 5, w, 2});
  EXPECT_EQ(h.Shape(h.Import("GridSample", 16, {x, grid})), "[n,3,5,w]");
  EXPECT_EQ(h.Shape(h.Import("GridSample", 22, {x, grid})), "[n,3,5,w]");
  const ir::ValueId volume = h.Input("volume", DType::kF16, {n, 2, 4, 5, 6});
  const ir::ValueId positions = h.Input("positions", DType::kF32, {n, 7, 1, 2, 3});
  EXPECT_EQ(h.Shape(h.Import("GridSample", 20, {volume, positions})), "[n,2,7,1,2]");
  EXPECT_FALSE(h.TryImport("GridSample", 16, {volume, positions}).ok());
}

TEST(GridSampleDef, ModesHadTwoDimensionalNamesBeforeOpset20) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {1, 1, 4, 4});
  const ir::ValueId grid = h.Input("grid", DType::kF32, {1, 2, 2, 2});
  const auto mode = [&](int opset, const char* name) {
    const auto ids = h.TryImport("GridSample", opset, {x, grid}, H::Attrs(H::Attr("mode", name)));
    if (!ids.ok()) return std::string("refused");
    return *h.graph.node(h.graph.value((*ids)[0]).producer).attrs.Str("mode", "");
  };
  EXPECT_EQ(mode(16, "bilinear"), "linear");
  EXPECT_EQ(mode(16, "bicubic"), "cubic");
  EXPECT_EQ(mode(16, "cubic"), "refused");
  EXPECT_EQ(mode(20, "cubic"), "cubic");
  EXPECT_EQ(mode(20, "bicubic"), "refused");
}

TEST(GridSampleDef, RefusesWhatItCannotSample) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {2, 1, 4, 4});
  const ir::ValueId bytes = h.Input("bytes", DType::kU8, {2, 1, 4, 4});
  const ir::ValueId grid = h.Input("grid", DType::kF32, {2, 2, 2, 2});
  const auto code = [&](std::vector<ir::ValueId> in, std::vector<onnx::Attribute> attrs = {}) {
    return h.TryImport("GridSample", 22, std::move(in), std::move(attrs)).status().code();
  };
  EXPECT_EQ(code({bytes, grid}), StatusCode::kUnimplemented);
  EXPECT_EQ(code({bytes, grid}, H::Attrs(H::Attr("mode", "nearest"))), StatusCode::kOk);
  EXPECT_EQ(code({x, x}), StatusCode::kInvalidArgument);  // the last dimension is 4
  EXPECT_EQ(code({x, h.Input("g", DType::kF32, {3, 2, 2, 2})}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, h.Input("i", DType::kI64, {2, 2, 2, 2})}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, grid}, H::Attrs(H::Attr("padding_mode", "wrap"))),
            StatusCode::kInvalidArgument);
}

// One line of 4 elements sampled at the given fractions.
std::vector<double> Line(const char* mode, const char* padding, int64_t align,
                         std::vector<float> fractions) {
  const auto count = static_cast<int64_t>(fractions.size());
  return RunOnce({.op = "GridSample",
                  .attrs = {{"mode", std::string(mode)},
                            {"padding_mode", std::string(padding)},
                            {"align_corners", align}},
                  .inputs = {Tensor::Of<float>({1, 1, 4}, {10, 20, 30, 40}),
                             Tensor::Of<float>({1, count, 1}, std::span<const float>(fractions))},
                  .outputs = {{DType::kF32, {1, 1, count}}}});
}

TEST(GridSample, PlacesTheEndsByAlignCorners) {
  EXPECT_EQ(Line("linear", "zeros", 1, {-1, 0, 1}), (std::vector<double>{10, 25, 40}));
  // The outer edges are half an element outside, where the other half is padding.
  EXPECT_EQ(Line("linear", "zeros", 0, {-1, 0, 1}), (std::vector<double>{5, 25, 20}));
  EXPECT_EQ(Line("linear", "border", 0, {-1, 0, 1}), (std::vector<double>{10, 25, 40}));
}

TEST(GridSample, NearestTakesTheEvenNeighbourOfATie) {
  // Positions 0.5, 1.5 and 2.5.
  EXPECT_EQ(Line("nearest", "zeros", 0, {-0.5F, 0, 0.5F}), (std::vector<double>{10, 30, 30}));
}

TEST(GridSample, ReflectsAtTheEdgeOrAtTheCentre) {
  // Positions -1.5 and 4.5 without alignment: mirrored at -0.5 and 3.5 to 0.5 and 2.5.
  EXPECT_EQ(Line("linear", "reflection", 0, {-1.5F, 1.5F}), (std::vector<double>{15, 35}));
  // Positions -3 and 4.5 with alignment: mirrored at 0 and 3 to 3 and 1.5.
  EXPECT_EQ(Line("linear", "reflection", 1, {-3, 2}), (std::vector<double>{40, 25}));
}

TEST(GridSample, CubicWeighsFourNeighbours) {
  // Half way between 20 and 30: weights -3/32, 19/32, 19/32, -3/32.
  EXPECT_EQ(Line("cubic", "zeros", 0, {0}), (std::vector<double>{(19 * 50 - 3 * 50) / 32.0}));
}

TEST(GridSample, CubicRepeatsTheBorderUnderItsTapsOnly) {
  // Position -0.5: the taps are 10, 10, 10 and 20, half way between the second and the third.
  EXPECT_EQ(Line("cubic", "border", 0, {-1, -9}),
            (std::vector<double>{(35 * 10 - 3 * 20) / 32.0, 10}));
}

TEST(GridSample, StaysInsideWhateverTheGridHolds) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> wild = {inf, -inf, std::nanf(""), 3e38F, -3e38F, 1e9F, -1e9F, 2.25F};
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    for (const int64_t align : {0, 1}) {
      for (const double v : Line(mode, "zeros", align, wild)) {
        EXPECT_TRUE(std::abs(v) <= 40) << mode << " gave " << v;
      }
      for (const char* padding : {"border", "reflection"}) {
        for (const double v : Line(mode, padding, align, wild)) {
          EXPECT_TRUE(v >= 0 && v <= 50) << mode << ", " << padding << " gave " << v;
        }
      }
    }
  }
}

TEST(GridSample, NamesTheInnermostAxisFirst) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI8,
                            DType::kU8, DType::kI16, DType::kI64, DType::kU32, DType::kBool}) {
    const Tensor x = Numbers(dtype, {1, 1, 2, 3}, {0, 1, 2, 3, 4, 5});
    const auto got =
        RunOnce({.op = "GridSample",
                 .attrs = {{"mode", std::string("nearest")}, {"align_corners", int64_t{1}}},
                 .inputs = {x, Tensor::Of<float>({1, 1, 2, 2}, {1, -1, 0, 1})},
                 .outputs = {{dtype, {1, 1, 1, 2}}}});
    const double one = dtype == DType::kBool ? 1 : 0;
    EXPECT_EQ(got, (std::vector<double>{one == 1 ? 1.0 : 2.0, one == 1 ? 1.0 : 4.0}))
        << DTypeName(dtype);
  }
}

TEST(GridSample, SamplesAVolumeInEveryGridType) {
  std::vector<double> values(8);
  for (size_t i = 0; i < 8; ++i) values[i] = static_cast<double>(i);
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    const auto got = RunOnce({.op = "GridSample",
                              .attrs = {{"align_corners", int64_t{1}}},
                              .inputs = {Numbers(dtype, {1, 1, 2, 2, 2}, values),
                                         Numbers(dtype, {1, 1, 1, 2, 3}, {0, 0, 0, 1, -1, 0})},
                              .outputs = {{dtype, {1, 1, 1, 1, 2}}}});
    EXPECT_EQ(got, (std::vector<double>{3.5, 3})) << DTypeName(dtype);
  }
}

TEST(GridSample, HasNothingToSampleInAnEmptyOperand) {
  const KernelCall call = {.op = "GridSample",
                           .inputs = {Numbers(DType::kF32, {1, 1, 0, 2}, {}),
                                      Numbers(DType::kF32, {1, 1, 1, 2}, {0, 0})},
                           .outputs = {{DType::kF32, {1, 1, 1, 1}}}};
  EXPECT_EQ(RunKernel("grid_sample_ref.1", call).status().code(), StatusCode::kInvalidArgument);
  const KernelCall none = {.op = "GridSample",
                           .inputs = {Numbers(DType::kF32, {1, 1, 2, 2}, {1, 2, 3, 4}),
                                      Numbers(DType::kF32, {1, 0, 1, 2}, {})},
                           .outputs = {{DType::kF32, {1, 1, 0, 1}}}};
  EXPECT_TRUE(RunKernel("grid_sample_ref.1", none).ok());
}

}  // namespace
}  // namespace fusee::ops
