#include <gmock/gmock.h>

#include <cmath>

#include "device/cpu_features.h"
#include "ops/nn/import_support.h"
#include "ops/nn/test_support.h"

namespace fusee::ops {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

struct Sizes {
  int64_t batch = 1, heads = 1, seq_q = 1, seq_k = 1, dim = 1, dim_v = 1;
};

KernelCall Attention(const Sizes& s, DType dtype = DType::kF32) {
  return {"FusedAttention",
          {{"num_heads", s.heads}, {"scale", 1 / std::sqrt(static_cast<double>(s.dim))}},
          {RandomTensor(dtype, Shape{s.batch, s.seq_q, s.heads * s.dim}, 1),
           RandomTensor(dtype, Shape{s.batch, s.seq_k, s.heads * s.dim}, 2),
           RandomTensor(dtype, Shape{s.batch, s.seq_k, s.heads * s.dim_v}, 3)},
          {{dtype, Shape{s.batch, s.seq_q, s.heads * s.dim_v}}}};
}

KernelCall Packed(int64_t batch, int64_t heads, int64_t seq, int64_t dim,
                  DType dtype = DType::kF32) {
  return {"FusedAttention",
          {{"num_heads", heads}, {"packed_qkv", int64_t{1}}, {"scale", 0.25}},
          {RandomTensor(dtype, Shape{batch, seq, 3 * heads * dim}, 1)},
          {{dtype, Shape{batch, seq, heads * dim}}}};
}

size_t Tactics() { return HostCpu().isa >= Isa::kAvx512 ? 3 : 2; }

// Two keys with scores ln 1 and ln 3 after scale and bias: weights 1/4 and 3/4.
TEST(FusedAttention, ByHand) {
  const KernelCall call{
      "FusedAttention",
      {{"num_heads", int64_t{1}}, {"scale", 2.0}},
      {Tensor::Of<float>(Shape{1, 1, 2}, {1, 1}), Tensor::Of<float>(Shape{1, 2, 2}, {0, 1, 2, -2}),
       Tensor::Of<float>(Shape{1, 2, 1}, {8, 4}), Tensor::Of<float>(Shape{1, 2}, {-2, 1.0986123f})},
      {{DType::kF32, Shape{1, 1, 1}}}};
  EXPECT_THAT(Floats(RunReference(call)[0]), Pointwise(FloatNear(1e-6f), {5.0f}));
  ExpectTacticsAgree(call, Tactics());
}

// Tile edges are 6 and 8 rows, 16 and 32 columns; blocks are 48 queries and 256 keys.
TEST(FusedAttention, TacticsAgreeAroundTileEdges) {
  for (int64_t seq_q : {1, 6, 7, 8, 47, 48, 49}) {
    for (int64_t seq_k : {1, 15, 16, 17, 33, 257}) {
      const Sizes s{2, 2, seq_q, seq_k, 1 + seq_q % 9, 16 + seq_k % 18};
      SCOPED_TRACE(::testing::Message() << seq_q << " queries, " << seq_k << " keys");
      ExpectTacticsAgree(Attention(s), Tactics());
    }
  }
}

TEST(FusedAttention, TacticsAgreeOnHeadWidths) {
  for (int64_t dim : {1, 15, 16, 17, 32, 33, 64}) {
    for (int64_t dim_v : {1, 16, 31, 32, 65})
      ExpectTacticsAgree(Attention({1, 3, 9, 20, dim, dim_v}), Tactics());
    ExpectTacticsAgree(Packed(2, 3, 19, dim), Tactics());
  }
}

TEST(FusedAttention, BiasBroadcastsFromEveryRank) {
  KernelCall call = Attention({2, 3, 5, 17, 8, 8});
  call.inputs.emplace_back();
  for (const Shape& bias :
       {Shape{}, Shape{17}, Shape{1}, Shape{5, 17}, Shape{5, 1}, Shape{3, 5, 17}, Shape{3, 1, 1},
        Shape{2, 3, 5, 17}, Shape{2, 1, 1, 17}, Shape{1, 3, 5, 1}, Shape{1, 1, 1, 1}}) {
    SCOPED_TRACE(bias.ToString());
    for (DType d : {DType::kF32, DType::kF16, DType::kBF16}) {
      call.inputs[3] = RandomTensor(d, bias, 4);
      ExpectTacticsAgree(call, Tactics());
    }
  }
}

TEST(FusedAttention, MaskedKeysDoNotCount) {
  KernelCall masked = Attention({1, 2, 3, 20, 8, 8});
  std::vector<float> mask(20, 0);
  for (size_t j = 12; j < 20; ++j) mask[j] = -INFINITY;
  masked.inputs.push_back(Tensor::Of<float>(Shape{20}, mask));
  KernelCall shorter = Attention({1, 2, 3, 12, 8, 8});
  for (size_t i : {1u, 2u}) {
    const std::vector<float> all = Floats(masked.inputs[i]);
    shorter.inputs[i] = Tensor::Of<float>(Shape{1, 12, 16}, {all.begin(), all.begin() + 12 * 16});
  }
  for (const KernelDef* kernel : TacticsUnderTest("FusedAttention")) {
    if (kernel->isa > HostCpu().isa) continue;
    auto a = RunKernel(kernel->id, masked);
    auto b = RunKernel(kernel->id, shorter);
    if (a.status().code() == StatusCode::kUnimplemented) continue;
    ASSERT_TRUE(a.ok() && b.ok()) << kernel->id;
    EXPECT_THAT(Floats((*a)[0]), Pointwise(FloatNear(1e-6f), Floats((*b)[0]))) << kernel->id;
  }
}

TEST(FusedAttention, ARowWithoutAnyKeyLeftIsNan) {
  KernelCall call = Attention({1, 1, 1, 2, 1, 1});
  call.inputs.push_back(Tensor::Of<float>(Shape{2}, {-INFINITY, -INFINITY}));
  for (const KernelDef* kernel : TacticsUnderTest("FusedAttention")) {
    if (kernel->isa > HostCpu().isa) continue;
    auto y = RunKernel(kernel->id, call);
    if (y.status().code() == StatusCode::kUnimplemented) continue;  // a device's, for other types
    ASSERT_TRUE(y.ok()) << y.status().ToString();
    EXPECT_TRUE(std::isnan(Floats((*y)[0])[0])) << kernel->id;
  }
}

TEST(FusedAttention, ZeroNanRowsZeroesThoseRowsOnly) {
  KernelCall call = Attention({1, 1, 2, 2, 1, 1});
  call.attrs.Set("zero_nan_rows", int64_t{1});
  call.inputs.push_back(Tensor::Of<float>(Shape{2, 2}, {-INFINITY, -INFINITY, 0, -INFINITY}));
  for (const KernelDef* kernel : TacticsUnderTest("FusedAttention")) {
    if (kernel->isa > HostCpu().isa) continue;
    auto y = RunKernel(kernel->id, call);
    if (y.status().code() == StatusCode::kUnimplemented) continue;  // a device's, for other types
    ASSERT_TRUE(y.ok()) << y.status().ToString();
    EXPECT_THAT(Floats((*y)[0]), ElementsAre(0, Floats(call.inputs[2])[0])) << kernel->id;
  }
}

TEST(FusedAttention, WithoutKeysTheResultIsZero) {
  const KernelCall call = Attention({1, 1, 2, 0, 3, 1});
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(0, 0));
  ExpectTacticsAgree(call, Tactics());
}

