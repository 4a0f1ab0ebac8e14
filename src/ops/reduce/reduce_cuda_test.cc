// Reductions, ArgMax and TopK of a device under test (FUSEE_TEST_DEVICE) against the CPU's
// reference: every type, sizes around the edges of packs, warps, blocks and buffers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "ops/device_test_util.h"
#include "ops/kernel_test_util.h"
#include "tensor/random.h"

namespace fusee::ops {
namespace {

constexpr uint64_t kSeed = 90210;
constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};

double DeviceRtol(DType dtype) {
  if (dtype == DType::kF16) return 0x1p-10;
  return dtype == DType::kBF16 ? 0x1p-7 : 1e-5;
}

Tensor Random(DType dtype, const Shape& shape, int64_t low = 0, int64_t high = 9) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  FillRandom(view, Fill::kUniform, kSeed, 0, low, high);
  return tensor;
}
Tensor Positive(DType dtype, const Shape& shape) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  for (int64_t i = 0; i < view.elements(); ++i)
    StoreDouble(view, i, 0.5 + RandomUniform(kSeed, 1, static_cast<uint64_t>(i)));
  return tensor;
}

// Every kernel of the device runs and agrees with the reference.
void ExpectAgrees(const KernelCall& call, double rtol, double atol) {
  const auto ran = CompareTactics(call, rtol, atol);
  ASSERT_TRUE(ran.ok()) << ran.status().ToString() << " (seed " << kSeed << ")";
  for (const KernelDef* kernel : TestDevice()->kernels->For(call.op))
    EXPECT_EQ(std::ranges::count(*ran, kernel->id), 1) << kernel->id << " did not run";
}

KernelCall Reduction(std::string_view op, Tensor in, const std::vector<int64_t>& axes) {
  Shape out;
  for (int i = 0; i < in.shape().rank(); ++i) {
    if (std::ranges::count(axes, i) == 0) out.push_back(in.shape()[i]);
  }
  const DType dtype = in.dtype();
  return {.op = op,
          .attrs = {{"axes", axes}, {"keepdims", int64_t{0}}},
          .inputs = {std::move(in)},
          .outputs = {{dtype, out}}};
}

struct Form {
  Shape x;
  std::vector<int64_t> axes;
};
std::vector<Form> FormsOf(int64_t n) {
  std::vector<Form> forms = {{{n}, {0}},       {{3, n}, {1}},          {{n, 3}, {0}},
                             {{2, n, 8}, {1}}, {{2, 3, n, 2}, {0, 2}}, {{2, n, 3}, {}}};
  if (n <= 1025) {
    forms.push_back({{n, 63}, {0}});
    forms.push_back({{n, 64}, {0}});
    forms.push_back({{2, n, 257}, {1}});
    forms.push_back({{2, 5, n}, {0, 2}});
    forms.push_back({{300, n}, {1}});
  }
  return forms;
}

TEST(ReduceOnDevice, FloatsAgree) {
  FUSEE_NEEDS_DEVICE();
  for (std::string_view op :
       {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
        "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"}) {
    for (DType dtype : kFloats) {
      for (int64_t n : {0, 1, 7, 15, 16, 17, 31, 32, 33, 255, 256, 257, 1023, 1024, 1025, 5000}) {
        for (const Form& form : FormsOf(n)) {
          SCOPED_TRACE(::testing::Message()
                       << op << " of " << form.x.ToString() << " " << DTypeName(dtype));
          // Sums whose logarithm is taken stay away from 0.
          const bool log = op == "ReduceLogSum";
          ExpectAgrees(
              Reduction(op, log ? Positive(dtype, form.x) : Random(dtype, form.x), form.axes),
              DeviceRtol(dtype), 0x1p-22 + 0x1p-23 * static_cast<double>(n));
        }
      }
    }
  }
}

TEST(ReduceOnDevice, IntegersAreExact) {
  FUSEE_NEEDS_DEVICE();
  for (std::string_view op : {"ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1",
                              "ReduceSumSquare", "ReduceMean", "ReduceL2"}) {
    for (int64_t n : {0, 1, 15, 16, 33, 257, 1025}) {
      for (DType dtype : {DType::kI32, DType::kI64}) {
        for (const Form& form : FormsOf(n)) {
          SCOPED_TRACE(::testing::Message() << op << " of " << form.x.ToString());
          ExpectAgrees(Reduction(op, Random(dtype, form.x, -9, 9), form.axes), 0, 0);
        }
      }
    }
  }
  for (std::string_view op : {"ReduceMax", "ReduceMin"}) {
    for (DType dtype : {DType::kI8, DType::kU8, DType::kBool})
      ExpectAgrees(Reduction(op, Random(dtype, Shape{3, 77}, 0, 100), {1}), 0, 0);
  }
}

