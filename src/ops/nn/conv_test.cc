#include <gmock/gmock.h>

#include "device/cpu_features.h"
#include "ops/nn/test_support.h"
#include "ops/nn/window.h"

namespace fusee::ops {
namespace {

using ::testing::ElementsAre;
using Ints = std::vector<int64_t>;

// A call with random operands; the result's shape follows from ResolveWindow, which window tests
// check by hand.
KernelCall ConvCall(const Shape& x, const Shape& w, Attrs attrs, bool bias = true,
                    DType dtype = DType::kF32) {
  const int spatial = x.rank() - 2;
  Ints kernel;
  for (int i = 0; i < spatial; ++i) kernel.push_back(w[2 + i]);
  attrs.Set("kernel_shape", kernel);
  auto window_attrs = ParseWindow(attrs, spatial);
  FUSEE_CHECK(window_attrs.ok(), window_attrs.status().message().c_str());
  Window window;
  FUSEE_CHECK(ResolveWindow(*window_attrs, x, &window).ok(), "a test's window does not fit");
  Shape y{x[0], w[0]};
  for (int i = kMaxSpatial - spatial; i < kMaxSpatial; ++i)
    y.push_back(window.out[static_cast<size_t>(i)]);
  KernelCall call{
      "Conv", attrs, {RandomTensor(dtype, x, 1), RandomTensor(dtype, w, 2)}, {{dtype, y}}};
  if (bias) call.inputs.push_back(RandomTensor(dtype, Shape{w[0]}, 3));
  call.constant_inputs = 6;
  return call;
}

TEST(Conv, ByHand) {
  KernelCall call = ConvCall(Shape{1, 1, 3, 3}, Shape{1, 1, 2, 2}, {}, false);
  call.inputs[0] = Tensor::Of<float>(Shape{1, 1, 3, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8});
  call.inputs[1] = Tensor::Of<float>(Shape{1, 1, 2, 2}, {1, 2, 3, 4});
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(27, 37, 57, 67));
  ExpectTacticsAgree(call, 2);
}

TEST(Conv, PadsStridesAndBiasByHand) {
  KernelCall call =
      ConvCall(Shape{1, 1, 4}, Shape{1, 1, 3}, {{"pads", Ints{1, 1}}, {"strides", Ints{2}}});
  call.inputs[0] = Tensor::Of<float>(Shape{1, 1, 4}, {1, 2, 3, 4});
  call.inputs[1] = Tensor::Of<float>(Shape{1, 1, 3}, {1, 10, 100});
  call.inputs[2] = Tensor::Of<float>(Shape{1}, {0.5f});
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(210.5f, 432.5f));
  ExpectTacticsAgree(call, 2);
}

