#include <gmock/gmock.h>

#include <cmath>

#include "ops/nn/test_support.h"

namespace fusee::ops {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;

Tensor Positive(const Shape& shape, uint64_t stream) {
  const Tensor t = RandomTensor(DType::kF32, shape, stream);
  std::vector<float> v = Floats(t);
  for (float& f : v) f = std::fabs(f) + 0.1f;
  return Tensor::Of<float>(shape, v);
}

// --- softmax ---

TEST(Softmax, ByHand) {
  KernelCall call{"Softmax",
                  {{"axis", int64_t{1}}},
                  {Tensor::Of<float>(Shape{1, 3}, {-1, 0, 1})},
                  {{DType::kF32, Shape{1, 3}}}};
  EXPECT_THAT(Floats(RunReference(call)[0]),
              Pointwise(FloatNear(1e-7f), {0.09003057f, 0.24472847f, 0.66524096f}));
  call.op = "LogSoftmax";
  EXPECT_THAT(Floats(RunReference(call)[0]),
              Pointwise(FloatNear(1e-6f), {-2.407606f, -1.407606f, -0.407606f}));
}

TEST(Softmax, LargeNumbersDoNotOverflow) {
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    const KernelCall call{
        op,
        {{"axis", int64_t{1}}},
        {Tensor::Of<float>(Shape{2, 4}, {0, 1, 2, 3, 10000, 10001, 10002, 10003})},
        {{DType::kF32, Shape{2, 4}}}};
    const std::vector<float> y = Floats(RunReference(call)[0]);
    for (size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(y[i], y[4 + i]);
    ExpectTacticsAgree(call, 2);
  }
}

// axes_count spans several axes, as opset 12 and below flatten them.
TEST(Softmax, AxesCountTogether) {
  const Tensor x = RandomTensor(DType::kF32, Shape{3, 4, 5}, 1);
  const KernelCall joint{"Softmax",
                         {{"axis", int64_t{1}}, {"axes_count", int64_t{2}}},
                         {x},
                         {{DType::kF32, Shape{3, 4, 5}}}};
  const KernelCall flat{
      "Softmax", {{"axis", int64_t{1}}}, {x.Reshaped(Shape{3, 20})}, {{DType::kF32, Shape{3, 20}}}};
  EXPECT_THAT(Floats(RunReference(joint)[0]),
              Pointwise(FloatNear(0), Floats(RunReference(flat)[0])));
  ExpectTacticsAgree(joint, 2);
}

TEST(Softmax, TacticsAgreeAroundLaneEdges) {
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    for (int64_t n : {0, 1, 10, 15, 16, 17, 33}) {
      for (int64_t inner : {1, 2, 15, 16, 17}) {
        const Shape shape{3, n, inner};
        const KernelCall call{op,
                              {{"axis", int64_t{1}}},
                              {RandomTensor(DType::kF32, shape, 1)},
                              {{DType::kF32, shape}}};
        ExpectTacticsAgree(call, 2);
        ExpectThreadInvariant(call);
        if (n > 0) ExpectBatchInvariant(call, 2);
      }
    }
  }
}

TEST(Softmax, RefusesAnAxisOutOfRange) {
  for (const KernelDef* kernel : TacticsUnderTest("Softmax")) {
    for (int64_t axis : {-1, 2, 100}) {
      EXPECT_FALSE(RunKernel(kernel->id, {"Softmax",
                                          {{"axis", axis}},
                                          {RandomTensor(DType::kF32, Shape{2, 2}, 1)},
                                          {{DType::kF32, Shape{2, 2}}}})
                       .ok());
    }
  }
}

// --- rows ---

TEST(LayerNormalization, ByHandWithStatistics) {
  const KernelCall call{
      "LayerNormalization",
      {{"axis", int64_t{1}}, {"epsilon", 0.0}},
      {Tensor::Of<float>(Shape{1, 4}, {1, 3, 1, 3}), Tensor::Of<float>(Shape{4}, {1, 1, 2, 2}),
       Tensor::Of<float>(Shape{4}, {0, 0, 10, 10})},
      {{DType::kF32, Shape{1, 4}}, {DType::kF32, Shape{1, 1}}, {DType::kF32, Shape{1, 1}}}};
  const std::vector<Tensor> got = RunReference(call);
  EXPECT_THAT(Floats(got[0]), ElementsAre(-1, 1, 8, 12));
  EXPECT_THAT(Floats(got[1]), ElementsAre(2));
  EXPECT_THAT(Floats(got[2]), ElementsAre(1));
  ExpectTacticsAgree(call, 2);
}

