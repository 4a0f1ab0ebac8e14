// Det: inference, import, and the kernel on matrices whose determinants are known.
#include <cmath>

#include "ops/kernel_test_util.h"
#include "ops/movement/import_test_util.h"
#include "tensor/random.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

TEST(DetDef, DropsTheMatrix) {
  H h;
  const ir::Dim n = h.Symbol("n", 1, 8), m = h.Symbol("m", 1, 8);
  for (const int opset : {11, 22}) {
    EXPECT_EQ(h.Shape(h.Import("Det", opset, {h.Input("a", DType::kF32, {3, 3})})), "[]");
    EXPECT_EQ(h.Shape(h.Import("Det", opset, {h.Input("b", DType::kF16, {n, 4, m, m})})), "[n,4]");
  }
  EXPECT_TRUE(h.graph.constraints().empty());
  EXPECT_EQ(h.Shape(h.Import("Det", 11, {h.Input("c", DType::kF32, {n, m})})), "[]");
  EXPECT_EQ(h.graph.constraints().size(), 1U);
  const auto code = [&](DType dtype, ir::SymShape shape) {
    return h.TryImport("Det", 11, {h.Input(h.graph.FreshName("x"), dtype, std::move(shape))})
        .status()
        .code();
  };
  EXPECT_EQ(code(DType::kF32, {2, 3}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(DType::kF32, {3}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(DType::kI32, {3, 3}), StatusCode::kInvalidArgument);
}

Tensor Values(DType dtype, const Shape& shape, const std::vector<double>& values) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  for (size_t i = 0; i < values.size(); ++i) StoreDouble(view, static_cast<int64_t>(i), values[i]);
  return tensor;
}

std::vector<double> Det(const Tensor& matrices) {
  Shape out = matrices.shape();
  out.set_rank(out.rank() - 2);
  const auto got = RunKernel(
      "det_ref.1",
      {.op = "Det", .attrs = {}, .inputs = {matrices}, .outputs = {{matrices.dtype(), out}}});
  EXPECT_TRUE(got.ok()) << got.status().ToString();
  std::vector<double> values;
  for (int64_t i = 0; got.ok() && i < (*got)[0].elements(); ++i)
    values.push_back(DoubleAt((*got)[0].view(), i));
  return values;
}

TEST(Det, KnowsSmallMatricesInEveryType) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    EXPECT_EQ(Det(Values(dtype, {3, 2, 2}, {1, 2, 3, 4, 0, 1, 1, 0, 2, 4, 1, 2})),
              (std::vector<double>{-2, -1, 0}))
        << DTypeName(dtype);
    EXPECT_EQ(Det(Values(dtype, {1, 1}, {7})), (std::vector<double>{7}));
    EXPECT_EQ(Det(Values(dtype, {2, 0, 0}, {})), (std::vector<double>{1, 1}));
    EXPECT_EQ(Det(Values(dtype, {0, 2, 2}, {})), (std::vector<double>{}));
  }
}

TEST(Det, IsTheProductOfTriangularFactors) {
  // L has ones on its diagonal, U the numbers 1, -2, 3, ...; rows are turned round.
  const int64_t n = 9;
  std::vector<double> lower(static_cast<size_t>(n * n)), upper(lower), product(lower);
  double want = 1;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const auto at = static_cast<size_t>(i * n + j);
      const double u = RandomUniform(3, 0, at) - 0.5;
      if (i == j) {
        lower[at] = 1;
        upper[at] = static_cast<double>(i % 2 == 0 ? i + 1 : -i - 1);
        want *= upper[at];
      } else {
        (i > j ? lower : upper)[at] = u;
      }
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t k = 0; k < n; ++k) {
        product[static_cast<size_t>((n - 1 - i) * n + j)] +=
            lower[static_cast<size_t>(i * n + k)] * upper[static_cast<size_t>(k * n + j)];
      }
    }
  }
  // Turning nine rows round is four swaps.
  EXPECT_NEAR(Det(Values(DType::kF64, {n, n}, product))[0], want, 1e-9 * std::abs(want));
}

TEST(Det, GivesNoNumberForOne) {
  EXPECT_TRUE(std::isnan(Det(Values(DType::kF32, {2, 2}, {std::nan(""), 1, 1, 1}))[0]));
}

TEST(Det, RefusesWhatIsNotSquare) {
  const KernelCall call = {.op = "Det",
                           .attrs = {},
                           .inputs = {Values(DType::kF32, {2, 3}, {1, 2, 3, 4, 5, 6})},
                           .outputs = {{DType::kF32, {}}}};
  EXPECT_EQ(RunKernel("det_ref.1", call).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee::ops
