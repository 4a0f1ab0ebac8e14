#include <gmock/gmock.h>

#include "device/cpu_features.h"
#include "ops/nn/test_support.h"

namespace fusee::ops {
namespace {

using ::testing::ElementsAre;

KernelCall MatMulCall(DType dtype, const Shape& a, const Shape& b, const Shape& y) {
  return {"MatMul", {}, {RandomTensor(dtype, a, 1), RandomTensor(dtype, b, 2)}, {{dtype, y}}};
}

TEST(MatMul, ByHand) {
  KernelCall call{"MatMul",
                  {},
                  {Tensor::Of<float>(Shape{2, 3}, {1, 2, 3, 4, 5, 6}),
                   Tensor::Of<float>(Shape{3, 2}, {1, 0, 0, 1, 2, 3})},
                  {{DType::kF32, Shape{2, 2}}}};
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(7, 11, 16, 23));
}

TEST(MatMul, BiasAndActivation) {
  KernelCall call{
      "MatMul",
      {{"activation", "Relu"}},
      {Tensor::Of<float>(Shape{1, 2}, {1, 2}), Tensor::Of<float>(Shape{2, 2}, {1, -1, 1, -1}),
       Tensor::Of<float>(Shape{2}, {0.5f, 1})},
      {{DType::kF32, Shape{1, 2}}}};
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(3.5f, 0));
}

TEST(MatMul, ActivationComesAfterTheResidual) {
  KernelCall call{
      "MatMul",
      {{"activation", "Relu"}},
      {Tensor::Of<float>(Shape{1, 2}, {1, 2}), Tensor::Of<float>(Shape{2, 2}, {1, -1, 1, -1}),
       Tensor::Of<float>(Shape{2}, {0.5f, 1}), Tensor::Of<float>(Shape{1, 2}, {-4, 3})},
      {{DType::kF32, Shape{1, 2}}}};
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(0, 1));
  ExpectTacticsAgree(call, 2);
}

TEST(MatMul, ResidualAgreesAroundTileEdges) {
  for (int64_t m : {1, 7, 8, 9, 97}) {
    for (int64_t n : {1, 15, 16, 17, 33}) {
      KernelCall call = MatMulCall(DType::kF32, Shape{3, m, 257}, Shape{257, n}, Shape{3, m, n});
      call.inputs.emplace_back();
      call.inputs.push_back(RandomTensor(DType::kF32, Shape{3, m, n}, 3));
      SCOPED_TRACE(::testing::Message() << m << " x " << n);
      ExpectTacticsAgree(call, 2);
      call.constant_inputs = 2;
      ExpectTacticsAgree(call, 2);
      ExpectThreadInvariant(call);
    }
  }
}

TEST(MatMul, ResidualIsReadPerBatchOfABroadcastProduct) {
  KernelCall call = MatMulCall(DType::kF32, Shape{2, 1, 4, 3}, Shape{7, 3, 5}, Shape{2, 7, 4, 5});
  call.inputs.emplace_back();
  call.inputs.push_back(RandomTensor(DType::kF32, Shape{2, 7, 4, 5}, 3));
  ExpectTacticsAgree(call, 2);
}

TEST(MatMul, RefusesAResidualOfAnotherShapeOrType) {
  KernelCall call = MatMulCall(DType::kF32, Shape{4, 3}, Shape{3, 5}, Shape{4, 5});
  call.inputs.emplace_back();
  call.inputs.emplace_back();
  const Tensor wrong[] = {
      RandomTensor(DType::kF32, Shape{5}, 3), RandomTensor(DType::kF32, Shape{1, 5}, 3),
      RandomTensor(DType::kF32, Shape{1, 4, 5}, 3), RandomTensor(DType::kF16, Shape{4, 5}, 3)};
  for (const Tensor& residual : wrong) {
    call.inputs[3] = residual;
    for (uint32_t constants : {0u, 2u}) {
      call.constant_inputs = constants;
      for (const KernelDef* kernel : TacticsUnderTest("MatMul"))
        EXPECT_FALSE(RunKernel(kernel->id, call).ok()) << kernel->id;
    }
  }
}

TEST(MatMul, IntegersWrapAsTheirType) {
  KernelCall call{"MatMul",
                  {},
                  {Tensor::Of<int32_t>(Shape{1, 2}, {1 << 30, 1 << 30}),
                   Tensor::Of<int32_t>(Shape{2, 1}, {2, 3})},
                  {{DType::kI32, Shape{1, 1}}}};
  EXPECT_EQ(RunReference(call)[0].as<int32_t>()[0], 1 << 30);
}

TEST(MatMul, EveryType) {
  for (DType d : {DType::kF64, DType::kF16, DType::kBF16, DType::kI32, DType::kI64, DType::kU32,
                  DType::kU64}) {
    KernelCall call{"MatMul",
                    {},
                    {RandomTensor(d, Shape{1, 1}, 1), RandomTensor(d, Shape{1, 1}, 2)},
                    {{d, Shape{1, 1}}}};
    const double want = DoubleAt(call.inputs[0].view(), 0) * DoubleAt(call.inputs[1].view(), 0);
    EXPECT_NEAR(DoubleAt(RunReference(call)[0].view(), 0), want, 4e-3) << DTypeName(d);
  }
}