TEST(ReduceOnDevice, LogSumExpOfInfinities) {
  FUSEE_NEEDS_DEVICE();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const std::vector<float>& row : {std::vector<float>{-kInf, -kInf, -kInf},
                                        {kInf, 1, -kInf},
                                        {kInf, kInf, 0},
                                        {NAN, 1, 2},
                                        {1, 2, NAN},
                                        {3e38f, 1, 3e38f}}) {
    for (int64_t copies : {1, 40}) {
      std::vector<float> values;
      for (int64_t i = 0; i < copies; ++i) values.insert(values.end(), row.begin(), row.end());
      const Shape shape{static_cast<int64_t>(values.size())};
      ExpectAgrees(Reduction("ReduceLogSumExp", Tensor::Of<float>(shape, values), {0}), 1e-5, 1e-5);
    }
  }
}

// Bits of a row do not depend on how many rows there are.
TEST(ReduceOnDevice, BatchDoesNotMatter) {
  FUSEE_NEEDS_DEVICE();
  for (const Shape& one : {Shape{1, 33}, Shape{1, 1000}, Shape{1, 5000}, Shape{1, 49, 64}}) {
    Shape many = one;
    many[0] = 9;
    const Tensor all = Random(DType::kF16, many);
    const size_t bytes = all.bytes().size() / 9;
    TensorView view;
    const Tensor last = Tensor::Allocate(DType::kF16, one, &view).value();
    std::memcpy(view.data, all.bytes().data() + 8 * bytes, bytes);
    for (const KernelDef* kernel : TestDevice()->kernels->For("ReduceSum")) {
      const auto a = RunKernel(kernel->id, Reduction("ReduceSum", all, {1}));
      const auto b = RunKernel(kernel->id, Reduction("ReduceSum", last, {1}));
      ASSERT_TRUE(a.ok() && b.ok());
      const auto got = (*b)[0].bytes();
      EXPECT_TRUE(std::ranges::equal(got, (*a)[0].bytes().last(got.size()))) << one.ToString();
    }
  }
}

TEST(ArgOnDevice, Agrees) {
  FUSEE_NEEDS_DEVICE();
  for (std::string_view op : {"ArgMax", "ArgMin"}) {
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI32, DType::kI64,
                        DType::kI8, DType::kU8}) {
      for (int64_t n : {1, 7, 31, 32, 33, 1023, 1024, 1025, 5000}) {
        for (int64_t inner : {1, 3}) {
          for (int64_t last : {0, 1}) {
            SCOPED_TRACE(::testing::Message()
                         << op << " of " << n << " x " << inner << " " << DTypeName(dtype));
            // Integers of ten values: there are many equals.
            ExpectAgrees({.op = op,
                          .attrs = {{"axis", int64_t{1}},
                                    {"keepdims", int64_t{1}},
                                    {"select_last_index", last}},
                          .inputs = {Random(dtype, Shape{9, n, inner})},
                          .outputs = {{DType::kI64, Shape{9, 1, inner}}}},
                         0, 0);
          }
        }
      }
    }
  }
}

KernelCall TopK(Tensor x, int64_t k, bool largest) {
  Shape y = x.shape();
  y[1] = k;
  const DType dtype = x.dtype();
  return {.op = "TopK",
          .attrs = {{"axis", int64_t{1}}, {"largest", int64_t{largest}}},
          .inputs = {std::move(x)},
          .outputs = {{dtype, y}, {DType::kI64, y}},
          .dims = {k}};
}

// A buffer holds 2,048 entries, of which 1,024 are kept; beyond both the workspace sorts.
TEST(TopKOnDevice, Agrees) {
  FUSEE_NEEDS_DEVICE();
  for (DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kI32, DType::kI8, DType::kU8}) {
    for (int64_t n : {1, 7, 255, 256, 257, 2047, 2048, 2049, 5000}) {
      for (int64_t k : {int64_t{0}, int64_t{1}, int64_t{5}, int64_t{1024}, int64_t{1025}, n}) {
        if (k > n) continue;
        for (bool largest : {false, true}) {
          SCOPED_TRACE(::testing::Message() << k << " of " << n << " " << DTypeName(dtype));
          ExpectAgrees(TopK(Random(dtype, Shape{2, n, 3}), k, largest), 0, 0);
        }
      }
    }
  }
}

TEST(TopKOnDevice, NanIsLargestAndZerosAreEqual) {
  FUSEE_NEEDS_DEVICE();
  for (bool largest : {false, true}) {
    ExpectAgrees(
        TopK(Tensor::Of<float>(Shape{1, 8}, {0, -0.0F, NAN, 1, -INFINITY, INFINITY, NAN, 0}), 8,
             largest),
        0, 0);
  }
}

}  // namespace
}  // namespace fusee::ops
