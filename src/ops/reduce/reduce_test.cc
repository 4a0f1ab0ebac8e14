#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ops/kernel_test_util.h"
#include "ops/movement/import_test_util.h"
#include "tensor/random.h"

namespace fusee::ops {
namespace {

constexpr uint64_t kSeed = 7331;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

KernelCall Reduction(std::string_view op, Tensor in, std::vector<int64_t> axes,
                     bool keepdims = false) {
  Shape out;
  for (int i = 0; i < in.shape().rank(); ++i) {
    const bool reduced = std::ranges::count(axes, i) > 0;
    if (!reduced) out.push_back(in.shape()[i]);
    if (reduced && keepdims) out.push_back(1);
  }
  const DType dtype = in.dtype();
  return {.op = op,
          .attrs = {{"axes", std::move(axes)}, {"keepdims", int64_t{keepdims}}},
          .inputs = {std::move(in)},
          .outputs = {{dtype, out}}};
}

template <typename T>
std::vector<T> Compute(std::string_view id, const KernelCall& call) {
  const auto got = RunKernel(id, call);
  EXPECT_TRUE(got.ok()) << id << ": " << got.status().ToString();
  if (!got.ok()) return {};
  return std::vector<T>((*got)[0].as<T>(), (*got)[0].as<T>() + (*got)[0].elements());
}

// Every tactic that takes the call gives these elements as its result 0; at least `tactics` do.
template <typename T>
void ExpectEvery(const KernelCall& call, const std::vector<T>& want, size_t tactics = 1) {
  size_t ran = 0;
  for (const KernelDef* kernel : TacticsUnderTest(call.op)) {
    const auto got = RunKernel(kernel->id, call);
    if (got.status().code() == StatusCode::kUnimplemented) continue;
    ASSERT_TRUE(got.ok()) << kernel->id << ": " << got.status().ToString();
    ++ran;
    const T* data = (*got)[0].as<T>();
    EXPECT_EQ(std::vector<T>(data, data + (*got)[0].elements()), want) << kernel->id;
  }
  EXPECT_GE(ran, tactics);
}

Tensor Random(const Shape& shape) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(DType::kF32, shape, &view).value();
  FillRandom(view, Fill::kUniform, kSeed, 0);
  return tensor;
}

TEST(Reduce, GivesKnownValues) {
  const Tensor x = Tensor::Of<float>({2, 3}, {1, -2, 3, -4, 5, -6});
  const auto rows = [&](std::string_view id, std::string_view op) {
    return Compute<float>(id, Reduction(op, x, {1}));
  };
  using V = std::vector<float>;
  EXPECT_EQ(rows("reduce_sum_ref.1", "ReduceSum"), (V{2, -5}));
  EXPECT_EQ(rows("reduce_mean_ref.1", "ReduceMean"), (V{2.0F / 3, -5.0F / 3}));
  EXPECT_EQ(rows("reduce_max_ref.1", "ReduceMax"), (V{3, 5}));
  EXPECT_EQ(rows("reduce_min_ref.1", "ReduceMin"), (V{-2, -6}));
  EXPECT_EQ(rows("reduce_prod_ref.1", "ReduceProd"), (V{-6, 120}));
  EXPECT_EQ(rows("reduce_l1_ref.1", "ReduceL1"), (V{6, 15}));
  EXPECT_EQ(rows("reduce_sum_square_ref.1", "ReduceSumSquare"), (V{14, 77}));
  EXPECT_EQ(rows("reduce_l2_ref.1", "ReduceL2"), (V{std::sqrt(14.0F), std::sqrt(77.0F)}));
  EXPECT_EQ(Compute<float>("reduce_sum_ref.1", Reduction("ReduceSum", x, {0})), (V{-3, 3, -3}));
  EXPECT_EQ(Compute<float>("reduce_sum_ref.1", Reduction("ReduceSum", x, {0, 1}, true)), (V{-3}));
  EXPECT_EQ(Compute<float>("reduce_l1_ref.1", Reduction("ReduceL1", x, {})), (V{1, 2, 3, 4, 5, 6}));
}

TEST(Reduce, TakesLogarithmsWithoutOverflow) {
  const Tensor x = Tensor::Of<float>({3}, {1000, 1000, -kInfinity});
  EXPECT_NEAR(Compute<float>("reduce_log_sum_exp_ref.1", Reduction("ReduceLogSumExp", x, {0}))[0],
              1000 + std::log(2.0), 1e-4);
  const Tensor y = Tensor::Of<float>({2}, {1, 1});
  EXPECT_FLOAT_EQ(Compute<float>("reduce_log_sum_ref.1", Reduction("ReduceLogSum", y, {0}))[0],
                  std::log(2.0F));
}

TEST(Reduce, OfNothingIsTheNeutralElement) {
  const Tensor x = Tensor::Of<float>({2, 0}, std::initializer_list<float>{});
  for (const auto& [op, want, tactics] :
       std::vector<std::tuple<std::string_view, float, size_t>>{{"ReduceSum", 0.0F, 2},
                                                                {"ReduceProd", 1.0F, 1},
                                                                {"ReduceMax", -kInfinity, 2},
                                                                {"ReduceMin", kInfinity, 2},
                                                                {"ReduceLogSumExp", -kInfinity, 1},
                                                                {"ReduceLogSum", -kInfinity, 1},
                                                                {"ReduceL2", 0.0F, 2}}) {
    SCOPED_TRACE(op);
    ExpectEvery<float>(Reduction(op, x, {1}), {want, want}, tactics);
  }
  ExpectEvery<float>(Reduction("ReduceSum", x, {0}), {}, 2);
  ExpectEvery<int8_t>(
      Reduction("ReduceMax", Tensor::Of<int8_t>({0}, std::initializer_list<int8_t>{}), {0}),
      {-128});
}

TEST(Reduce, LetsNaNThrough) {
  for (int64_t at : {0, 1, 40}) {
    std::vector<float> values(41, 1.0F);
    values[static_cast<size_t>(at)] = kNaN;
    const Tensor x = Tensor::Of<float>({41}, values);
    for (std::string_view op : {"ReduceMax", "ReduceMin"}) {
      for (const KernelDef* kernel : TacticsUnderTest(op))
        EXPECT_TRUE(std::isnan(Compute<float>(kernel->id, Reduction(op, x, {0}))[0])) << kernel->id;
    }
  }
}

TEST(Reduce, IsExactForIntegersAndBool) {
  const int64_t big = (int64_t{1} << 53) + 1;  // no double holds it
  ExpectEvery<int64_t>(Reduction("ReduceSum", Tensor::Of<int64_t>({2}, {big, 2}), {0}), {big + 2});
  ExpectEvery<int32_t>(Reduction("ReduceMean", Tensor::Of<int32_t>({2}, {-3, -4}), {0}), {-3});
  ExpectEvery<uint8_t>(Reduction("ReduceSum", Tensor::Of<uint8_t>({2}, {200, 100}), {0}), {44});
  ExpectEvery<bool>(Reduction("ReduceMax", Tensor::Of<bool>({2}, {false, true}), {0}), {true});
  ExpectEvery<bool>(Reduction("ReduceMin", Tensor::Of<bool>({2}, {false, true}), {0}), {false});
  for (const KernelDef* kernel : TacticsUnderTest("ReduceSum")) {
    EXPECT_FALSE(
        RunKernel(kernel->id, Reduction("ReduceSum", Tensor::Of<bool>({1}, {true}), {0})).ok());
  }
}

// kLanes is 32, kColumns 64, kChunk 1024. The bound is that of an addition chain of n terms
// below 1.
TEST(ReduceCpu, MatchesTheReferenceAroundLaneAndColumnEdges) {
  for (std::string_view op :
       {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSumSquare", "ReduceL2"}) {
    for (int64_t n : {1, 31, 32, 33, 63, 64, 65, 129, 1023, 1025}) {
      for (const auto& [shape, axes] :
           std::vector<std::pair<Shape, std::vector<int64_t>>>{{{n}, {0}},
                                                               {{3, n}, {1}},
                                                               {{n, 63}, {0}},
                                                               {{n, 64}, {0}},
                                                               {{2, n, 65}, {1}},
                                                               {{2, 3, n, 2}, {2, 3}},
                                                               {{2, n, 3}, {}}}) {
        const auto ran = CompareTactics(Reduction(op, Random(shape), axes), 1e-5,
                                        0x1p-23 * static_cast<double>(n));
        ASSERT_TRUE(ran.ok()) << op << shape.ToString() << " seed " << kSeed << ": "
                              << ran.status().ToString();
        EXPECT_EQ(ran->size(), TacticsUnderTest(op).size());
      }
    }
  }
}

// Row by row, as ONNX Runtime adds: models that cancel are validated against that rounding.
TEST(ReduceCpu, AddsDownTheColumnsInOrder) {
  constexpr int64_t kRows = 512, kColumns = 70;
  const Tensor x = Random({kRows, kColumns});
  std::vector<float> want(kColumns, 0.0f);
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kColumns; ++c)
      want[static_cast<size_t>(c)] += x.as<float>()[r * kColumns + c];
  }
  const auto got = RunKernel("reduce_sum_f32_cpu.2", Reduction("ReduceSum", x, {0}));
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  for (int64_t c = 0; c < kColumns; ++c)
    EXPECT_EQ((*got)[0].as<float>()[c], want[static_cast<size_t>(c)]) << "column " << c;
}

