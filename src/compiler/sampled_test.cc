#include "compiler/sampled.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/testing.h"
#include "tensor/random.h"

namespace fusee::compiler {
namespace {

Tensor Random(const Shape& shape, uint64_t stream) {
  TensorView out;
  auto tensor = Tensor::Allocate(DType::kF32, shape, &out);
  EXPECT_TRUE(tensor.ok());
  FillRandom(out, Fill::kUniform, 11, stream);
  return *tensor;
}

// x[batch,256] * w[256,512] + b, then a Relu: 4 x 64 rows make it large enough to be sampled.
Result<Emitted> LargeMatMul() {
  FUSEE_TRY(Emitted e, EmitText(R"(graph "g" {
  symbol batch in [1, 256]
  input %x : f32[batch,256]
  input %w : f32[256,512]
  input %b : f32[512]
  %m : f32[batch,512] = MatMul(%x, %w, %b)
  %y : f32[batch,512] = Relu(%m)
  output %y as "y"
})"));
  return e;
}

TEST(TakeAlong, KeepsTheChosenPlacesInOrder) {
  const Tensor t = Tensor::Of<int32_t>({2, 3, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  auto taken = TakeAlong(t.view(), 1, {0, 2});
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(taken->shape(), (Shape{2, 2, 2}));
  EXPECT_THAT(std::vector<int32_t>(taken->as<int32_t>(), taken->as<int32_t>() + 8),
              testing::ElementsAre(0, 1, 4, 5, 6, 7, 10, 11));
}

TEST(ChooseSample, SmallStepsAreComparedWhole) {
  ir::Node node;
  node.op = "MatMul";
  EXPECT_TRUE(ChooseSample(node, {Shape{8, 16}, Shape{16, 8}}, Shape{8, 8}, 1).result.empty());
}

TEST(ChooseSample, LargeMatMulKeepsEdgesOfRowsAndColumns) {
  ir::Node node;
  node.op = "MatMul";
  const StepSample sample = ChooseSample(node, {Shape{4, 512, 768}, Shape{768, 3072}, Shape{3072}},
                                         Shape{4, 512, 3072}, 1);
  ASSERT_EQ(sample.result.size(), 3u);  // matrices, rows, columns
  for (const AxisChoice& c : sample.result) {
    EXPECT_EQ(c.indices.front(), 0);
    EXPECT_EQ(c.indices.back(), (Shape{4, 512, 3072})[c.axis] - 1);
  }
  EXPECT_TRUE(
      std::ranges::any_of(sample.operands, [](const AxisChoice& c) { return c.operand == 2; }));
}

TEST(ChooseSample, TheResidualIsSampledWithItsProduct) {
  ir::Node node;
  node.op = "MatMul";
  const Shape y{4, 512, 3072};
  const StepSample sample =
      ChooseSample(node, {Shape{4, 512, 768}, Shape{768, 3072}, Shape{}, y}, y, 1);
  EXPECT_EQ(
      std::ranges::count_if(sample.operands, [](const AxisChoice& c) { return c.operand == 3; }),
      3);
}

TEST(ChooseSample, AttentionIsSampledByBatchAndQuery) {
  ir::Node node;
  node.op = "FusedAttention";
  const Shape x{32, 512, 768};
  const StepSample sample =
      ChooseSample(node, {x, x, x, Shape{32, 1, 512, 512}}, Shape{32, 512, 768}, 1);
  ASSERT_EQ(sample.result.size(), 2u);
  EXPECT_EQ(sample.operands.size(), 6u);  // q, k, v and the bias by batch; q and the bias by query
}

TEST(ChooseSample, PackedAttentionIsSampledByBatchOnly) {
  ir::Node node;
  node.op = "FusedAttention";
  node.attrs.Set("packed_qkv", int64_t{1});
  const StepSample sample = ChooseSample(node, {Shape{32, 512, 2304}}, Shape{32, 512, 768}, 1);
  ASSERT_EQ(sample.result.size(), 1u);
  EXPECT_EQ(sample.result[0].axis, 0);
}

TEST(ChooseSample, DepthwiseConvolutionsKeepAllChannels) {
  ir::Node node;
  node.op = "Conv";
  node.attrs.Set("group", int64_t{64});
  const StepSample sample =
      ChooseSample(node, {Shape{8, 64, 224, 224}, Shape{64, 1, 3, 3}}, Shape{8, 64, 224, 224}, 1);
  ASSERT_EQ(sample.result.size(), 1u);
  EXPECT_EQ(sample.result[0].axis, 0);
}

TEST(ChooseSample, ResidualsFollowTheSampledChannels) {
  ir::Node node;
  node.op = "Conv";
  node.attrs.Set("layout", "NHWC");
  const Shape x{8, 56, 56, 64}, y{8, 56, 56, 256};
  const StepSample sample = ChooseSample(node, {x, Shape{256, 3, 3, 64}, Shape{256}, y}, y, 1);
  ASSERT_EQ(sample.result.size(), 2u);
  EXPECT_EQ(sample.result[1].axis, 3);
  int of_residual = 0;
  for (const AxisChoice& c : sample.operands) of_residual += c.operand == 3 ? 1 : 0;
  EXPECT_EQ(of_residual, 2);
}

TEST(VerifySteps, AcceptsStepsThatAgree) {
  auto e = LargeMatMul();
  ASSERT_TRUE(e.ok()) << e.status().ToString();
  SerialParallel serial;
  auto outcome =
      VerifySteps(e->model, *e->model.graph, e->selection,
                  std::make_shared<const plan::Plan>(e->plan), {256}, Fill::kUniform, &serial);
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_TRUE(outcome->passed) << outcome->failure;
  EXPECT_TRUE(outcome->corner.sampled);
  EXPECT_EQ(outcome->corner.elements, 16 * 64 + 256 * 512);  // sampled product, whole Relu
}

// The weights packed for the kernel are not those of the graph any more: as wrong as a packing bug.
TEST(VerifySteps, NamesTheStepThatDiffers) {
  auto e = EmitText(R"(graph "g" {
  input %x : f32[4,8]
  const %w : f32[8,2] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
  %y : f32[4,2] = MatMul(%x, %w)
  output %y as "y"
})");
  ASSERT_TRUE(e.ok()) << e.status().ToString();
  if (e->selection[0].packed.empty()) GTEST_SKIP() << "no tactic for AVX2 packs its weights";
  e->model.graph->value(*e->model.graph->FindValue("w")).constant = Random({8, 2}, 3);
  SerialParallel serial;
  auto outcome =
      VerifySteps(e->model, *e->model.graph, e->selection,
                  std::make_shared<const plan::Plan>(e->plan), {}, Fill::kUniform, &serial);
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_FALSE(outcome->passed);
  EXPECT_THAT(outcome->failure, testing::HasSubstr("step MatMul 'y'"));
}

}  // namespace
}  // namespace fusee::compiler