TEST(MatMul, Tf32IsAPermissionForF32) {
  KernelCall call{
      "MatMul",
      {{"math", "tf32"}},
      {RandomTensor(DType::kF32, Shape{9, 40}, 1), RandomTensor(DType::kF32, Shape{40, 17}, 2)},
      {{DType::kF32, Shape{9, 17}}}};
  for (const KernelDef* kernel : KernelsFor("MatMul")) {
    KernelCall plain = call;
    plain.attrs.Erase("math");
    const auto got = RunKernel(kernel->id, call), want = RunKernel(kernel->id, plain);
    ASSERT_TRUE(got.ok() && want.ok()) << kernel->id;
    EXPECT_TRUE(std::ranges::equal((*got)[0].bytes(), (*want)[0].bytes())) << kernel->id;
  }
  KernelCall half{
      "MatMul",
      {{"math", "tf32"}},
      {RandomTensor(DType::kF16, Shape{1, 1}, 1), RandomTensor(DType::kF16, Shape{1, 1}, 2)},
      {{DType::kF16, Shape{1, 1}}}};
  call.attrs.Set("math", "fp8");
  for (const KernelDef* kernel : TacticsUnderTest("MatMul")) {
    EXPECT_EQ(RunKernel(kernel->id, half).status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(RunKernel(kernel->id, call).status().code(), StatusCode::kInvalidArgument);
  }
}

// Tile edges are 6 and 8 rows, 16 and 32 columns, 96 rows of a block, 256 of k.
TEST(MatMul, TacticsAgreeAroundTileEdges) {
  for (int64_t m : {0, 1, 2, 5, 6, 7, 8, 9, 13, 95, 96, 97}) {
    for (int64_t n : {1, 15, 16, 17, 31, 32, 33, 65}) {
      for (int64_t k : {0, 1, 3, 255, 256, 257}) {
        KernelCall call = MatMulCall(DType::kF32, Shape{m, k}, Shape{k, n}, Shape{m, n});
        call.constant_inputs = (m + n + k) % 2 == 0 ? 2 : 0;
        SCOPED_TRACE(::testing::Message() << m << " x " << n << " x " << k);
        ExpectTacticsAgree(call, HostCpu().isa >= Isa::kAvx512 ? 3 : 2);
      }
    }
  }
}

TEST(MatMul, TacticsAgreeOnBroadcasts) {
  const struct {
    Shape a, b, y;
  } cases[] = {{Shape{3}, Shape{3}, Shape{}},
               {Shape{3}, Shape{3, 5}, Shape{5}},
               {Shape{4, 3}, Shape{3}, Shape{4}},
               {Shape{2, 4, 3}, Shape{3}, Shape{2, 4}},
               {Shape{3}, Shape{2, 3, 5}, Shape{2, 5}},
               {Shape{2, 4, 3}, Shape{3, 5}, Shape{2, 4, 5}},
               {Shape{4, 3}, Shape{2, 3, 5}, Shape{2, 4, 5}},
               {Shape{2, 1, 4, 3}, Shape{7, 3, 5}, Shape{2, 7, 4, 5}},
               {Shape{2, 7, 4, 3}, Shape{2, 1, 3, 5}, Shape{2, 7, 4, 5}},
               {Shape{0, 4, 3}, Shape{3, 5}, Shape{0, 4, 5}}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.a.ToString() + " x " + c.b.ToString());
    KernelCall call = MatMulCall(DType::kF32, c.a, c.b, c.y);
    ExpectTacticsAgree(call, 2);
    call.constant_inputs = 2;
    ExpectTacticsAgree(call, 2);
    ExpectThreadInvariant(call);
  }
}

TEST(MatMul, SameBitsWhateverTheThreadsBatchAndInstructionSet) {
  KernelCall call = MatMulCall(DType::kF32, Shape{101, 300}, Shape{300, 77}, Shape{101, 77});
  call.constant_inputs = 2;
  ExpectThreadInvariant(call);
  for (int64_t row : {0, 5, 6, 95, 96, 100}) ExpectBatchInvariant(call, row);
  if (HostCpu().isa < Isa::kAvx512) GTEST_SKIP() << "no AVX-512 here";
  auto avx2 = RunKernel("matmul_f32_avx2.1", call);
  auto avx512 = RunKernel("matmul_f32_avx512.1", call);
  ASSERT_TRUE(avx2.ok() && avx512.ok());
  EXPECT_TRUE(SameBits((*avx2)[0], (*avx512)[0]));
}