TEST(RMSNormalization, ByHand) {
  const KernelCall call{
      "RMSNormalization",
      {{"axis", int64_t{1}}, {"epsilon", 0.0}},
      {Tensor::Of<float>(Shape{1, 2}, {1, 7}), Tensor::Of<float>(Shape{2}, {5, 10})},
      {{DType::kF32, Shape{1, 2}}}};
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(1, 14));
}

TEST(RowNorm, TacticsAgree) {
  for (int64_t n : {1, 15, 16, 17, 100, 768}) {
    const Shape x{5, n};
    KernelCall call{"LayerNormalization",
                    {{"axis", int64_t{1}}},
                    {RandomTensor(DType::kF32, x, 1), RandomTensor(DType::kF32, Shape{n}, 2),
                     RandomTensor(DType::kF32, Shape{n}, 3)},
                    {{DType::kF32, x}}};
    ExpectTacticsAgree(call, 2, 1e-4, n == 1 ? 1e-3 : 2e-5);
    ExpectThreadInvariant(call);
    ExpectBatchInvariant(call, 3);
    call.inputs.pop_back();
    ExpectTacticsAgree(call, 2, 1e-4, n == 1 ? 1e-3 : 2e-5);
    call.op = "RMSNormalization";
    ExpectTacticsAgree(call, 2);
  }
}

TEST(RowNorm, ScaleBroadcastsOverTheNormalisedAxesOnly) {
  const Shape x{2, 3, 4};
  for (const Shape& s : {Shape{4}, Shape{3, 4}, Shape{3, 1}, Shape{1}, Shape{}, Shape{1, 3, 4}}) {
    const KernelCall call{"LayerNormalization",
                          {{"axis", int64_t{1}}},
                          {RandomTensor(DType::kF32, x, 1), RandomTensor(DType::kF32, s, 2),
                           RandomTensor(DType::kF32, s, 3)},
                          {{DType::kF32, x}}};
    ExpectTacticsAgree(call, 2);
  }
  for (const Shape& s : {Shape{3}, Shape{2, 1, 1}, Shape{1, 1, 3, 4}}) {
    for (const KernelDef* kernel : TacticsUnderTest("LayerNormalization")) {
      EXPECT_FALSE(
          RunKernel(kernel->id, {"LayerNormalization",
                                 {{"axis", int64_t{1}}},
                                 {RandomTensor(DType::kF32, x, 1), RandomTensor(DType::kF32, s, 2)},
                                 {{DType::kF32, x}}})
              .ok());
    }
  }
}

// --- channels ---

KernelCall BatchNormCall(const Shape& x) {
  const Shape c{x[1]};
  return {"BatchNormalization",
          {{"epsilon", 1e-3}},
          {RandomTensor(DType::kF32, x, 1), RandomTensor(DType::kF32, c, 2),
           RandomTensor(DType::kF32, c, 3), RandomTensor(DType::kF32, c, 4), Positive(c, 5)},
          {{DType::kF32, x}}};
}

TEST(BatchNormalization, ByHand) {
  KernelCall call = BatchNormCall(Shape{1, 2, 2});
  call.attrs.Set("epsilon", 0.0);
  call.inputs = {Tensor::Of<float>(Shape{1, 2, 2}, {1, 2, 3, 4}),
                 Tensor::Of<float>(Shape{2}, {1, 4}), Tensor::Of<float>(Shape{2}, {0, 1}),
                 Tensor::Of<float>(Shape{2}, {1, 2}), Tensor::Of<float>(Shape{2}, {1, 4})};
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(0, 1, 3, 5));
}

