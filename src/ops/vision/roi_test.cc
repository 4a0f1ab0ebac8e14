// RoiAlign and MaxRoiPool: inference, import rules, and the kernels on cases worked out by hand.
#include <cmath>
#include <limits>

#include "ops/movement/import_test_util.h"
#include "ops/vision/vision_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

TEST(RoiAlignDef, HasOneRowForEachRegion) {
  H h;
  const ir::Dim r = h.Symbol("r", 0, 100);
  const ir::ValueId x = h.Input("x", DType::kF32, {1, 8, 20, h.Symbol("w", 1, 64)});
  const ir::ValueId regions = h.Input("regions", DType::kF32, {r, 4});
  const ir::ValueId images = h.Input("images", DType::kI64, {r});
  EXPECT_EQ(
      h.Shape(h.Import("RoiAlign", 16, {x, regions, images},
                       H::Attrs(H::Attr("output_height", 7), H::Attr("output_width", 5),
                                H::Attr("sampling_ratio", 2), H::Attr("spatial_scale", 0.25F)))),
      "[r,8,7,5]");
  const ir::ValueId five = h.Input("five", DType::kF32, {r, 5});
  EXPECT_EQ(h.Shape(h.Import("MaxRoiPool", 7, {x, five},
                             H::Attrs(H::Attr("pooled_shape", std::vector<int64_t>{2, 3})))),
            "[r,8,2,3]");
}

TEST(RoiAlignDef, ShiftsByHalfAPixelFromOpset16On) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {1, 8, 20, 20});
  const ir::ValueId regions = h.Input("regions", DType::kF32, {3, 4});
  const ir::ValueId images = h.Input("images", DType::kI64, {3});
  const auto shifted = [&](int opset, std::vector<onnx::Attribute> attrs) {
    const ir::ValueId id = h.Import("RoiAlign", opset, {x, regions, images}, std::move(attrs));
    return *h.graph.node(h.graph.value(id).producer).attrs.Int("half_pixel", -1);
  };
  EXPECT_EQ(shifted(10, {}), 0);
  EXPECT_EQ(shifted(16, {}), 1);
  EXPECT_EQ(shifted(22, {}), 1);
  const char* const name = "coordinate_transformation_mode";
  EXPECT_EQ(shifted(16, H::Attrs(H::Attr(name, "output_half_pixel"))), 0);
  EXPECT_FALSE(
      h.TryImport("RoiAlign", 16, {x, regions, images}, H::Attrs(H::Attr(name, "asymmetric")))
          .ok());
}

TEST(RoiAlignDef, RefusesWhatDoesNotFit) {
  H h;
  const ir::ValueId x = h.Input("x", DType::kF32, {1, 8, 20, 20});
  const ir::ValueId regions = h.Input("regions", DType::kF32, {3, 4});
  const ir::ValueId images = h.Input("images", DType::kI64, {3});
  const auto code = [&](std::vector<ir::ValueId> in, std::vector<onnx::Attribute> attrs = {}) {
    return h.TryImport("RoiAlign", 22, std::move(in), std::move(attrs)).status().code();
  };
  EXPECT_EQ(code({x, regions, images}), StatusCode::kOk);
  EXPECT_EQ(code({x, regions}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, regions, h.Input("two", DType::kI64, {2})}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, regions, h.Input("i32", DType::kI32, {3})}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, h.Input("f64", DType::kF64, {3, 4}), images}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, h.Input("five", DType::kF32, {3, 5}), images}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, regions, images}, H::Attrs(H::Attr("mode", "min"))),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, regions, images}, H::Attrs(H::Attr("output_height", 0))),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({x, regions, images}, H::Attrs(H::Attr("sampling_ratio", 1 << 20))),
            StatusCode::kInvalidArgument);
}

// Element (y, x) of image n is 100 n + 10 y + x, so that a mean of samples inside is the value at
// their centre.
Tensor Ramp(DType dtype, int64_t images, int64_t size) {
  std::vector<double> values;
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t y = 0; y < size; ++y) {
      for (int64_t x = 0; x < size; ++x)
        values.push_back(static_cast<double>(100 * n + 10 * y + x));
    }
  }
  return Numbers(dtype, {images, 1, size, size}, values);
}

KernelCall Align(DType dtype, std::vector<double> region, int64_t image, Attrs attrs) {
  return {.op = "RoiAlign",
          .attrs = std::move(attrs),
          .inputs = {Ramp(dtype, 2, 6), Numbers(dtype, {1, 4}, region),
                     Tensor::Of<int64_t>({1}, {image})},
          .outputs = {{dtype, {1, 1, 1, 1}}}};
}