TEST(FusedAttention, NothingToDo) {
  ExpectTacticsAgree(Attention({0, 2, 3, 4, 5, 6}), Tactics());
  ExpectTacticsAgree(Attention({2, 2, 0, 4, 5, 6}), Tactics());
}

TEST(FusedAttention, LargeScoresDoNotOverflow) {
  KernelCall call = Attention({1, 1, 7, 33, 8, 8});
  call.attrs.Set("scale", 1e4);
  ExpectTacticsAgree(call, Tactics(), 2e-2, 2e-2);
}

TEST(FusedAttention, NarrowTypesAccumulateInF32) {
  for (DType d : {DType::kF16, DType::kBF16}) {
    const double ulp = d == DType::kF16 ? 0x1p-10 : 0x1p-7;
    // Tensor cores take weights as halves; there are none without a device under test.
    const double atol = TestDevice() == nullptr ? ulp / 64 : ulp / 8;
    ExpectTacticsAgree(Attention({2, 2, 49, 300, 24, 40}, d), Tactics(), ulp, atol);
    ExpectTacticsAgree(Packed(2, 2, 33, 20, d), Tactics(), ulp, atol);
  }
}

TEST(FusedAttention, ThreadsDoNotMatter) {
  ExpectThreadInvariant(Attention({1, 2, 200, 300, 33, 17}));
  ExpectThreadInvariant(Packed(3, 3, 97, 32));
  ExpectThreadInvariant(Packed(1, 1, 500, 8, DType::kF16));
}