TEST(BatchNormalization, ChannelsLastGivesTheBitsOfChannelsFirst) {
  for (const Shape& x : {Shape{2, 3, 4, 5}, Shape{1, 7, 3}, Shape{0, 2, 2}, Shape{2, 3}}) {
    SCOPED_TRACE(x.ToString());
    const KernelCall first = BatchNormCall(x);
    KernelCall last = first;
    last.attrs.Set("layout", "NHWC");
    last.inputs[0] = ChannelsLast(first.inputs[0]);
    last.outputs[0].second = ChannelsLast(x);
    EXPECT_TRUE(SameBits(RunReference(first)[0], ChannelsFirst(RunReference(last)[0])));
    ExpectTacticsAgree(last, 1);
    ExpectThreadInvariant(last);
  }
}

TEST(BatchNormalization, TacticsAgree) {
  for (const Shape& x : {Shape{3, 5}, Shape{2, 4, 7}, Shape{2, 3, 4, 5}, Shape{1, 2, 2, 3, 4}}) {
    ExpectTacticsAgree(BatchNormCall(x), 2);
    ExpectThreadInvariant(BatchNormCall(x));
  }
  for (const KernelDef* kernel : TacticsUnderTest("BatchNormalization")) {
    KernelCall bad = BatchNormCall(Shape{2, 3, 4});
    bad.inputs[3] = RandomTensor(DType::kF32, Shape{2}, 1);
    EXPECT_FALSE(RunKernel(kernel->id, bad).ok());
  }
}

TEST(GroupNormalization, ByHandAndTacticsAgree) {
  KernelCall call{"GroupNormalization",
                  {{"num_groups", int64_t{1}}, {"epsilon", 0.0}},
                  {Tensor::Of<float>(Shape{1, 2, 2}, {1, 3, 1, 3}),
                   Tensor::Of<float>(Shape{2}, {1, 2}), Tensor::Of<float>(Shape{2}, {0, 10})},
                  {{DType::kF32, Shape{1, 2, 2}}}};
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(-1, 1, 8, 12));
  for (int64_t groups : {1, 2, 3, 6}) {
    const Shape x{2, 6, 3, 5};
    call = {"GroupNormalization",
            {{"num_groups", groups}},
            {RandomTensor(DType::kF32, x, 1), RandomTensor(DType::kF32, Shape{6}, 2),
             RandomTensor(DType::kF32, Shape{6}, 3)},
            {{DType::kF32, x}}};
    ExpectTacticsAgree(call, 2);
    ExpectBatchInvariant(call, 1);
  }
  call.attrs.Set("num_groups", int64_t{4});
  for (const KernelDef* kernel : TacticsUnderTest("GroupNormalization"))
    EXPECT_FALSE(RunKernel(kernel->id, call).ok());
}

TEST(LRN, ByHand) {
  const KernelCall call{"LRN",
                        {{"size", int64_t{3}}, {"alpha", 3.0}, {"beta", 1.0}, {"bias", 1.0}},
                        {Tensor::Of<float>(Shape{1, 3, 1}, {1, 2, 3})},
                        {{DType::kF32, Shape{1, 3, 1}}}};
  EXPECT_THAT(Floats(RunReference(call)[0]),
              Pointwise(FloatNear(1e-7f), {1.0f / 6, 2.0f / 15, 3.0f / 14}));
}

TEST(LRN, TacticsAgree) {
  for (double beta : {0.75, 0.5, 1.0, 0.6}) {
    for (int64_t size : {1, 2, 3, 5, 100}) {
      for (int64_t plane : {1, 255, 256, 257}) {
        const Shape x{2, 7, plane};
        const KernelCall call{"LRN",
                              {{"size", size}, {"alpha", 0.5}, {"beta", beta}, {"bias", 2.0}},
                              {RandomTensor(DType::kF32, x, 1)},
                              {{DType::kF32, x}}};
        ExpectTacticsAgree(call, 2);
      }
    }
  }
}

TEST(LpNormalization, ByHand) {
  KernelCall call{"LpNormalization",
                  {{"axis", int64_t{1}}},
                  {Tensor::Of<float>(Shape{2, 2}, {3, -4, 0, 0})},
                  {{DType::kF32, Shape{2, 2}}}};
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(0.6f, -0.8f, 0, 0));
  call.attrs.Set("p", int64_t{1});
  EXPECT_THAT(Floats(RunReference(call)[0]),
              Pointwise(FloatNear(1e-7f), {3.0f / 7, -4.0f / 7, 0.0f, 0.0f}));
}

