// MatMul and Gemm of a device under test (FUSEE_TEST_DEVICE) against the CPU's reference: f16 and
// bf16, sizes around the edges of every tile, every configuration.
#include "ops/device_test_util.h"
#include "ops/nn/test_support.h"

namespace fusee::ops {
namespace {

// Both sides round once to the result's type: they differ by at most one unit in its last place.
double RoundingOf(DType dtype) { return dtype == DType::kF16 ? 0x1p-10 : 0x1p-7; }

// What float sums of k products below 1 may lose against exact ones, tensor cores' truncation
// included.
double SumErrorOf(int64_t k) { return 0x1p-22 * static_cast<double>(k) + 0x1p-20; }

KernelCall MatMulOf(DType dtype, const Shape& a, const Shape& b, const Shape& y) {
  return {"MatMul", {}, {RandomTensor(dtype, a, 1), RandomTensor(dtype, b, 2)}, {{dtype, y}}};
}

void ExpectHalfAgrees(const KernelCall& call, int64_t k) {
  ExpectTacticsAgree(call, 2, RoundingOf(call.outputs[0].first), SumErrorOf(k));
}

// Tiles have 16 to 128 rows, 32 to 256 columns, 32 to 128 of k; packs are 8 elements.
TEST(MatMulOnDevice, HalvesAgreeAroundTileEdges) {
  FUSEE_NEEDS_DEVICE();
  for (int64_t m : {0, 1, 15, 16, 17, 32, 33, 64, 65, 129}) {
    for (int64_t n : {1, 8, 31, 32, 33, 64, 72, 136, 264}) {
      for (int64_t k : {0, 1, 8, 63, 64, 72, 520}) {
        const DType dtype = (m + n + k) % 2 == 0 ? DType::kF16 : DType::kBF16;
        KernelCall call = MatMulOf(dtype, Shape{m, k}, Shape{k, n}, Shape{m, n});
        call.constant_inputs = n % 3 == 0 ? 2 : 0;
        SCOPED_TRACE(::testing::Message()
                     << m << " x " << n << " x " << k << " " << DTypeName(dtype));
        ExpectHalfAgrees(call, k);
      }
    }
  }
}

TEST(MatMulOnDevice, HalvesAgreeOnBroadcasts) {
  FUSEE_NEEDS_DEVICE();
  const struct {
    Shape a, b, y;
  } cases[] = {{Shape{24}, Shape{24}, Shape{}},
               {Shape{24}, Shape{2, 24, 40}, Shape{2, 40}},
               {Shape{2, 4, 24}, Shape{24}, Shape{2, 4}},
               {Shape{2, 40, 24}, Shape{24, 40}, Shape{2, 40, 40}},
               {Shape{40, 24}, Shape{2, 24, 40}, Shape{2, 40, 40}},
               {Shape{2, 1, 40, 24}, Shape{7, 24, 16}, Shape{2, 7, 40, 16}},
               {Shape{2, 7, 9, 24}, Shape{2, 1, 24, 16}, Shape{2, 7, 9, 16}},
               {Shape{2, 3, 9, 24}, Shape{2, 3, 24, 17}, Shape{2, 3, 9, 17}},
               {Shape{0, 4, 24}, Shape{24, 16}, Shape{0, 4, 16}}};
  for (const auto& c : cases) {
    for (DType dtype : {DType::kF16, DType::kBF16}) {
      SCOPED_TRACE(c.a.ToString() + " x " + c.b.ToString());
      KernelCall call = MatMulOf(dtype, c.a, c.b, c.y);
      ExpectHalfAgrees(call, 24);
    }
  }
}

TEST(MatMulOnDevice, HalvesAgreeWithBiasResidualAndEveryActivation) {
  FUSEE_NEEDS_DEVICE();
  for (const char* name : {"", "Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid",
                           "HardSwish", "Gelu", "GeluTanh", "Silu"}) {
    for (int64_t n : {40, 37}) {
      for (DType dtype : {DType::kF16, DType::kBF16}) {
        KernelCall call = MatMulOf(dtype, Shape{3, 21, 48}, Shape{48, n}, Shape{3, 21, n});
        call.attrs.Set("activation", name);
        call.inputs.push_back(RandomTensor(dtype, Shape{n}, 3));
        call.inputs.push_back(RandomTensor(dtype, Shape{3, 21, n}, 4));
        SCOPED_TRACE(name);
        ExpectHalfAgrees(call, 48);
      }
    }
  }
}

TEST(GemmOnDevice, HalvesAgreeOnTransposesAndEveryShapeOfC) {
  FUSEE_NEEDS_DEVICE();
  for (int64_t trans_a : {0, 1}) {
    for (int64_t trans_b : {0, 1}) {
      for (const Shape& c :
           {Shape{}, Shape{1}, Shape{40}, Shape{1, 40}, Shape{17, 1}, Shape{17, 40}, Shape{1, 1}}) {
        const DType dtype = c.rank() == 1 ? DType::kBF16 : DType::kF16;
        KernelCall call{"Gemm",
                        {{"alpha", 0.5}, {"beta", -2.0}, {"transA", trans_a}, {"transB", trans_b}},
                        {RandomTensor(dtype, trans_a ? Shape{136, 17} : Shape{17, 136}, 1),
                         RandomTensor(dtype, trans_b ? Shape{40, 136} : Shape{136, 40}, 2),
                         RandomTensor(dtype, c, 3)},
                        {{dtype, Shape{17, 40}}}};
        SCOPED_TRACE(c.ToString());
        ExpectHalfAgrees(call, 136);
      }
    }
  }
}

TEST(MatMulOnDevice, OtherTypesAgree) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : {DType::kF64, DType::kI32, DType::kU32, DType::kI64, DType::kU64}) {
    for (int64_t m : {1, 33, 65}) {
      KernelCall call = MatMulOf(dtype, Shape{2, m, 35}, Shape{35, 66}, Shape{2, m, 66});
      SCOPED_TRACE(::testing::Message() << m << " rows of " << DTypeName(dtype));
      ExpectTacticsAgree(call, 2, 1e-12, 1e-12);
    }
  }
}