TEST(Conv, TacticsAgreeOnGeometry) {
  struct Case {
    Shape x, w;
    Attrs attrs;
  };
  const Case cases[] = {
      {Shape{2, 3, 9, 11}, Shape{7, 3, 3, 3}, {{"pads", Ints{1, 1, 1, 1}}}},
      {Shape{1, 3, 17, 13},
       Shape{8, 3, 7, 7},
       {{"pads", Ints{3, 3, 3, 3}}, {"strides", Ints{2, 2}}}},
      {Shape{1, 4, 10, 10},
       Shape{5, 4, 3, 3},
       {{"dilations", Ints{2, 3}}, {"pads", Ints{2, 0, 1, 4}}}},
      {Shape{1, 4, 10, 10},
       Shape{5, 4, 3, 3},
       {{"auto_pad", "SAME_UPPER"}, {"strides", Ints{3, 2}}}},
      {Shape{1, 4, 10, 10},
       Shape{5, 4, 2, 4},
       {{"auto_pad", "SAME_LOWER"}, {"strides", Ints{3, 2}}}},
      {Shape{2, 6, 8, 8}, Shape{9, 2, 3, 3}, {{"group", int64_t{3}}, {"pads", Ints{1, 1, 1, 1}}}},
      {Shape{2, 6, 8, 9}, Shape{6, 1, 3, 3}, {{"group", int64_t{6}}, {"pads", Ints{1, 1, 1, 1}}}},
      {Shape{2, 6, 8, 9},
       Shape{12, 1, 5, 3},
       {{"group", int64_t{6}}, {"pads", Ints{2, 1, 2, 1}}, {"strides", Ints{2, 2}}}},
      {Shape{1, 3, 20}, Shape{4, 3, 5}, {{"pads", Ints{4, 0}}, {"dilations", Ints{2}}}},
      {Shape{1, 2, 5, 6, 7},
       Shape{3, 2, 2, 3, 3},
       {{"pads", Ints{1, 0, 1, 0, 1, 1}}, {"strides", Ints{2, 1, 2}}}},
      {Shape{2, 5, 4, 4}, Shape{6, 5, 1, 1}, {}},
      {Shape{2, 5, 5, 5}, Shape{6, 5, 1, 1}, {{"strides", Ints{2, 2}}}},
      {Shape{1, 5, 3, 3}, Shape{6, 5, 1, 1}, {{"pads", Ints{1, 1, 1, 1}}}},
      {Shape{0, 5, 4, 4}, Shape{6, 5, 3, 3}, {}},
      {Shape{1, 1, 1, 1}, Shape{1, 1, 5, 5}, {{"pads", Ints{2, 2, 2, 2}}}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.x.ToString() + " * " + c.w.ToString());
    for (bool bias : {false, true}) {
      const KernelCall call = ConvCall(c.x, c.w, c.attrs, bias);
      ExpectTacticsAgree(call, 2);
      ExpectThreadInvariant(call);
    }
  }
}

// Edges: 6 and 8 channels per tile, 16 and 32 pixels per panel, 128 per block, 256 of k.
TEST(Conv, TacticsAgreeAroundTileEdges) {
  for (int64_t out : {1, 5, 6, 7, 8, 9, 65}) {
    for (int64_t pixels : {1, 15, 16, 17, 32, 33, 127, 128, 129}) {
      for (int64_t channels : {1, 85, 86, 256, 257}) {
        SCOPED_TRACE(::testing::Message()
                     << out << " channels, " << pixels << " pixels, from " << channels);
        ExpectTacticsAgree(
            ConvCall(Shape{1, channels, pixels}, Shape{out, channels, channels < 100 ? 3 : 1},
                     {{"pads", channels < 100 ? Ints{1, 1} : Ints{0, 0}}}),
            HostCpu().isa >= Isa::kAvx512 ? 3 : 2);
      }
    }
  }
}

TEST(Conv, EveryFloatType) {
  for (DType d : {DType::kF64, DType::kF16, DType::kBF16}) {
    const KernelCall narrow = ConvCall(Shape{1, 2, 4, 4}, Shape{3, 2, 3, 3}, {}, true, d);
    KernelCall wide = narrow;
    for (Tensor& t : wide.inputs) {
      TensorView out;
      Tensor copy = *Tensor::Allocate(DType::kF64, t.shape(), &out);
      for (int64_t i = 0; i < t.elements(); ++i) StoreDouble(out, i, DoubleAt(t.view(), i));
      t = copy;
    }
    wide.outputs[0].first = DType::kF64;
    const Tensor got = RunReference(narrow)[0];
    const Tensor want = RunReference(wide)[0];
    for (int64_t i = 0; i < got.elements(); ++i) {
      const double w = DoubleAt(want.view(), i);
      EXPECT_NEAR(DoubleAt(got.view(), i), w, std::abs(w) * 0x1p-8 + 1e-7)
          << DTypeName(d);  // one rounding
    }
  }
}