TEST(MatMul, RefusesWrongShapes) {
  for (const KernelDef* kernel : TacticsUnderTest("MatMul")) {
    EXPECT_FALSE(
        RunKernel(kernel->id, MatMulCall(DType::kF32, Shape{2, 3}, Shape{4, 2}, Shape{2, 2})).ok());
    EXPECT_FALSE(
        RunKernel(kernel->id, MatMulCall(DType::kF32, Shape{2, 3}, Shape{3, 2}, Shape{2, 3})).ok());
    EXPECT_FALSE(RunKernel(kernel->id,
                           MatMulCall(DType::kF32, Shape{2, 2, 3}, Shape{3, 3, 2}, Shape{2, 2, 2}))
                     .ok());
    // A packed operand of the wrong size.
    KernelCall call{
        "MatMul",
        {},
        {RandomTensor(DType::kF32, Shape{2, 3}, 1), RandomTensor(DType::kU8, Shape{100}, 2)},
        {{DType::kF32, Shape{2, 2}}}};
    EXPECT_FALSE(RunKernel(kernel->id, call).ok());
  }
}

TEST(Gemm, ByHand) {
  KernelCall call{
      "Gemm",
      {{"alpha", 2.0}, {"beta", 0.5}, {"transA", int64_t{1}}, {"transB", int64_t{1}}},
      {Tensor::Of<float>(Shape{2, 1}, {1, 2}), Tensor::Of<float>(Shape{3, 2}, {1, 1, 0, 1, 1, 0}),
       Tensor::Of<float>(Shape{1, 3}, {10, 20, 30})},
      {{DType::kF32, Shape{1, 3}}}};
  EXPECT_THAT(Floats(RunReference(call)[0]), ElementsAre(11, 14, 17));
  ExpectTacticsAgree(call, 2);
}

TEST(Gemm, TacticsAgreeOnTransposesAndEveryShapeOfC) {
  for (int64_t trans_a : {0, 1}) {
    for (int64_t trans_b : {0, 1}) {
      for (const Shape& c :
           {Shape{}, Shape{1}, Shape{35}, Shape{1, 35}, Shape{13, 1}, Shape{13, 35}, Shape{1, 1}}) {
        KernelCall call{"Gemm",
                        {{"alpha", 0.5}, {"beta", -2.0}, {"transA", trans_a}, {"transB", trans_b}},
                        {RandomTensor(DType::kF32, trans_a ? Shape{300, 13} : Shape{13, 300}, 1),
                         RandomTensor(DType::kF32, trans_b ? Shape{35, 300} : Shape{300, 35}, 2),
                         RandomTensor(DType::kF32, c, 3)},
                        {{DType::kF32, Shape{13, 35}}}};
        SCOPED_TRACE(c.ToString());
        ExpectTacticsAgree(call, 2);
        call.constant_inputs = 2;
        ExpectTacticsAgree(call, 2);
        ExpectThreadInvariant(call);
      }
    }
  }
}

TEST(Gemm, ResidualAgreesWithEveryActivation) {
  for (const char* name : {"", "Relu", "Sigmoid", "Tanh", "HardSwish", "Gelu", "Silu"}) {
    for (const Shape& c : {Shape{40}, Shape{9, 1}}) {
      KernelCall call{
          "Gemm",
          {{"activation", name}, {"beta", 0.5}, {"transB", int64_t{1}}},
          {RandomTensor(DType::kF32, Shape{9, 20}, 1), RandomTensor(DType::kF32, Shape{40, 20}, 2),
           RandomTensor(DType::kF32, c, 3), RandomTensor(DType::kF32, Shape{9, 40}, 4)},
          {{DType::kF32, Shape{9, 40}}}};
      SCOPED_TRACE(name);
      ExpectTacticsAgree(call, 2);
      call.constant_inputs = 2;
      ExpectTacticsAgree(call, 2);
    }
  }
}

TEST(Gemm, EveryActivationAgreesWithTheReference) {
  for (const char* name : {"Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid",
                           "HardSwish", "Gelu", "GeluTanh", "Silu"}) {
    KernelCall call{
        "Gemm",
        {{"activation", name}, {"alpha", 6.0}},
        {RandomTensor(DType::kF32, Shape{9, 20}, 1), RandomTensor(DType::kF32, Shape{20, 40}, 2),
         RandomTensor(DType::kF32, Shape{40}, 3)},
        {{DType::kF32, Shape{9, 40}}}};
    if (std::string_view(name) == "Clip") {
      call.attrs.Set("activation_alpha", -1.0);
      call.attrs.Set("activation_beta", 2.5);
    }
    SCOPED_TRACE(name);
    ExpectTacticsAgree(call, 2, 1e-4, 1e-5);
  }
}

TEST(Gemm, RefusesAnUnknownActivation) {
  KernelCall call{
      "Gemm",
      {{"activation", "Magic"}},
      {RandomTensor(DType::kF32, Shape{1, 1}, 1), RandomTensor(DType::kF32, Shape{1, 1}, 2)},
      {{DType::kF32, Shape{1, 1}}}};
  for (const KernelDef* kernel : TacticsUnderTest("Gemm")) {
    auto result = RunKernel(kernel->id, call);
    ASSERT_FALSE(result.ok());
    EXPECT_THAT(result.status().message(), ::testing::HasSubstr("Magic"));
  }
}

}  // namespace
}  // namespace fusee::ops
