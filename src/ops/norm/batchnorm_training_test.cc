// BatchNormalization in training: the spelled graph against statistics computed here in double.
#include <cmath>

#include "ops/movement/evaluate_test_util.h"
#include "ops/movement/import_test_util.h"
#include "ops/nn/test_support.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

struct Case {
  DType x, running;
  Shape shape;
  double tolerance;
};

Tensor Offset(DType dtype, const Shape& shape, uint64_t stream, double by) {
  const Tensor from = RandomTensor(DType::kF32, shape, stream);
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  for (int64_t i = 0; i < view.elements(); ++i) StoreDouble(view, i, DoubleAt(from.view(), i) + by);
  return tensor;
}

void ExpectTrained(const Case& c) {
  H h;
  const int64_t channels = c.shape[1], plane = c.shape.elements(2, c.shape.rank());
  const ir::SymShape per_channel = {channels};
  ir::SymShape shape;
  for (int i = 0; i < c.shape.rank(); ++i) shape.emplace_back(c.shape[i]);
  const std::vector<ir::ValueId> in = {
      h.Input("x", c.x, shape), h.Input("scale", c.x, per_channel), h.Input("b", c.x, per_channel),
      h.Input("mean", c.running, per_channel), h.Input("var", c.running, per_channel)};
  const auto out =
      h.TryImport("BatchNormalization", 15, in,
                  H::Attrs(H::Attr("training_mode", 1), H::Attr("momentum", 0.75F)), 3);
  ASSERT_TRUE(out.ok()) << out.status().ToString();
  std::map<ir::ValueId, Tensor> known;
  for (size_t i = 0; i < in.size(); ++i) {
    const bool is_x = i == 0;
    known[in[i]] =
        Offset(i < 3 ? c.x : c.running, is_x ? c.shape : Shape{channels}, i, is_x ? 100 : 2);
  }
  const auto got = EvaluateGraph(h.graph, known, *out);
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  const auto at = [&](size_t operand, int64_t i) { return DoubleAt(known[in[operand]].view(), i); };
  const auto near = [&](const Tensor& tensor, int64_t i, double want) {
    if (std::isnan(want)) {  // the mean of nothing
      EXPECT_TRUE(std::isnan(DoubleAt(tensor.view(), i)));
      return;
    }
    EXPECT_NEAR(DoubleAt(tensor.view(), i), want, c.tolerance * (1 + std::fabs(want)))
        << DTypeName(c.x) << " " << c.shape.ToString() << ", element " << i << ", seed "
        << kTestSeed;
  };
  for (int64_t m = 0; m < channels; ++m) {
    double mean = 0, var = 0;
    const int64_t count = c.shape[0] * plane;
    const auto index = [&](int64_t k) { return (k / plane * channels + m) * plane + k % plane; };
    for (int64_t k = 0; k < count; ++k) mean += at(0, index(k));
    mean /= static_cast<double>(count);
    for (int64_t k = 0; k < count; ++k) var += std::pow(at(0, index(k)) - mean, 2);
    var /= static_cast<double>(count);
    for (int64_t k = 0; k < count; ++k) {
      near((*got)[0], index(k),
           (at(0, index(k)) - mean) / std::sqrt(var + 1e-5) * at(1, m) + at(2, m));
    }
    near((*got)[1], m, at(3, m) * 0.75 + mean * 0.25);
    near((*got)[2], m, at(4, m) * 0.75 + var * 0.25);
  }
}

TEST(BatchNormalizationTraining, NormalisesByTheBatch) {
  for (const Shape& shape : {Shape{1, 1}, Shape{7, 3}, Shape{2, 1, 5}, Shape{3, 4, 2, 3},
                             Shape{2, 2, 1, 3, 2}, Shape{2, 3, 0}}) {
    ExpectTrained({DType::kF32, DType::kF32, shape, 2e-3});
    ExpectTrained({DType::kF64, DType::kF64, shape, 1e-9});
    ExpectTrained({DType::kF16, DType::kF32, shape, 2e-3});
    ExpectTrained({DType::kBF16, DType::kBF16, shape, 2e-2});
  }
}

}  // namespace
}  // namespace fusee::ops