TEST(Conv, SameBitsWhateverTheBatchAndInstructionSet) {
  const KernelCall call =
      ConvCall(Shape{4, 37, 9, 9}, Shape{70, 37, 3, 3}, {{"activation", "Relu"}});
  for (int64_t image : {0, 3}) ExpectBatchInvariant(call, image);
  ExpectBatchInvariant(ConvCall(Shape{3, 6, 8, 9}, Shape{6, 1, 3, 3}, {{"group", int64_t{6}}}), 2);
  if (HostCpu().isa < Isa::kAvx512) GTEST_SKIP() << "no AVX-512 here";
  auto avx2 = RunKernel("conv_f32_nchw_avx2.1", call);
  auto avx512 = RunKernel("conv_f32_nchw_avx512.1", call);
  ASSERT_TRUE(avx2.ok() && avx512.ok());
  EXPECT_TRUE(SameBits((*avx2)[0], (*avx512)[0]));
}

// y = act(conv + bias + residual): the activation comes last.
TEST(Conv, AddsTheResidualBeforeTheActivation) {
  KernelCall call = ConvCall(Shape{1, 1, 2, 2}, Shape{1, 1, 1, 1}, {{"activation", "Relu"}});
  call.inputs = {Tensor::Of<float>(Shape{1, 1, 2, 2}, {1, 2, 3, 4}),
                 Tensor::Of<float>(Shape{1, 1, 1, 1}, {-1}), Tensor::Of<float>(Shape{1}, {0.5f}),
                 Tensor::Of<float>(Shape{1, 1, 2, 2}, {2, 1, 4, 3})};
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(1.5f, 0, 1.5f, 0));
  ExpectTacticsAgree(call, 2);
  call.inputs[2] = Tensor();
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(1, 0, 1, 0));
  ExpectTacticsAgree(call, 2);
}

// Groups, several images, channel and pixel blocks, chunks of k: each reads its own residual.
TEST(Conv, TacticsAgreeOnResiduals) {
  struct Case {
    Shape x, w;
    int64_t group;
  };
  const Case cases[] = {{Shape{3, 4, 13, 11}, Shape{70, 4, 1, 1}, 1},
                        {Shape{2, 300, 5, 5}, Shape{9, 300, 1, 1}, 1},
                        {Shape{2, 6, 12, 12}, Shape{9, 2, 3, 3}, 3},
                        {Shape{2, 6, 7, 9}, Shape{12, 1, 3, 3}, 6},
                        {Shape{2, 3, 129}, Shape{7, 3, 1}, 1}};
  for (const Case& c : cases) {
    for (bool bias : {false, true}) {
      SCOPED_TRACE(c.x.ToString() + " * " + c.w.ToString());
      KernelCall call = ConvCall(c.x, c.w, {{"group", c.group}, {"activation", "LeakyRelu"}}, bias);
      call.inputs.resize(3);
      call.inputs.push_back(RandomTensor(DType::kF32, call.outputs[0].second, 4));
      ExpectTacticsAgree(call, 2);
      ExpectThreadInvariant(call);
    }
  }
}

TEST(Conv, RefusesAResidualThatDoesNotFit) {
  const KernelCall good = ConvCall(Shape{1, 4, 5, 5}, Shape{6, 4, 3, 3}, {});
  for (const Tensor& residual : {RandomTensor(DType::kF32, Shape{1, 6, 1, 1}, 4),
                                 RandomTensor(DType::kF32, Shape{6, 3, 3}, 4),
                                 RandomTensor(DType::kF16, Shape{1, 6, 3, 3}, 4)}) {
    KernelCall call = good;
    call.inputs.push_back(residual);
    for (const KernelDef* kernel : TacticsUnderTest("Conv"))
      EXPECT_FALSE(RunKernel(kernel->id, call).ok()) << kernel->id;
  }
}