TEST(ReduceCpu, RefusesAxesApart) {
  EXPECT_EQ(RunKernel("reduce_sum_f32_cpu.2", Reduction("ReduceSum", Random({2, 3, 4}), {0, 2}))
                .status()
                .code(),
            StatusCode::kUnimplemented);
  KernelCall wrong = Reduction("ReduceSum", Random({2, 3}), {1});
  wrong.outputs[0].second = {3};
  for (const KernelDef* kernel : TacticsUnderTest("ReduceSum"))
    EXPECT_FALSE(RunKernel(kernel->id, wrong).ok()) << kernel->id;
}

KernelCall Arg(std::string_view op, Tensor in, int64_t axis, Shape out, bool last = false) {
  return {.op = op,
          .attrs = {{"axis", axis}, {"keepdims", int64_t{0}}, {"select_last_index", int64_t{last}}},
          .inputs = {std::move(in)},
          .outputs = {{DType::kI64, out}}};
}

TEST(ArgMax, PicksFirstOrLast) {
  const Tensor x = Tensor::Of<float>({2, 4}, {1, 3, 3, 0, -1, -1, -2, -2});
  using V = std::vector<int64_t>;
  ExpectEvery(Arg("ArgMax", x, 1, {2}), V{1, 0});
  ExpectEvery(Arg("ArgMax", x, 1, {2}, true), V{2, 1});
  ExpectEvery(Arg("ArgMin", x, 1, {2}, true), V{3, 3});
  ExpectEvery(Arg("ArgMax", x, 0, {4}), V{0, 0, 0, 0});
  ExpectEvery(Arg("ArgMax", Tensor::Of<float>({3}, {1, kNaN, 2}), 0, {}), V{1});
  ExpectEvery(Arg("ArgMax", Tensor::Of<uint64_t>({2}, {UINT64_MAX - 1, UINT64_MAX}), 0, {}), V{1});
  const Tensor none = Tensor::Of<float>({2, 0}, std::initializer_list<float>{});
  for (const KernelDef* kernel : TacticsUnderTest("ArgMax"))
    EXPECT_FALSE(RunKernel(kernel->id, Arg("ArgMax", none, 1, {2})).ok()) << kernel->id;
}

