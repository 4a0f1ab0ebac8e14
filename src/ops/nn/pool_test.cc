#include <gmock/gmock.h>

#include <limits>

#include "ops/nn/test_support.h"
#include "ops/nn/window.h"

namespace fusee::ops {
namespace {

using ::testing::ElementsAre;
using Ints = std::vector<int64_t>;

Shape PooledShape(const Shape& x, const Attrs& attrs) {
  const int spatial = x.rank() - 2;
  auto parsed = ParseWindow(attrs, spatial);
  FUSEE_CHECK(parsed.ok(), "a test's window is wrong");
  Window window;
  FUSEE_CHECK(ResolveWindow(*parsed, x, &window).ok(), "a test's window does not fit");
  Shape y{x[0], x[1]};
  for (int i = kMaxSpatial - spatial; i < kMaxSpatial; ++i)
    y.push_back(window.out[static_cast<size_t>(i)]);
  return y;
}

KernelCall PoolCall(std::string_view op, Tensor x, Attrs attrs) {
  const Shape y = PooledShape(x.shape(), attrs);
  return {op, attrs, {x}, {{x.dtype(), y}}};
}

const Tensor& Ramp() {
  static const Tensor t =
      Tensor::Of<float>(Shape{1, 1, 3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  return t;
}

TEST(MaxPool, ByHand) {
  EXPECT_THAT(Floats(RunReference(PoolCall("MaxPool", Ramp(), {{"kernel_shape", Ints{2, 2}}}))[0]),
              ElementsAre(6, 7, 8, 10, 11, 12));
}

TEST(MaxPool, IndicesInBothOrders) {
  KernelCall call =
      PoolCall("MaxPool", Ramp(), {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{1, 2}}});
  call.outputs.push_back({DType::kI64, call.outputs[0].second});
  std::vector<Tensor> got = RunReference(call);
  EXPECT_THAT(Floats(got[0]), ElementsAre(6, 8, 10, 12));
  EXPECT_THAT(std::vector<int64_t>(got[1].as<int64_t>(), got[1].as<int64_t>() + 4),
              ElementsAre(5, 7, 9, 11));
  ExpectTacticsAgree(call, 1);
  call.attrs.Set("storage_order", int64_t{1});
  got = RunReference(call);
  EXPECT_THAT(std::vector<int64_t>(got[1].as<int64_t>(), got[1].as<int64_t>() + 4),
              ElementsAre(4, 10, 5, 11));
  ExpectTacticsAgree(call, 1);
}

TEST(MaxPool, FirstOfEqualsWinsAndNanSpreads) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  KernelCall call = PoolCall("MaxPool", Tensor::Of<float>(Shape{1, 1, 5}, {2, 2, nan, 7, 1}),
                             {{"kernel_shape", Ints{2}}});
  call.outputs.push_back({DType::kI64, call.outputs[0].second});
  const std::vector<Tensor> got = RunReference(call);
  EXPECT_EQ(got[1].as<int64_t>()[0], 0);
  EXPECT_TRUE(std::isnan(got[0].as<float>()[1]));
  EXPECT_TRUE(std::isnan(got[0].as<float>()[2]));
  EXPECT_EQ(got[0].as<float>()[3], 7);
  ExpectTacticsAgree(call, 1);
  call.outputs.pop_back();
  ExpectTacticsAgree(call, 2);
}

TEST(MaxPool, Bytes) {
  for (DType d : {DType::kI8, DType::kU8}) {
    const Tensor x = RandomTensor(d, Shape{1, 2, 6}, 1);
    const KernelCall call =
        PoolCall("MaxPool", x, {{"kernel_shape", Ints{2}}, {"pads", Ints{1, 0}}});
    ExpectTacticsAgree(call, 1, 0, 0);
    const Tensor y = RunReference(call)[0];
    for (int64_t i = 0; i < 12; ++i) {
      const int64_t before = i % 6 == 0 ? IntAt(x.view(), i) : IntAt(x.view(), i - 1);
      EXPECT_EQ(IntAt(y.view(), i), std::max(before, IntAt(x.view(), i)));
    }
  }
}

TEST(AveragePool, PaddingCountsOnlyWhenAsked) {
  const Tensor x = Tensor::Of<float>(Shape{1, 1, 3}, {3, 6, 9});
  Attrs attrs{{"kernel_shape", Ints{2}}, {"pads", Ints{1, 0}}};
  EXPECT_THAT(Floats(RunReference(PoolCall("AveragePool", x, attrs))[0]),
              ElementsAre(3, 4.5f, 7.5f));
  attrs.Set("count_include_pad", int64_t{1});
  EXPECT_THAT(Floats(RunReference(PoolCall("AveragePool", x, attrs))[0]),
              ElementsAre(1.5f, 4.5f, 7.5f));
  // Rounding up, the last window hangs over the end; what lies beyond the padding never counts.
  attrs = {{"kernel_shape", Ints{2}},
           {"strides", Ints{2}},
           {"ceil_mode", int64_t{1}},
           {"count_include_pad", int64_t{1}}};
  EXPECT_THAT(Floats(RunReference(PoolCall("AveragePool", x, attrs))[0]), ElementsAre(4.5f, 9));
}

TEST(LpPool, ByHand) {
  const Tensor x = Tensor::Of<float>(Shape{1, 1, 3}, {3, -4, 0});
  Attrs attrs{{"kernel_shape", Ints{2}}};
  EXPECT_THAT(Floats(RunReference(PoolCall("LpPool", x, attrs))[0]), ElementsAre(5, 4));
  attrs.Set("p", int64_t{1});
  EXPECT_THAT(Floats(RunReference(PoolCall("LpPool", x, attrs))[0]), ElementsAre(7, 4));
  attrs.Set("p", int64_t{0});
  for (const KernelDef* kernel : TacticsUnderTest("LpPool"))
    EXPECT_FALSE(RunKernel(kernel->id, PoolCall("LpPool", x, attrs)).ok());
}

TEST(Pool, TacticsAgreeOnGeometry) {
  struct Case {
    Shape x;
    Attrs attrs;
  };
  const Case cases[] = {
      {Shape{2, 3, 9, 11},
       {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}},
      {Shape{2, 3, 9, 12},
       {{"kernel_shape", Ints{3, 2}}, {"strides", Ints{2, 3}}, {"ceil_mode", int64_t{1}}}},
      {Shape{1, 2, 16}, {{"kernel_shape", Ints{4}}, {"dilations", Ints{3}}, {"pads", Ints{2, 3}}}},
      {Shape{1, 2, 6, 7, 8},
       {{"kernel_shape", Ints{2, 3, 3}},
        {"strides", Ints{2, 2, 2}},
        {"pads", Ints{0, 1, 1, 1, 1, 0}}}},
      {Shape{1, 2, 10, 9},
       {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"auto_pad", "SAME_LOWER"}}},
      {Shape{0, 2, 10, 9}, {{"kernel_shape", Ints{3, 3}}}},
      {Shape{1, 1, 1, 1}, {{"kernel_shape", Ints{1, 1}}}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.x.ToString());
    const Tensor x = RandomTensor(DType::kF32, c.x, 1);
    ExpectTacticsAgree(PoolCall("MaxPool", x, c.attrs), 2, 0, 0);
    for (int64_t include : {0, 1}) {
      Attrs attrs = c.attrs;
      attrs.Set("count_include_pad", include);
      ExpectTacticsAgree(PoolCall("AveragePool", x, attrs), 2);
      ExpectThreadInvariant(PoolCall("AveragePool", x, attrs));
    }
  }
}

TEST(GlobalPool, ByHandAndTacticsAgree) {
  for (const char* op : {"GlobalAveragePool", "GlobalMaxPool"}) {
    const KernelCall ramp{op, {}, {Ramp()}, {{DType::kF32, Shape{1, 1, 1, 1}}}};
    EXPECT_EQ(RunReference(ramp)[0].as<float>()[0],
              std::string_view(op) == "GlobalMaxPool" ? 12 : 6.5f);
    for (int64_t n : {1, 7, 8, 9, 49}) {
      const KernelCall call{
          op, {}, {RandomTensor(DType::kF32, Shape{2, 3, n}, 1)}, {{DType::kF32, Shape{2, 3, 1}}}};
      ExpectTacticsAgree(call, 2);
      ExpectBatchInvariant(call, 1);
    }
    for (const KernelDef* kernel : TacticsUnderTest(op)) {
      EXPECT_FALSE(
          RunKernel(kernel->id, {op, {}, {Ramp()}, {{DType::kF32, Shape{1, 1, 1, 4}}}}).ok());
    }
  }
}

TEST(Pool, RefusesBadAttributesAndShapes) {
  for (const char* op : {"MaxPool", "AveragePool"}) {
    KernelCall call = PoolCall(op, Ramp(), {{"kernel_shape", Ints{2, 2}}});
    for (const KernelDef* kernel : TacticsUnderTest(op)) {
      KernelCall bad = call;
      bad.attrs.Set("strides", Ints{0, 1});
      EXPECT_FALSE(RunKernel(kernel->id, bad).ok());
      bad = call;
      bad.attrs.Erase("kernel_shape");
      EXPECT_FALSE(RunKernel(kernel->id, bad).ok());
      bad = call;
      bad.outputs[0].second = Shape{1, 1, 2, 4};
      EXPECT_FALSE(RunKernel(kernel->id, bad).ok());
    }
  }
}

TEST(Pool, ChannelsLastGivesTheBitsOfChannelsFirst) {
  const Attrs window{
      {"kernel_shape", Ints{3, 2}}, {"strides", Ints{2, 1}}, {"pads", Ints{1, 0, 1, 1}}};
  for (std::string_view op :
       {"MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool"}) {
    for (const Shape& x :
         {Shape{2, 3, 7, 5}, Shape{1, 1, 4, 4}, Shape{1, 9, 3, 3}, Shape{0, 2, 3, 3}}) {
      SCOPED_TRACE(std::string(op) + " of " + x.ToString());
      KernelCall first = PoolCall(op, RandomTensor(DType::kF32, x, 1), window);
      if (op.starts_with("Global")) {
        first.attrs = {};
        first.outputs[0].second = Shape{x[0], x[1], 1, 1};
      }
      KernelCall last = first;
      last.attrs.Set("layout", "NHWC");
      last.inputs[0] = ChannelsLast(first.inputs[0]);
      last.outputs[0].second = ChannelsLast(first.outputs[0].second);
      EXPECT_TRUE(SameBits(RunReference(first)[0], ChannelsFirst(RunReference(last)[0])));
      ExpectTacticsAgree(last, 1);
      ExpectThreadInvariant(last);
    }
  }
}

TEST(MaxPool, RefusesIndicesOfChannelsLast) {
  KernelCall call = PoolCall("MaxPool", RandomTensor(DType::kF32, Shape{1, 4, 4, 4}, 1),
                             {{"kernel_shape", Ints{1, 1}}, {"layout", "NHWC"}});
  call.outputs[0].second = Shape{1, 4, 4, 4};
  EXPECT_TRUE(RunKernel("maxpool_ref.1", call).ok());
  call.outputs.push_back({DType::kI64, Shape{1, 4, 4, 4}});
  for (const KernelDef* kernel : TacticsUnderTest("MaxPool"))
    EXPECT_FALSE(RunKernel(kernel->id, call).ok()) << kernel->id;
}

}  // namespace
}  // namespace fusee::ops