// The reference sums in one order in both layouts.
TEST(Conv, ChannelsLastGivesTheBitsOfChannelsFirst) {
  struct Case {
    Shape x, w;
    Attrs attrs;
  };
  const Case cases[] = {
      {Shape{2, 3, 9, 18}, Shape{7, 3, 3, 3}, {{"pads", Ints{1, 1, 1, 1}}}},
      {Shape{1, 4, 10, 9}, Shape{5, 4, 3, 2}, {{"dilations", Ints{2, 3}}, {"strides", Ints{2, 1}}}},
      {Shape{1, 4, 10, 7},
       Shape{5, 4, 3, 3},
       {{"auto_pad", "SAME_UPPER"}, {"strides", Ints{3, 2}}}},
      {Shape{2, 6, 8, 8}, Shape{9, 2, 3, 3}, {{"group", int64_t{3}}}},
      {Shape{2, 6, 8, 9}, Shape{6, 1, 3, 3}, {{"group", int64_t{6}}, {"pads", Ints{1, 1, 1, 1}}}},
      {Shape{1, 3, 20}, Shape{4, 3, 5}, {{"pads", Ints{4, 0}}}},
      {Shape{1, 2, 5, 6, 7}, Shape{3, 2, 2, 3, 3}, {{"strides", Ints{2, 1, 2}}}},
      {Shape{1, 1, 1, 1}, Shape{1, 1, 1, 1}, {}},
      {Shape{0, 3, 4, 4}, Shape{2, 3, 1, 1}, {}},
  };
  for (const Case& c : cases) {
    for (DType dtype : {DType::kF32, DType::kF16}) {
      SCOPED_TRACE(c.x.ToString() + " * " + c.w.ToString());
      KernelCall first = ConvCall(c.x, c.w, c.attrs, true, dtype);
      first.attrs.Set("activation", "Relu");
      first.inputs.push_back(RandomTensor(dtype, first.outputs[0].second, 4));
      KernelCall last = first;
      last.attrs.Set("layout", "NHWC");
      for (size_t i : {0, 1, 3}) last.inputs[i] = ChannelsLast(first.inputs[i]);
      last.outputs[0].second = ChannelsLast(first.outputs[0].second);
      EXPECT_TRUE(SameBits(RunReference(first)[0], ChannelsFirst(RunReference(last)[0])));
      ExpectTacticsAgree(last, 1);
      ExpectThreadInvariant(last);
    }
  }
}

TEST(Conv, RefusesShapesOfTheOtherLayout) {
  KernelCall call = ConvCall(Shape{1, 4, 5, 5}, Shape{6, 4, 3, 3}, {});
  call.attrs.Set("layout", "NHWC");
  for (const KernelDef* kernel : TacticsUnderTest("Conv"))
    EXPECT_FALSE(RunKernel(kernel->id, call).ok());
  call.attrs.Set("layout", "NCWH");
  for (const KernelDef* kernel : TacticsUnderTest("Conv"))
    EXPECT_FALSE(RunKernel(kernel->id, call).ok());
}

TEST(Conv, RefusesBadAttributesAndShapes) {
  const KernelCall good = ConvCall(Shape{1, 4, 5, 5}, Shape{6, 4, 3, 3}, {});
  const auto expect_refused = [](KernelCall call, const char* why) {
    for (const KernelDef* kernel : TacticsUnderTest("Conv"))
      EXPECT_FALSE(RunKernel(kernel->id, call).ok()) << why;
  };
  const auto with = [&](const char* name, AttrValue value) {
    KernelCall call = good;
    call.attrs.Set(name, std::move(value));
    return call;
  };
  expect_refused(with("strides", Ints{0, 1}), "stride 0");
  expect_refused(with("math", "fp8"), "unknown math");
  expect_refused(with("strides", Ints{1}), "too few strides");
  expect_refused(with("dilations", Ints{1, int64_t{1} << 40}), "huge dilation");
  expect_refused(with("pads", Ints{-1, 0, 0, 0}), "negative pad");
  expect_refused(with("pads", Ints{1, 0, 0, 0}), "result too small");
  expect_refused(with("group", int64_t{0}), "group 0");
  expect_refused(with("group", int64_t{3}), "channels do not divide");
  expect_refused(with("kernel_shape", Ints{3, 2}), "weight of another size");
  expect_refused(with("auto_pad", "SOMETIMES"), "unknown auto_pad");
  KernelCall call = good;
  call.outputs[0].second = Shape{1, 6, 4, 3};
  expect_refused(call, "wrong result");
  call = good;
  call.inputs[2] = RandomTensor(DType::kF32, Shape{5}, 9);
  expect_refused(call, "short bias");
}