TEST(RoiAlign, MeanOfARampIsItsCentreInEveryType) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    EXPECT_EQ(RunOnce(Align(dtype, {1, 1, 3, 3}, 1, {})), (std::vector<double>{122}))
        << DTypeName(dtype);
  }
  // The shift by half an element moves the centre by 5.5 of the ramp.
  EXPECT_EQ(RunOnce(Align(DType::kF32, {1, 1, 3, 3}, 0, {{"half_pixel", int64_t{1}}})),
            (std::vector<double>{16.5}));
}

TEST(RoiAlign, CountsSamplesOutsideAsZeros) {
  // Two of four samples at -2 and 0 on each axis: one of the four lies inside, at element (0, 0).
  const Attrs attrs = {{"half_pixel", int64_t{1}}, {"sampling_ratio", int64_t{2}}};
  EXPECT_EQ(RunOnce(Align(DType::kF32, {-2.5, -2.5, 1.5, 1.5}, 1, attrs)),
            (std::vector<double>{25}));
  Attrs max = attrs;
  max.Set("mode", std::string("max"));
  EXPECT_EQ(RunOnce(Align(DType::kF32, {-2.5, -2.5, 1.5, 1.5}, 1, max)),
            (std::vector<double>{100}));
}

TEST(RoiAlign, AnUnshiftedRegionHasOneElementAtLeast) {
  EXPECT_EQ(RunOnce(Align(DType::kF32, {2, 2, 2, 2}, 0, {})), (std::vector<double>{27.5}));
  EXPECT_EQ(RunOnce(Align(DType::kF32, {3, 3, 1, 1}, 0, {{"half_pixel", int64_t{1}}})),
            (std::vector<double>{0}));
}

TEST(RoiAlign, AHugeRegionCostsWhatTheOperandHas) {
  EXPECT_NEAR(RunOnce(Align(DType::kF64, {-1e9, -1e9, 1e9, 1e9}, 0, {}))[0], 0, 1e-9);
}

TEST(RoiAlign, RefusesRegionsThatAreNone) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const double bad : {inf, -inf, std::nan(""), 1e30}) {
    EXPECT_EQ(RunCode(Align(DType::kF32, {0, 0, bad, 2}, 0, {})), StatusCode::kOutOfRange);
  }
  for (const int64_t image : {int64_t{-1}, int64_t{2}, INT64_MAX, INT64_MIN}) {
    EXPECT_EQ(RunCode(Align(DType::kF32, {0, 0, 2, 2}, image, {})), StatusCode::kOutOfRange);
  }
  KernelCall empty = Align(DType::kF32, {0, 0, 2, 2}, 0, {});
  empty.inputs[0] = Numbers(DType::kF32, {2, 1, 0, 6}, {});
  EXPECT_EQ(RunCode(empty), StatusCode::kInvalidArgument);
  empty.inputs[1] = Numbers(DType::kF32, {0, 4}, {});
  empty.inputs[2] = Numbers(DType::kI64, {0}, {});
  empty.outputs = {{DType::kF32, {0, 1, 1, 1}}};
  EXPECT_EQ(RunCode(empty), StatusCode::kOk);
}

KernelCall Pool(DType dtype, std::vector<double> region) {
  return {.op = "MaxRoiPool",
          .attrs = {{"height", int64_t{2}}, {"width", int64_t{1}}, {"spatial_scale", 0.5}},
          .inputs = {Ramp(dtype, 2, 6), Numbers(dtype, {1, 5}, region)},
          .outputs = {{dtype, {1, 1, 2, 1}}}};
}

TEST(MaxRoiPool, TakesTheLargestOfWholeElementsInEveryType) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    // Elements 1 to 3 of each axis: three rows in two bins share the middle one.
    EXPECT_EQ(RunOnce(Pool(dtype, {1, 2, 2, 6, 6})), (std::vector<double>{123, 133}))
        << DTypeName(dtype);
  }
}

TEST(MaxRoiPool, CutsTheImagesFractionOff) {
  EXPECT_EQ(RunOnce(Pool(DType::kF32, {1.9, 2, 2, 6, 6})), (std::vector<double>{123, 133}));
  EXPECT_EQ(RunOnce(Pool(DType::kF32, {-0.9, 2, 2, 6, 6})), (std::vector<double>{23, 33}));
}

TEST(MaxRoiPool, IsZeroOutside) {
  EXPECT_EQ(RunOnce(Pool(DType::kF32, {0, 90, 90, 99, 99})), (std::vector<double>{0, 0}));
}

TEST(MaxRoiPool, RefusesRegionsThatAreNone) {
  for (const double image : {-1.0, 2.0, 1e30, std::nan("")}) {
    EXPECT_EQ(RunCode(Pool(DType::kF32, {image, 0, 0, 1, 1})), StatusCode::kOutOfRange);
  }
  EXPECT_EQ(RunCode(Pool(DType::kF32, {0, 0, std::nan(""), 1, 1})), StatusCode::kOutOfRange);
  EXPECT_EQ(RunCode(Pool(DType::kF32, {0, 0, 0, 1e12, 1})), StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace fusee::ops