TEST(TopK, OrdersAndBreaksTiesByPosition) {
  KernelCall call = {.op = "TopK",
                     .attrs = {{"axis", int64_t{0}}, {"largest", int64_t{1}}},
                     .inputs = {Tensor::Of<int32_t>({5, 1}, {3, 5, 1, 5, 4})},
                     .outputs = {{DType::kI32, {3, 1}}, {DType::kI64, {3, 1}}},
                     .dims = {3}};
  for (const KernelDef* kernel : TacticsUnderTest("TopK")) {
    call.dims = {3};
    const auto got = RunKernel(kernel->id, call);
    ASSERT_TRUE(got.ok()) << got.status().ToString();
    EXPECT_TRUE(
        std::ranges::equal(std::span((*got)[0].as<int32_t>(), 3), std::vector<int32_t>{5, 5, 4}));
    EXPECT_TRUE(
        std::ranges::equal(std::span((*got)[1].as<int64_t>(), 3), std::vector<int64_t>{1, 3, 4}));
    call.dims = {6};
    EXPECT_FALSE(RunKernel(kernel->id, call).ok());
  }
}

TEST(ReduceDef, ReadsAxesFromAttributeOperandOrNowhere) {
  ImportHarness h;
  using H = ImportHarness;
  const ir::ValueId x = h.Input("x", DType::kF32, {h.Symbol("n", 1, 8), 3, 4});
  EXPECT_EQ(
      h.Shape(h.Import("ReduceMean", 13, {x}, H::Attrs(H::Attr("axes", std::vector<int64_t>{-1})))),
      "[n,3,1]");
  EXPECT_EQ(
      h.Shape(h.Import("ReduceMean", 18, {x, h.Ints({1, -1})}, H::Attrs(H::Attr("keepdims", 0)))),
      "[n]");
  EXPECT_EQ(h.Shape(h.Import("ReduceSum", 13, {x})), "[1,1,1]");
  EXPECT_EQ(h.Shape(h.Import("ReduceSum", 13, {x}, H::Attrs(H::Attr("noop_with_empty_axes", 1)))),
            "[n,3,4]");
  EXPECT_FALSE(h.TryImport("ReduceSum", 13, {x, h.Ints({0, -3})}).ok());
  const auto data = h.Input("axes", DType::kI64, {1});
  EXPECT_EQ(h.TryImport("ReduceSum", 13, {x, data}).status().code(), StatusCode::kUnimplemented);
}

TEST(ReduceDef, TracksFoldedShapes) {
  ImportHarness h;
  using H = ImportHarness;
  const ir::ValueId shape =
      h.Import("Shape", 13, {h.Input("x", DType::kF32, {h.Symbol("n", 1, 8), 3, 4})});
  const auto scalar = [] { return H::Attrs(H::Attr("keepdims", 0)); };
  EXPECT_EQ(h.Elements(h.Import("ReduceProd", 13, {shape}, scalar())), "{12*n}");
  EXPECT_EQ(h.Elements(h.Import("ReduceSum", 13, {shape}, scalar())), "{n + 7}");
  EXPECT_EQ(h.Elements(h.Import("ReduceMax", 13, {shape})), "{max(4, n)}");
}

}  // namespace
}  // namespace fusee::ops
