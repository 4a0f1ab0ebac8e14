// Resize: values by hand, the fast kernel against the plain one, and what the importer makes of
// sizes and scales.
#include <gtest/gtest.h>

#include "ops/kernel_test_util.h"
#include "ops/movement/import_test_util.h"
#include "tensor/random.h"

namespace fusee::ops {
namespace {

constexpr uint64_t kSeed = 99;
using H = ImportHarness;

std::vector<float> Line(std::vector<float> in, int64_t out, Attrs attrs) {
  const Shape shape = {static_cast<int64_t>(in.size())};
  const KernelCall call = {.op = "Resize",
                           .attrs = std::move(attrs),
                           .inputs = {Tensor::Of<float>(shape, in)},
                           .outputs = {{DType::kF32, {out}}},
                           .dims = {out}};
  const auto ran = CompareTactics(call, 1e-6, 1e-6);
  EXPECT_TRUE(ran.ok()) << ran.status().ToString();
  const auto got = RunKernel("resize_ref.1", call);
  EXPECT_TRUE(got.ok()) << got.status().ToString();
  if (!got.ok()) return {};
  return std::vector<float>((*got)[0].as<float>(), (*got)[0].as<float>() + out);
}

Attrs With(const char* mode, const char* coordinates, const char* nearest = "round_prefer_floor") {
  return {{"mode", std::string(mode)},
          {"coordinates", std::string(coordinates)},
          {"nearest_mode", std::string(nearest)}};
}

TEST(Resize, TakesTheNearestElement) {
  using V = std::vector<float>;
  EXPECT_EQ(Line({1, 2}, 4, With("nearest", "half_pixel")), (V{1, 1, 2, 2}));
  EXPECT_EQ(Line({1, 2, 3, 4}, 2, With("nearest", "asymmetric", "floor")), (V{1, 3}));
  // Positions 0, 0.5, 1, 1.5: the four ways to round a half.
  EXPECT_EQ(Line({1, 2}, 4, With("nearest", "asymmetric")), (V{1, 1, 2, 2}));
  EXPECT_EQ(Line({1, 2}, 4, With("nearest", "asymmetric", "round_prefer_ceil")), (V{1, 2, 2, 2}));
  EXPECT_EQ(Line({1, 2}, 4, With("nearest", "asymmetric", "ceil")), (V{1, 2, 2, 2}));
  EXPECT_EQ(Line({1, 2}, 4, With("nearest", "asymmetric", "floor")), (V{1, 1, 2, 2}));
}

TEST(Resize, InterpolatesLinearlyInEveryCoordinateSystem) {
  using V = std::vector<float>;
  EXPECT_EQ(Line({0, 4}, 4, With("linear", "half_pixel")), (V{0, 1, 3, 4}));
  EXPECT_EQ(Line({0, 4}, 4, With("linear", "asymmetric")), (V{0, 2, 4, 4}));
  EXPECT_EQ(Line({0, 3}, 4, With("linear", "align_corners")), (V{0, 1, 2, 3}));
  EXPECT_EQ(Line({5, 7}, 1, With("linear", "pytorch_half_pixel")), (V{5}));
  EXPECT_EQ(Line({5, 7}, 1, With("linear", "align_corners")), (V{5}));
}

TEST(Resize, ExtrapolatesOutsideACrop) {
  Attrs attrs = With("linear", "tf_crop_and_resize");
  attrs.Set("roi", std::vector<double>{0.5, 1.5});
  attrs.Set("extrapolation_value", 9.0);
  EXPECT_EQ(Line({0, 1, 2}, 3, attrs), (std::vector<float>{1, 2, 9}));
}

TEST(Resize, CubicPassesThroughASamplePoint) {
  const auto got = Line({1, 2, 4, 8}, 8, With("cubic", "asymmetric"));
  for (size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(got[2 * i], static_cast<float>(1 << i));
}

TEST(Resize, AntialiasingAveragesWhatItDrops) {
  Attrs attrs = With("linear", "half_pixel");
  attrs.Set("antialias", int64_t{1});
  // The triangle is four elements wide on either side: weights 1, 3, 5, 7, 7, 5, 3, 1 of 32 around
  // position 1.5, of which the first two fall on the border element.
  EXPECT_EQ(Line({0, 8, 0, 8, 0, 8, 0, 8}, 2, attrs), (std::vector<float>{3.25F, 4.75F}));
}

TEST(ResizeCpu, MatchesTheReference) {
  for (const char* mode : {"nearest", "linear"}) {
    for (const char* coordinates :
         {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"}) {
      for (int64_t in : {1, 2, 7, 16}) {
        for (int64_t out : {1, 2, 5, 16, 33}) {
          TensorView view;
          Tensor x = Tensor::Allocate(DType::kF32, {2, 3, in, 9}, &view).value();
          FillRandom(view, Fill::kUniform, kSeed, 0);
          const KernelCall call = {.op = "Resize",
                                   .attrs = With(mode, coordinates),
                                   .inputs = {x},
                                   .outputs = {{DType::kF32, {2, 3, out, 12}}},
                                   .dims = {2, 3, out, 12}};
          const auto ran = CompareTactics(call, 1e-5, 1e-6);
          ASSERT_TRUE(ran.ok()) << mode << " " << coordinates << " " << in << " to " << out
                                << ", seed " << kSeed << ": " << ran.status().ToString();
          EXPECT_EQ(ran->size(), TacticsUnderTest("Resize").size());
        }
      }
    }
  }
}

// Every mode, coordinate system and option on one to three moved axes, between unmoved ones.
TEST(ResizeTactics, MatchTheReferenceInEveryMode) {
  const std::vector<std::pair<Shape, Shape>> shapes = {{{7}, {12}},
                                                       {{2, 3, 8, 9}, {2, 3, 13, 5}},
                                                       {{2, 6, 5, 3}, {2, 9, 8, 3}},
                                                       {{1, 4, 5, 6}, {1, 7, 3, 9}},
                                                       {{2, 3, 4, 1}, {2, 3, 4, 1}}};
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    for (const char* coordinates :
         {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
          "tf_half_pixel_for_nn", "tf_crop_and_resize"}) {
      for (const auto& [in, out] : shapes) {
        for (int options = 0; options < 4; ++options) {
          for (DType dtype : {DType::kF32, DType::kF16}) {
            Attrs attrs = With(mode, coordinates);
            attrs.Set("exclude_outside", int64_t{options & 1});
            attrs.Set("antialias", int64_t{options / 2});
            attrs.Set("extrapolation_value", 0.5);
            std::vector<double> roi;
            for (int i = 0; i < in.rank(); ++i) roi.push_back(in[i] == out[i] ? 0 : 0.1);
            for (int i = 0; i < in.rank(); ++i) roi.push_back(in[i] == out[i] ? 1 : 1.2);
            attrs.Set("roi", roi);
            TensorView view;
            Tensor x = Tensor::Allocate(dtype, in, &view).value();
            FillRandom(view, Fill::kUniform, kSeed, 1);
            std::vector<int64_t> dims(out.dims().begin(), out.dims().end());
            const KernelCall call = {.op = "Resize",
                                     .attrs = attrs,
                                     .inputs = {x},
                                     .outputs = {{dtype, out}},
                                     .dims = dims};
            const double tolerance = dtype == DType::kF16 ? 2e-3 : 2e-5;
            const auto ran = CompareTactics(call, tolerance, tolerance / 2);
            ASSERT_TRUE(ran.ok()) << mode << " " << coordinates << " " << in.ToString() << " to "
                                  << out.ToString() << ", options " << options << ", seed " << kSeed
                                  << ": " << ran.status().ToString();
          }
        }
      }
    }
  }
}

TEST(ResizeKernel, RefusesWhatCannotBeSampled) {
  KernelCall call = {.op = "Resize",
                     .attrs = With("linear", "half_pixel"),
                     .inputs = {Tensor::Of<float>({2, 2}, {1, 2, 3, 4})},
                     .outputs = {{DType::kF32, {4, 4}}},
                     .dims = {4, 3}};
  for (const KernelDef* kernel : TacticsUnderTest("Resize"))
    EXPECT_FALSE(RunKernel(kernel->id, call).ok()) << kernel->id;
  call.dims = {4, 4};
  call.inputs = {Tensor::Of<float>({0, 2}, std::initializer_list<float>{})};
  for (const KernelDef* kernel : TacticsUnderTest("Resize"))
    EXPECT_FALSE(RunKernel(kernel->id, call).ok()) << kernel->id;
  call.attrs.Set("scales", std::vector<double>{1e-30, 2});
  for (const KernelDef* kernel : TacticsUnderTest("Resize"))
    EXPECT_FALSE(RunKernel(kernel->id, call).ok()) << kernel->id;
}

TEST(ResizeDef, ComputesSymbolicSizes) {
  H h;
  const ir::ValueId x =
      h.Input("x", DType::kF32, {h.Symbol("n", 1, 8), 3, h.Symbol("height", 1, 64), 10});
  const auto scales = [&](std::vector<float> values) {
    const Shape shape = {static_cast<int64_t>(values.size())};
    return h.graph.AddConstant(h.graph.FreshName("scales"), Tensor::Of<float>(shape, values));
  };
  EXPECT_EQ(h.Shape(h.Import("Resize", 13, {x, {}, scales({1, 1, 2, 0.7F})})), "[n,3,2*height,7]");
  const ir::ValueId half = h.Import("Resize", 13, {x, {}, scales({1, 1, 0.5F, 1})});
  EXPECT_EQ(*h.graph.value(half).info.shape[2].Evaluate({{"height", 7}}), 3);
  EXPECT_EQ(h.TryImport("Resize", 13, {x, {}, scales({1, 1, 0.123F, 1})}).status().code(),
            StatusCode::kUnimplemented);
  EXPECT_EQ(h.Shape(h.Import("Resize", 18, {x, {}, {}, h.Ints({5, 6})},
                             H::Attrs(H::Attr("axes", std::vector<int64_t>{-1, 2})))),
            "[n,3,6,5]");
  EXPECT_EQ(h.Shape(h.Import("Upsample", 9, {x, scales({1, 1, 2, 3})})), "[n,3,2*height,30]");
  EXPECT_FALSE(h.TryImport("Resize", 13, {x}).ok());
  EXPECT_FALSE(h.TryImport("Resize", 13, {x, {}, scales({1, 1, -1, 1})}).ok());
}

}  // namespace
}  // namespace fusee::ops