TEST(FusedAttention, BatchDoesNotMatter) {
  const KernelCall call = Packed(9, 2, 61, 32);
  for (int64_t item : {0, 4, 8}) ExpectBatchInvariant(call, item);
}

TEST(FusedAttention, SameBitsOnEveryInstructionSet) {
  if (HostCpu().isa < Isa::kAvx512) GTEST_SKIP() << "no AVX-512 here";
  KernelCall call = Attention({2, 3, 61, 77, 40, 24});
  call.inputs.push_back(RandomTensor(DType::kF32, Shape{2, 1, 1, 77}, 4));
  auto avx2 = RunKernel("attention_avx2.1", call);
  auto avx512 = RunKernel("attention_avx512.1", call);
  ASSERT_TRUE(avx2.ok() && avx512.ok());
  EXPECT_TRUE(SameBits((*avx2)[0], (*avx512)[0]));
}

TEST(FusedAttention, RefusesWhatDoesNotFit) {
  std::vector<KernelCall> wrong(11, Attention({2, 2, 3, 4, 8, 8}));
  wrong[0].attrs.Set("num_heads", int64_t{3});
  wrong[1].attrs.Set("num_heads", int64_t{0});
  wrong[2].attrs.Set("packed_qkv", int64_t{1});
  wrong[3].inputs[1] = RandomTensor(DType::kF32, Shape{2, 4, 18}, 2);
  wrong[4].inputs[2] = RandomTensor(DType::kF32, Shape{2, 5, 16}, 2);
  wrong[5].inputs[1] = RandomTensor(DType::kF32, Shape{1, 4, 16}, 2);
  wrong[6].inputs.push_back(RandomTensor(DType::kF32, Shape{3, 3, 4}, 2));
  wrong[7].inputs.push_back(RandomTensor(DType::kF32, Shape{1, 2, 2, 3, 4}, 2));
  wrong[8].inputs.push_back(RandomTensor(DType::kI32, Shape{4}, 2));
  wrong[9].inputs[0] = RandomTensor(DType::kF16, Shape{2, 3, 16}, 2);
  wrong[10].outputs[0].second = Shape{2, 3, 17};
  for (size_t i = 0; i < wrong.size(); ++i) {
    for (const KernelDef* kernel : TacticsUnderTest("FusedAttention"))
      EXPECT_FALSE(RunKernel(kernel->id, wrong[i]).ok()) << kernel->id << ", case " << i;
  }
}

// --- inference ---

Result<std::string> InferredShape(std::vector<ir::SymShape> operands, Attrs attrs) {
  ir::Graph graph;
  ir::Node node{.op = "FusedAttention", .attrs = std::move(attrs)};
  for (ir::SymShape& shape : operands)
    node.inputs.push_back(graph.AddInput("x", {DType::kF32, std::move(shape), {}}));
  const std::string names[] = {"y"};
  FUSEE_TRY(std::vector<ir::ValueId> ids, AddInferredNode(graph, std::move(node), names));
  return ir::ToString(graph.value(ids[0]).info.shape);
}

TEST(FusedAttention, InfersTheQueriesByTheWidthOfV) {
  const auto y =
      InferredShape({{Sym("b"), Sym("s"), 12}, {Sym("b"), Sym("t"), 12}, {Sym("b"), Sym("t"), 20}},
                    {{"num_heads", int64_t{4}}});
  ASSERT_TRUE(y.ok()) << y.status().ToString();
  EXPECT_EQ(*y, "[b,s,20]");
}

TEST(FusedAttention, InfersAThirdOfThePackedWidth) {
  const auto y = InferredShape({{Sym("b"), Sym("s"), 24}},
                               {{"num_heads", int64_t{2}}, {"packed_qkv", int64_t{1}}});
  ASSERT_TRUE(y.ok()) << y.status().ToString();
  EXPECT_EQ(*y, "[b,s,8]");
}

TEST(FusedAttention, InferenceRefusesWidthsThatDoNotDivide) {
  const auto y =
      InferredShape({{1, 2, 25}}, {{"num_heads", int64_t{2}}, {"packed_qkv", int64_t{1}}});
  ASSERT_FALSE(y.ok());
  EXPECT_THAT(y.status().message(), HasSubstr("multiple of 6"));
}

}  // namespace
}  // namespace fusee::ops
