#include <gmock/gmock.h>

#include "ops/nn/import_support.h"
#include "ops/nn/test_support.h"

namespace fusee::ops {
namespace {

using ::testing::ElementsAre;

KernelCall SkipNorm(const Shape& x, DType dtype = DType::kF32) {
  const Shape row{x[x.rank() - 1]};
  return {"SkipLayerNormalization",
          {{"axis", int64_t{-1}}, {"epsilon", 1e-5}},
          {RandomTensor(dtype, x, 1), RandomTensor(dtype, x, 2), RandomTensor(dtype, row, 3),
           RandomTensor(dtype, row, 4)},
          {{dtype, x}, {dtype, x}}};
}

TEST(SkipLayerNormalization, ByHand) {
  const KernelCall call{
      "SkipLayerNormalization",
      {{"axis", int64_t{1}}, {"epsilon", 0.0}},
      {Tensor::Of<float>(Shape{1, 4}, {1, 1, 1, 1}), Tensor::Of<float>(Shape{1, 4}, {0, 2, 0, 2}),
       Tensor::Of<float>(Shape{4}, {1, 1, 2, 2}), Tensor::Of<float>(Shape{4}, {0, 0, 10, 10})},
      {{DType::kF32, Shape{1, 4}}, {DType::kF32, Shape{1, 4}}}};
  const std::vector<Tensor> got = RunReference(call);
  EXPECT_THAT(Floats(got[0]), ElementsAre(-1, 1, 8, 12));
  EXPECT_THAT(Floats(got[1]), ElementsAre(1, 3, 1, 3));
  ExpectTacticsAgree(call, 2);
}

TEST(SkipLayerNormalization, TacticsAgreeAroundLaneEdges) {
  for (int64_t n : {2, 15, 16, 17, 100, 768}) {
    KernelCall call = SkipNorm(Shape{2, 3, n});
    ExpectTacticsAgree(call, 2, 1e-4, 2e-5);
    ExpectThreadInvariant(call);
    call.inputs.pop_back();  // no bias
    ExpectTacticsAgree(call, 2, 1e-4, 2e-5);
    call.outputs.pop_back();  // no sum
    ExpectTacticsAgree(call, 2, 1e-4, 2e-5);
  }
}

// What makes it safe to fuse: the fast kernel gives the bits of the fast kernels it stands for.
TEST(SkipLayerNormalization, SameBitsAsAddAndLayerNormalization) {
  for (int64_t n : {1, 17, 384, 768}) {
    const Shape x{5, n};
    const KernelCall call = SkipNorm(x);
    auto fused = RunKernel("skip_layernorm_f32_cpu.1", call);
    ASSERT_TRUE(fused.ok()) << fused.status().ToString();
    const std::vector<float> a = Floats(call.inputs[0]);
    const std::vector<float> b = Floats(call.inputs[1]);
    std::vector<float> sum(a.size());
    for (size_t i = 0; i < sum.size(); ++i) sum[i] = a[i] + b[i];
    const KernelCall norm{"LayerNormalization",
                          {{"axis", int64_t{1}}, {"epsilon", 1e-5}},
                          {Tensor::Of<float>(x, sum), call.inputs[2], call.inputs[3]},
                          {{DType::kF32, x}}};
    auto apart = RunKernel("layernorm_f32_cpu.1", norm);
    ASSERT_TRUE(apart.ok()) << apart.status().ToString();
    EXPECT_TRUE(SameBits((*fused)[0], (*apart)[0])) << n;
    EXPECT_TRUE(SameBits((*fused)[1], norm.inputs[0])) << n;
  }
}

TEST(SkipLayerNormalization, WantedOrNotTheSumChangesNothing) {
  KernelCall call = SkipNorm(Shape{3, 100});
  for (const KernelDef* kernel : TacticsUnderTest(call.op)) {
    auto with = RunKernel(kernel->id, call);
    KernelCall without = call;
    without.outputs[1] = {DType::kInvalid, Shape{}};
    auto alone = RunKernel(kernel->id, without);
    ASSERT_TRUE(with.ok() && alone.ok()) << kernel->id;
    EXPECT_TRUE(SameBits((*with)[0], (*alone)[0])) << kernel->id;
  }
}

TEST(SkipLayerNormalization, MayShareTheMemoryOfEitherOperand) {
  const Shape x{3, 35};
  KernelCall call = SkipNorm(x);
  call.outputs.pop_back();
  for (const KernelDef* kernel : KernelsFor(call.op)) {
    ASSERT_EQ(kernel->in_place_inputs, 3u) << kernel->id;
    auto apart = RunKernel(kernel->id, call);
    ASSERT_TRUE(apart.ok()) << apart.status().ToString();
    for (size_t operand : {0u, 1u}) {
      TensorView memory;
      const Tensor shared = *Tensor::Allocate(DType::kF32, x, &memory);
      const Tensor& from = call.inputs[operand];
      std::memcpy(memory.data, from.bytes().data(), from.bytes().size());
      std::vector<TensorSpec> specs;
      std::vector<ConstTensorView> inputs;
      for (const Tensor& t : call.inputs) {
        specs.push_back({t.dtype(), t.shape(), true, nullptr});
        inputs.push_back(t.view());
      }
      inputs[operand] = memory;
      const std::vector<TensorSpec> out_specs{{DType::kF32, x, true, nullptr}};
      const std::vector<TensorView> outputs{memory};
      auto bound = kernel->bind({call.op, &call.attrs, specs, out_specs, 0});
      ASSERT_TRUE(bound.ok()) << bound.status().ToString();
      SerialParallel serial;
      ASSERT_TRUE((*bound)->Run({inputs, outputs, {}, {}, &serial}).ok());
      EXPECT_TRUE(SameBits(shared, (*apart)[0])) << kernel->id << ", operand " << operand;
    }
  }
}

TEST(SkipLayerNormalization, EveryFloatType) {
  for (DType d : {DType::kF64, DType::kF16, DType::kBF16}) {
    const KernelCall narrow = SkipNorm(Shape{2, 24}, d);
    KernelCall wide = SkipNorm(Shape{2, 24});
    for (size_t i = 0; i < wide.inputs.size(); ++i) {
      TensorView out;
      wide.inputs[i] = *Tensor::Allocate(DType::kF32, narrow.inputs[i].shape(), &out);
      for (int64_t j = 0; j < out.shape.elements(); ++j)
        StoreDouble(out, j, DoubleAt(narrow.inputs[i].view(), j));
    }
    const std::vector<Tensor> want = RunReference(wide);
    const std::vector<Tensor> got = RunReference(narrow);
    for (size_t r : {0u, 1u}) {
      for (int64_t j = 0; j < 48; ++j) {
        EXPECT_NEAR(DoubleAt(got[r].view(), j), DoubleAt(want[r].view(), j), 3 * 0x1p-8)
            << DTypeName(d);
      }
    }
  }
}

TEST(SkipLayerNormalization, NothingToDo) {
  ExpectTacticsAgree(SkipNorm(Shape{0, 4}), 2);
  ExpectTacticsAgree(SkipNorm(Shape{4, 0}), 2);
}

TEST(SkipLayerNormalization, RefusesWhatDoesNotFit) {
  std::vector<KernelCall> wrong(7, SkipNorm(Shape{2, 3, 4}));
  wrong[0].attrs.Set("axis", int64_t{1});
  wrong[1].inputs[1] = RandomTensor(DType::kF32, Shape{3, 4}, 1);
  wrong[2].inputs[1] = RandomTensor(DType::kF16, Shape{2, 3, 4}, 1);
  wrong[3].inputs[2] = RandomTensor(DType::kF32, Shape{1}, 1);
  wrong[4].inputs[3] = RandomTensor(DType::kF32, Shape{1, 4}, 1);
  wrong[5].outputs[1].second = Shape{6, 4};
  wrong[6].inputs[2] = Tensor();
  for (size_t i = 0; i < wrong.size(); ++i) {
    for (const KernelDef* kernel : TacticsUnderTest("SkipLayerNormalization"))
      EXPECT_FALSE(RunKernel(kernel->id, wrong[i]).ok()) << kernel->id << ", case " << i;
  }
}

TEST(SkipLayerNormalization, InfersBothResultsAsX) {
  ir::Graph graph;
  ir::Node node{.op = "SkipLayerNormalization"};
  for (const ir::SymShape& shape :
       {ir::SymShape{Sym("n"), 8}, ir::SymShape{Sym("n"), 8}, ir::SymShape{8}})
    node.inputs.push_back(graph.AddInput("x", {DType::kF32, shape, {}}));
  const std::string names[] = {"y", "sum"};
  auto ids = AddInferredNode(graph, std::move(node), names);
  ASSERT_TRUE(ids.ok()) << ids.status().ToString();
  for (ir::ValueId id : *ids) EXPECT_EQ(ir::ToString(graph.value(id).info.shape), "[n,8]");
}

}  // namespace
}  // namespace fusee::ops
