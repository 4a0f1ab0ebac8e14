// Shrink of integers as Shrink between casts.
#include "ops/movement/evaluate_test_util.h"
#include "ops/movement/import_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

std::vector<int64_t> Shrink(DType dtype, const std::vector<int64_t>& values, float lambd,
                            float bias) {
  H h;
  TensorView view;
  const Shape shape{static_cast<int64_t>(values.size())};
  const Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  for (int64_t i = 0; i < shape[0]; ++i) StoreInt(view, i, values[static_cast<size_t>(i)]);
  const ir::ValueId x = h.Input("x", dtype, {shape[0]});
  const ir::ValueId y =
      h.Import("Shrink", 9, {x}, H::Attrs(H::Attr("lambd", lambd), H::Attr("bias", bias)));
  const auto got = EvaluateGraph(h.graph, {{x, tensor}}, {y});
  EXPECT_TRUE(got.ok()) << got.status().ToString();
  if (!got.ok()) return {};
  EXPECT_EQ((*got)[0].dtype(), dtype);
  std::vector<int64_t> result;
  for (int64_t i = 0; i < shape[0]; ++i) result.push_back(IntAt((*got)[0].view(), i));
  return result;
}

TEST(Shrink, TakesIntegers) {
  using V = std::vector<int64_t>;
  for (const DType dtype : {DType::kI8, DType::kI16, DType::kI32}) {
    EXPECT_EQ(Shrink(dtype, {-3, -2, -1, 0, 1, 2, 3}, 1.5F, 0), (V{-3, -2, 0, 0, 0, 2, 3}));
    EXPECT_EQ(Shrink(dtype, {-3, -2, -1, 0, 1, 2, 3}, 1.5F, 1.5F), (V{-1, 0, 0, 0, 0, 0, 1}));
  }
  for (const DType dtype : {DType::kU8, DType::kU16, DType::kU32})
    EXPECT_EQ(Shrink(dtype, {0, 1, 2, 200}, 1.0F, 1.5F), (V{0, 0, 0, 198}));
  EXPECT_EQ(Shrink(DType::kI32, {INT32_MIN, INT32_MAX}, 1.0F, 0), (V{INT32_MIN, INT32_MAX}));
  EXPECT_EQ(Shrink(DType::kI32, {}, 1.0F, 0), V());
}

TEST(Shrink, RefusesIntegersThatItWouldRound) {
  H h;
  for (const DType dtype : {DType::kI64, DType::kU64}) {
    EXPECT_EQ(
        h.TryImport("Shrink", 9, {h.Input(h.graph.FreshName("x"), dtype, {2})}).status().code(),
        StatusCode::kUnimplemented);
  }
  EXPECT_FALSE(h.TryImport("Shrink", 9, {h.Input("b", DType::kBool, {2})}).ok());
  EXPECT_FALSE(h.TryImport("Shrink", 9, {}).ok());
}

}  // namespace
}  // namespace fusee::ops