TEST(ConvTranspose, ByHand) {
  KernelCall call{
      "ConvTranspose",
      {{"kernel_shape", Ints{3}}, {"strides", Ints{2}}},
      {Tensor::Of<float>(Shape{1, 1, 2}, {1, 10}), Tensor::Of<float>(Shape{1, 1, 3}, {1, 2, 3}),
       Tensor::Of<float>(Shape{1}, {0.5f})},
      {{DType::kF32, Shape{1, 1, 5}}}};
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(1.5f, 2.5f, 13.5f, 20.5f, 30.5f));
  call.attrs.Set("pads", Ints{1, 0});
  call.attrs.Set("output_padding", Ints{1});
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(2.5f, 13.5f, 20.5f, 30.5f, 0.5f));
  ExpectThreadInvariant(call);
  call.outputs[0].second = Shape{1, 1, 6};
  EXPECT_FALSE(RunKernel("convtranspose_ref.1", call).ok());
}

// The transpose of a convolution: <conv(x), y> = <x, transpose(y)> for every x and y.
TEST(ConvTranspose, IsTheAdjointOfConv) {
  const Attrs attrs{{"strides", Ints{2, 1}},
                    {"dilations", Ints{1, 2}},
                    {"pads", Ints{1, 0, 1, 2}},
                    {"group", int64_t{2}}};
  const KernelCall conv = ConvCall(Shape{2, 4, 5, 8}, Shape{6, 2, 3, 3}, attrs, false, DType::kF64);
  const Tensor y = RandomTensor(DType::kF64, conv.outputs[0].second, 7);
  const KernelCall back{
      "ConvTranspose", conv.attrs, {y, conv.inputs[1]}, {{DType::kF64, Shape{2, 4, 5, 8}}}};
  const auto dot = [](const Tensor& a, const Tensor& b) {
    double sum = 0;
    for (int64_t i = 0; i < a.elements(); ++i) sum += a.as<double>()[i] * b.as<double>()[i];
    return sum;
  };
  EXPECT_NEAR(dot(RunReference(conv)[0], y), dot(conv.inputs[0], RunReference(back)[0]), 1e-9);
}

TEST(Window, GeometryByHand) {
  const auto out = [](Attrs attrs, int64_t in) -> int64_t {
    auto parsed = ParseWindow(attrs, 1);
    if (!parsed.ok()) return -1;
    Window window;
    return ResolveWindow(*parsed, Shape{1, 1, in}, &window).ok() ? window.out[2] : -2;
  };
  EXPECT_EQ(out({{"kernel_shape", Ints{3}}}, 5), 3);
  EXPECT_EQ(out({{"kernel_shape", Ints{3}}, {"strides", Ints{2}}}, 6), 2);
  EXPECT_EQ(out({{"kernel_shape", Ints{3}}, {"strides", Ints{2}}, {"ceil_mode", int64_t{1}}}, 6),
            3);
  // The window that would begin beyond the input does not exist, even rounding up.
  EXPECT_EQ(out({{"kernel_shape", Ints{1}}, {"strides", Ints{2}}, {"ceil_mode", int64_t{1}}}, 2),
            1);
  EXPECT_EQ(out({{"kernel_shape", Ints{3}},
                 {"strides", Ints{3}},
                 {"ceil_mode", int64_t{1}},
                 {"pads", Ints{1, 1}}},
                2),
            1);
  EXPECT_EQ(out({{"kernel_shape", Ints{3}}, {"strides", Ints{2}}, {"auto_pad", "SAME_UPPER"}}, 5),
            3);
  EXPECT_EQ(out({{"kernel_shape", Ints{3}}, {"dilations", Ints{3}}}, 6), -2);
  EXPECT_EQ(out({{"kernel_shape", Ints{int64_t{1} << 40}}}, 6), -1);
}

}  // namespace
}  // namespace fusee::ops