// A row's bits depend neither on how many rows there are nor on its place: without a
// configuration no tactic splits k.
TEST(MatMulOnDevice, BatchDoesNotMatter) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const KernelCall call = MatMulOf(dtype, Shape{300, 520}, Shape{520, 264}, Shape{300, 264});
    for (int64_t row : {0, 15, 16, 127, 128, 299}) ExpectBatchInvariant(call, row);
  }
}

TEST(MatMulOnDevice, SameBitsInEveryRun) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype : {DType::kF32, DType::kF16})
    ExpectThreadInvariant(MatMulOf(dtype, Shape{128, 768}, Shape{768, 768}, Shape{128, 768}));
}

TEST(MatMulOnDevice, EveryConfigurationAgrees) {
  FUSEE_NEEDS_DEVICE();
  constexpr size_t kConfigurationsMax = 60;
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const std::vector<int64_t> rows =
        TestsAreBrief() ? std::vector<int64_t>{100} : std::vector<int64_t>{1, 16, 100, 128, 520};
    for (int64_t m : rows) {
      for (const char* activation : {"", "Relu", "Gelu", "GeluTanh"}) {
        KernelCall call = MatMulOf(dtype, Shape{m, 1032}, Shape{1032, 264}, Shape{m, 264});
        call.attrs.Set("activation", activation);
        call.constant_inputs = 2;
        call.inputs.push_back(RandomTensor(dtype, Shape{264}, 3));
        if (*activation == '\0') call.inputs.push_back(RandomTensor(dtype, Shape{m, 264}, 4));
        SCOPED_TRACE(::testing::Message() << m << " rows of " << DTypeName(dtype) << activation);
        const double rtol = dtype == DType::kF32 ? 1e-4 : RoundingOf(dtype);
        // Erf GELU through its tanh form differs by less than 5e-4, and the library's tanh is the
        // hardware's, which is off by about as much.
        const double atol = SumErrorOf(1032) + (dtype == DType::kF32 ? 0 : 1e-3);
        const auto ran = CompareConfigurations(call, rtol, atol, kConfigurationsMax);
        ASSERT_TRUE(ran.ok()) << ran.status().ToString() << " (seed " << kTestSeed << ")";
      }
    }
  }
}

TEST(GemmOnDevice, FloatsAgree) {
  FUSEE_NEEDS_DEVICE();
  const DType dtype = DType::kF32;
  for (int64_t trans_a : {0, 1}) {
    for (int64_t trans_b : {0, 1}) {
      for (int64_t m : {1, 8, 17}) {
        for (int64_t n : {1, 10, 64, 1000}) {
          for (const char* activation : {"", "Relu"}) {
            KernelCall call{"Gemm",
                            {{"transA", trans_a}, {"transB", trans_b}},
                            {RandomTensor(dtype, trans_a ? Shape{130, m} : Shape{m, 130}, 1),
                             RandomTensor(dtype, trans_b ? Shape{n, 130} : Shape{130, n}, 2),
                             RandomTensor(dtype, Shape{n}, 3)},
                            {{dtype, Shape{m, n}}}};
            if (*activation != '\0') call.attrs.Set("activation", std::string(activation));
            call.constant_inputs = 6;
            SCOPED_TRACE(::testing::Message() << m << " x " << n << " transposed " << trans_a
                                              << trans_b << " " << activation);
            ExpectTacticsAgree(call, 2, 1e-4, SumErrorOf(130));
          }
        }
      }
    }
  }
}

