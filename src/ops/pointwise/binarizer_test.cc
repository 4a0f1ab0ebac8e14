// Binarizer as a comparison, at the ends of its types.
#include <cmath>
#include <limits>

#include "ops/movement/evaluate_test_util.h"
#include "ops/movement/import_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

// Which elements are above the threshold; each result must be exactly 0 or 1.
template <typename T>
std::vector<int> Above(DType dtype, const std::vector<T>& values, float threshold) {
  H h;
  h.domain = "ai.onnx.ml";
  const Shape shape{static_cast<int64_t>(values.size())};
  const ir::ValueId x = h.Input("x", dtype, {shape[0]});
  const ir::ValueId y = h.Import("Binarizer", 1, {x}, H::Attrs(H::Attr("threshold", threshold)));
  const auto got = EvaluateGraph(h.graph, {{x, Tensor::Of<T>(shape, values)}}, {y});
  EXPECT_TRUE(got.ok()) << got.status().ToString();
  if (!got.ok()) return {};
  EXPECT_EQ((*got)[0].dtype(), dtype);
  std::vector<int> above;
  for (int64_t i = 0; i < shape[0]; ++i) {
    const double bit = DoubleAt((*got)[0].view(), i);
    EXPECT_TRUE(bit == 0 || bit == 1);
    above.push_back(static_cast<int>(bit));
  }
  return above;
}

TEST(Binarizer, ComparesFloats) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Above<float>(DType::kF32, {-1, 0.5F, 0.75F, inf, std::nanf("")}, 0.5F),
            (std::vector<int>{0, 0, 1, 1, 0}));
  EXPECT_EQ(Above<double>(DType::kF64, {0.5, 0.5 + 1e-15}, 0.5F), (std::vector<int>{0, 1}));
  EXPECT_EQ(Above<float>(DType::kF32, {}, 0.5F), std::vector<int>());
}

template <typename T>
void ExpectExact(DType dtype) {
  using Limits = std::numeric_limits<T>;
  const std::vector<T> values = {Limits::min(), -3, -2, 0, 1, 2, Limits::max() - 1, Limits::max()};
  const float inf = std::numeric_limits<float>::infinity();
  for (const float threshold :
       {0.0F, 1.0F, 1.5F, -2.0F, -2.5F, -0.25F, 3e9F, -3e9F, 1e19F, -1e19F, inf, -inf,
        std::ldexp(1.0F, Limits::digits), -std::ldexp(1.0F, Limits::digits)}) {
    std::vector<int> want;
    for (const T v : values) want.push_back(static_cast<long double>(v) > threshold ? 1 : 0);
    EXPECT_EQ(Above<T>(dtype, values, threshold), want) << threshold;
  }
  EXPECT_EQ(Above<T>(dtype, values, std::nanf("")), std::vector<int>(values.size()));
}

TEST(Binarizer, ComparesIntegersExactly) {
  ExpectExact<int32_t>(DType::kI32);
  ExpectExact<int64_t>(DType::kI64);
}

TEST(Binarizer, RefusesOtherTypes) {
  H h;
  h.domain = "ai.onnx.ml";
  EXPECT_EQ(h.TryImport("Binarizer", 1, {h.Input("b", DType::kBool, {2})}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(h.TryImport("Binarizer", 1, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(h.Shape(h.Import("Binarizer", 1, {h.Input("f", DType::kF32, {2, 0})})), "[2,0]");
}

}  // namespace
}  // namespace fusee::ops