// Every tactic that says its result may share operand 0's memory gives the same bits there.
TEST(Norms, InPlace) {
  const Shape x{3, 4, 35};
  const Shape c{4};
  const std::vector<KernelCall> calls = {
      {"Softmax", {{"axis", int64_t{2}}}, {RandomTensor(DType::kF32, x, 1)}, {{DType::kF32, x}}},
      {"Softmax", {{"axis", int64_t{1}}}, {RandomTensor(DType::kF32, x, 1)}, {{DType::kF32, x}}},
      {"LogSoftmax", {{"axis", int64_t{2}}}, {RandomTensor(DType::kF32, x, 1)}, {{DType::kF32, x}}},
      {"LpNormalization",
       {{"axis", int64_t{1}}},
       {RandomTensor(DType::kF32, x, 1)},
       {{DType::kF32, x}}},
      {"LayerNormalization",
       {{"axis", int64_t{2}}},
       {RandomTensor(DType::kF32, x, 1), RandomTensor(DType::kF32, Shape{35}, 2)},
       {{DType::kF32, x}}},
      {"GroupNormalization",
       {{"num_groups", int64_t{2}}},
       {RandomTensor(DType::kF32, x, 1), RandomTensor(DType::kF32, c, 2),
        RandomTensor(DType::kF32, c, 3)},
       {{DType::kF32, x}}},
      BatchNormCall(x)};
  for (const KernelCall& call : calls) {
    for (const KernelDef* kernel : KernelsFor(call.op)) {
      ASSERT_EQ(kernel->in_place_inputs, 1u) << kernel->id;
      auto apart = RunKernel(kernel->id, call);
      ASSERT_TRUE(apart.ok()) << apart.status().ToString();
      TensorView memory;
      const Tensor shared = *Tensor::Allocate(DType::kF32, x, &memory);
      std::memcpy(memory.data, call.inputs[0].bytes().data(), call.inputs[0].bytes().size());
      std::vector<TensorSpec> specs;
      std::vector<ConstTensorView> inputs;
      for (const Tensor& t : call.inputs) {
        specs.push_back({t.dtype(), t.shape(), true, nullptr});
        inputs.push_back(t.view());
      }
      inputs[0] = memory;
      const std::vector<TensorSpec> out_specs{{DType::kF32, x, true, nullptr}};
      const std::vector<TensorView> outputs{memory};
      auto bound = kernel->bind({call.op, &call.attrs, specs, out_specs, 0});
      ASSERT_TRUE(bound.ok()) << bound.status().ToString();
      SerialParallel serial;
      ASSERT_TRUE((*bound)->Run({inputs, outputs, {}, {}, &serial}).ok());
      EXPECT_TRUE(SameBits(shared, (*apart)[0])) << kernel->id;
    }
  }
}

TEST(Norms, EveryFloatType) {
  for (DType d : {DType::kF64, DType::kF16, DType::kBF16}) {
    const Tensor x = Tensor::Of<float>(Shape{1, 2}, {3, -4});
    TensorView out;
    const Tensor narrow = *Tensor::Allocate(d, Shape{1, 2}, &out);
    for (int64_t i = 0; i < 2; ++i) StoreDouble(out, i, DoubleAt(x.view(), i));
    for (const char* op : {"Softmax", "LogSoftmax", "LpNormalization"}) {
      const KernelCall a{op, {{"axis", int64_t{1}}}, {x}, {{DType::kF32, Shape{1, 2}}}};
      const KernelCall b{op, {{"axis", int64_t{1}}}, {narrow}, {{d, Shape{1, 2}}}};
      const Tensor want = RunReference(a)[0];
      const Tensor got = RunReference(b)[0];
      for (int64_t i = 0; i < 2; ++i) {
        EXPECT_NEAR(DoubleAt(got.view(), i), DoubleAt(want.view(), i),
                    std::fabs(DoubleAt(want.view(), i)) * 0x1p-8);
      }
    }
  }
}

}  // namespace
}  // namespace fusee::ops