// Each operand loses up to 2^-10 of itself; such errors have either sign.
TEST(MatMulOnDevice, EveryTf32ConfigurationAgrees) {
  FUSEE_NEEDS_DEVICE();
  constexpr size_t kConfigurationsMax = 60;
  constexpr double kTolerance = 0x1p-8 * 32;  // 32 is about the square root of the depth
  for (int64_t m : {1, 100, 128}) {
    KernelCall call = MatMulOf(DType::kF32, Shape{m, 1032}, Shape{1032, 264}, Shape{m, 264});
    call.attrs.Set("math", "tf32");
    call.constant_inputs = 2;
    const auto ran = CompareConfigurations(call, 0x1p-9, kTolerance, kConfigurationsMax);
    ASSERT_TRUE(ran.ok()) << ran.status().ToString() << " (seed " << kTestSeed << ")";
    const auto uses_tf32 = [](const std::string& one) { return one.find(": tf32") != one.npos; };
    EXPECT_EQ(std::ranges::any_of(*ran, uses_tf32), TestsLibraries());
  }
}

TEST(GemmOnDevice, EveryConfigurationAgrees) {
  FUSEE_NEEDS_DEVICE();
  constexpr size_t kConfigurationsMax = 60;
  for (int64_t trans_b : {0, 1}) {
    for (double beta : {1.0, 0.5}) {
      const DType dtype = DType::kF16;
      KernelCall call{"Gemm",
                      {{"alpha", 0.5}, {"beta", beta}, {"transB", trans_b}},
                      {RandomTensor(dtype, Shape{72, 264}, 1),
                       RandomTensor(dtype, trans_b ? Shape{136, 264} : Shape{264, 136}, 2),
                       RandomTensor(dtype, Shape{136}, 3)},
                      {{dtype, Shape{72, 136}}}};
      const auto ran =
          CompareConfigurations(call, RoundingOf(dtype), SumErrorOf(264), kConfigurationsMax);
      ASSERT_TRUE(ran.ok()) << ran.status().ToString() << " (seed " << kTestSeed << ")";
    }
  }
}

// Rows of a and columns of b are 1, 2^-6, 0, 0, ...: their product, 1 + 2^-12, fits into no half.
// Whoever rounds it before -1 is added gets 0.
KernelCall Cancelling(DType dtype, bool bias, bool residual) {
  constexpr int64_t kRows = 24, kDepth = 64, kColumns = 72;
  const auto filled = [dtype](const Shape& shape, auto value) {
    TensorView view;
    auto tensor = Tensor::Allocate(dtype, shape, &view);
    FUSEE_CHECK(tensor.ok(), "no memory for a test tensor");
    for (int64_t i = 0; i < shape.elements(); ++i) StoreDouble(view, i, value(i));
    return std::move(tensor).value();
  };
  const auto at = [](int64_t depth) { return depth == 0 ? 1.0 : (depth == 1 ? 0x1p-6 : 0.0); };
  const auto minus_one = [](int64_t) { return -1.0; };
  KernelCall call =
      MatMulOf(dtype, Shape{kRows, kDepth}, Shape{kDepth, kColumns}, Shape{kRows, kColumns});
  call.inputs[0] = filled(Shape{kRows, kDepth}, [&](int64_t i) { return at(i % kDepth); });
  call.inputs[1] = filled(Shape{kDepth, kColumns}, [&](int64_t i) { return at(i / kColumns); });
  call.inputs.push_back(bias ? filled(Shape{kColumns}, minus_one) : Tensor());
  if (residual) {
    // Beside a bias it cancels the rest of nothing: 1 - 1 + 2^-12.
    const double value = bias ? 0.0 : -1.0;
    call.inputs.push_back(filled(Shape{kRows, kColumns}, [&](int64_t) { return value; }));
  }
  call.constant_inputs = 2;
  return call;
}

TEST(MatMulOnDevice, EveryConfigurationKeepsTheSumInFloat) {
  FUSEE_NEEDS_DEVICE();
  constexpr size_t kConfigurationsMax = 1000;
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    for (const auto& [bias, residual] :
         {std::pair(true, false), std::pair(false, true), std::pair(true, true)}) {
      SCOPED_TRACE(::testing::Message()
                   << DTypeName(dtype) << (bias ? " bias" : "") << (residual ? " residual" : ""));
      const auto ran =
          CompareConfigurations(Cancelling(dtype, bias, residual), 0, 0, kConfigurationsMax);
      ASSERT_TRUE(ran.ok()) << ran.status().ToString();
      EXPECT_FALSE(ran->empty());
    }
  }
}

TEST(MatMulOnDevice, RefusesConfigurationsThatAreNotItsOwn) {
  FUSEE_NEEDS_DEVICE();
  KernelCall call = MatMulOf(DType::kF16, Shape{8, 8}, Shape{8, 8}, Shape{8, 8});
  for (const KernelDef* kernel : TestDevice()->kernels->For("MatMul")) {
    if (kernel->configurations == nullptr) continue;
    for (size_t size : {size_t{1}, size_t{8}, size_t{100}, size_t{5000}}) {
      call.config.assign(size, std::byte{0x5A});
      EXPECT_FALSE(RunKernel(kernel->id, call).ok()) << kernel->id << ", " << size << " bytes";
    }
  }
}

}  // namespace
}  // namespace fusee::ops
