// TreeEnsemble: inference, import, the kernel against a recursive walk over made-up trees, and
// attributes that are no trees.
#include <cmath>
#include <functional>
#include <limits>

#include "ops/kernel_test_util.h"
#include "ops/movement/import_test_util.h"
#include "ops/number_stream_test_util.h"
#include "ops/reduce/tree_ensemble.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;
using Ints = std::vector<int64_t>;
using Doubles = std::vector<double>;
constexpr uint64_t kSeed = 977;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// x0 <= 2 ? (x1 in {1, 5} ? leaf 0 : leaf 1) : leaf 2; then the inner comparison again.
Attrs Trees(const char* aggregate, int64_t targets = 2) {
  return {{"aggregate", std::string(aggregate)},
          {"n_targets", targets},
          {"tree_roots", Ints{0, 1}},
          {"nodes_featureids", Ints{0, 1}},
          {"nodes_modes", Ints{0, 6}},
          {"nodes_splits", Doubles{2, 0}},
          {"nodes_truenodeids", Ints{1, 0}},
          {"nodes_trueleafs", Ints{0, 1}},
          {"nodes_falsenodeids", Ints{2, 1}},
          {"nodes_falseleafs", Ints{1, 1}},
          {"leaf_targetids", targets == 1 ? Ints{0, 0, 0} : Ints{0, 1, 1}},
          {"leaf_weights", Doubles{1, 10, 100}},
          {"membership_sizes", Ints{2}},
          {"membership_values", Doubles{1, 5}}};
}

Attrs With(Attrs attrs, const char* name, AttrValue value) {
  attrs.Set(name, std::move(value));
  return attrs;
}

Tensor Rows(DType dtype, const Shape& shape, const std::vector<float>& values) {
  TensorView view;
  Tensor tensor = Tensor::Allocate(dtype, shape, &view).value();
  EXPECT_EQ(view.elements(), static_cast<int64_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i)
    StoreDouble(view, static_cast<int64_t>(i), static_cast<double>(values[i]));
  return tensor;
}

KernelCall Walk(const Attrs& trees, const Tensor& rows, int64_t targets = 2) {
  return {.op = "TreeEnsemble",
          .attrs = trees,
          .inputs = {rows},
          .outputs = {{rows.dtype(), {rows.shape()[0], targets}}}};
}

Doubles Results(const KernelCall& call) {
  const auto got = RunKernel("tree_ensemble_ref.1", call);
  EXPECT_TRUE(got.ok()) << got.status().ToString();
  Doubles values;
  for (int64_t i = 0; got.ok() && i < (*got)[0].elements(); ++i)
    values.push_back(DoubleAt((*got)[0].view(), i));
  return values;
}

onnx::Attribute TensorAttr(const char* name, Tensor tensor) {
  onnx::Attribute a;
  a.name = name;
  a.type = onnx::AttrType::kTensor;
  a.tensors.emplace_back().tensor = std::move(tensor);
  return a;
}

// The same trees as ONNX writes them; more than one attribute of a name would not be read.
std::vector<onnx::Attribute> OnnxTrees(const Tensor& members, int64_t transform = 0,
                                       int64_t aggregate = 1) {
  return H::Attrs(H::Attr("n_targets", 2), H::Attr("post_transform", transform),
                  H::Attr("aggregate_function", aggregate), H::Attr("tree_roots", Ints{0, 1}),
                  H::Attr("nodes_featureids", Ints{0, 1}), H::Attr("nodes_truenodeids", Ints{1, 0}),
                  H::Attr("nodes_trueleafs", Ints{0, 1}), H::Attr("nodes_falsenodeids", Ints{2, 1}),
                  H::Attr("nodes_falseleafs", Ints{1, 1}), H::Attr("leaf_targetids", Ints{0, 1, 1}),
                  TensorAttr("nodes_modes", Tensor::Of<uint8_t>(Shape{2}, {0, 6})),
                  TensorAttr("nodes_splits", Tensor::Of<float>(Shape{2}, {2, kNaN})),
                  TensorAttr("leaf_weights", Tensor::Of<float>(Shape{3}, {1, 10, 100})),
                  TensorAttr("membership_values", members));
}

TEST(TreeEnsembleDef, ReadsTheTrees) {
  for (const std::vector<float>& members :
       {std::vector<float>{1, 5, kNaN}, std::vector<float>{1, 5}}) {
    H h;
    h.domain = "ai.onnx.ml";
    const ir::Dim n = h.Symbol("n", 0, 8), f = h.Symbol("f", 1, 9);
    const ir::ValueId y =
        h.Import("TreeEnsemble", 5, {h.Input("x", DType::kF32, {n, f})},
                 OnnxTrees(Tensor::Of<float>({static_cast<int64_t>(members.size())}, members)));
    EXPECT_EQ(h.Shape(y), "[n,2]");
    EXPECT_EQ(h.graph.node(h.graph.order().back()).attrs, Trees("SUM"));
  }
}

TEST(TreeEnsembleDef, RefusesWhatItDoesNotTake) {
  H h;
  h.domain = "ai.onnx.ml";
  const Tensor members = Tensor::Of<float>(Shape{2}, {1, 5});
  const auto code = [&](DType dtype, ir::SymShape shape, std::vector<onnx::Attribute> attrs) {
    return h
        .TryImport("TreeEnsemble", 5, {h.Input(h.graph.FreshName("x"), dtype, std::move(shape))},
                   std::move(attrs))
        .status()
        .code();
  };
  EXPECT_EQ(code(DType::kF32, {3, 2}, OnnxTrees(members)), StatusCode::kOk);
  EXPECT_EQ(code(DType::kF64, {3, 2}, OnnxTrees(members)), StatusCode::kInvalidArgument)
      << "the thresholds are f32";
  EXPECT_EQ(code(DType::kI64, {3, 2}, OnnxTrees(members)), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(DType::kF32, {3, 1}, OnnxTrees(members)), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(DType::kF32, {3}, OnnxTrees(members)), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(DType::kF32, {3, 2}, {}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(DType::kF32, {3, 2}, OnnxTrees(Tensor::Of<float>(Shape{3}, {1, kNaN, 5}))),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code(DType::kF32, {3, 2}, OnnxTrees(Tensor::Of<double>(Shape{2}, {1, 5}))),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code(DType::kF32, {3, 2}, OnnxTrees(members, 2)), StatusCode::kUnimplemented);
  EXPECT_EQ(code(DType::kF32, {3, 2}, OnnxTrees(members, 0, 3)), StatusCode::kUnimplemented);
  EXPECT_EQ(code(DType::kF32, {3, 2}, OnnxTrees(members, 0, 4)), StatusCode::kInvalidArgument);
  EXPECT_FALSE(h.TryImport("TreeEnsemble", 5, {}, OnnxTrees(members)).ok());
  EXPECT_EQ(FindImportRule("ai.onnx.ml", "TreeEnsemble", 4), nullptr);
}

TEST(TreeEnsemble, AddsUpLeavesInEveryType) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    const Tensor x = Rows(dtype, {5, 2}, {2, 5, 1, 4, 3, 1, kNaN, 7, 2, kNaN});
    EXPECT_EQ(Results(Walk(Trees("SUM"), x)), (Doubles{2, 0, 0, 20, 1, 100, 0, 110, 0, 20}));
    EXPECT_EQ(Results(Walk(Trees("AVERAGE"), x)), (Doubles{1, 0, 0, 10, 0.5, 50, 0, 55, 0, 10}));
    EXPECT_EQ(Results(Walk(Trees("MIN", 1), x, 1)), (Doubles{1, 10, 1, 10, 10}));
    EXPECT_EQ(Results(Walk(Trees("MAX", 1), x, 1)), (Doubles{1, 10, 100, 100, 10}));
    EXPECT_EQ(Results(Walk(Trees("SUM"), Rows(dtype, {0, 2}, {}))), Doubles());
    EXPECT_EQ(Results(Walk(Trees("SUM"), Rows(dtype, {1, 3}, {2, 5, 9}))), (Doubles{2, 0}));
  }
}

TEST(TreeEnsemble, ComparesInEveryMode) {
  const Tensor x = Rows(DType::kF32, {4, 1}, {1, 2, 3, kNaN});
  const Doubles want[] = {{1, 1, 0, 0}, {1, 0, 0, 0}, {0, 1, 1, 0}, {0, 0, 1, 0},
                          {0, 1, 0, 0}, {1, 0, 1, 1}, {0, 0, 1, 0}};
  for (int64_t mode = 0; mode < 7; ++mode) {
    for (const int64_t missing : {0, 1}) {
      const Attrs one = {{"aggregate", std::string("SUM")},
                         {"n_targets", int64_t{1}},
                         {"tree_roots", Ints{0}},
                         {"nodes_featureids", Ints{0}},
                         {"nodes_modes", Ints{mode}},
                         {"nodes_splits", Doubles{2}},
                         {"nodes_truenodeids", Ints{0}},
                         {"nodes_trueleafs", Ints{1}},
                         {"nodes_falsenodeids", Ints{1}},
                         {"nodes_falseleafs", Ints{1}},
                         {"nodes_missing_value_tracks_true", Ints{missing}},
                         {"leaf_targetids", Ints{0, 0}},
                         {"leaf_weights", Doubles{1, 0}},
                         {"membership_sizes", mode == 6 ? Ints{1} : Ints{}},
                         {"membership_values", mode == 6 ? Doubles{3} : Doubles{}}};
      Doubles expected = want[mode];
      if (missing != 0) expected[3] = 1;
      EXPECT_EQ(Results(Walk(one, x, 1)), expected) << "mode " << mode;
    }
  }
}

// Trees whose inner nodes lead only to later ones, walked recursively here.
TEST(TreeEnsemble, FollowsMadeUpTrees) {
  for (uint64_t stream = 1; stream <= 20; ++stream) {
    NumberStream draw(kSeed, stream);
    const int64_t nodes = draw(1, 40), leaves = draw(1, 20), features = 3, targets = draw(1, 4);
    Ints roots, feature, modes, to[2], leafs[2], target;
    Doubles splits, weights;
    for (int64_t i = 0; i < nodes; ++i) {
      feature.push_back(draw(0, features - 1));
      modes.push_back(draw(0, 5));
      splits.push_back(static_cast<double>(draw(-2, 2)));
      for (int side = 0; side < 2; ++side) {
        const bool is_leaf = i + 1 == nodes || draw(0, 2) == 0;
        leafs[side].push_back(is_leaf ? 1 : 0);
        to[side].push_back(is_leaf ? draw(0, leaves - 1) : draw(i + 1, nodes - 1));
      }
    }
    for (int64_t i = 0; i < leaves; ++i) {
      target.push_back(draw(0, targets - 1));
      weights.push_back(static_cast<double>(draw(-9, 9)));
    }
    for (int64_t i = draw(1, 5); i > 0; --i) roots.push_back(draw(0, nodes - 1));
    const Attrs trees = {{"aggregate", std::string("SUM")},
                         {"n_targets", targets},
                         {"tree_roots", roots},
                         {"nodes_featureids", feature},
                         {"nodes_modes", modes},
                         {"nodes_splits", splits},
                         {"nodes_truenodeids", to[1]},
                         {"nodes_trueleafs", leafs[1]},
                         {"nodes_falsenodeids", to[0]},
                         {"nodes_falseleafs", leafs[0]},
                         {"leaf_targetids", target},
                         {"leaf_weights", weights}};
    const int64_t rows = 9;
    std::vector<float> x;
    for (int64_t i = 0; i < rows * features; ++i) x.push_back(static_cast<float>(draw(-3, 3)));
    Doubles want(static_cast<size_t>(rows * targets));
    for (int64_t row = 0; row < rows; ++row) {
      const std::function<size_t(size_t)> leaf_of = [&](size_t i) -> size_t {
        const double v = static_cast<double>(x[static_cast<size_t>(row * features + feature[i])]);
        const bool holds[] = {v <= splits[i], v<splits[i], v >= splits[i], v> splits[i],
                              v == splits[i], v != splits[i]};
        const int side = holds[modes[i]] ? 1 : 0;
        const auto next = static_cast<size_t>(to[side][i]);
        return leafs[side][i] != 0 ? next : leaf_of(next);
      };
      for (const int64_t root : roots) {
        const size_t leaf = leaf_of(static_cast<size_t>(root));
        want[static_cast<size_t>(row * targets + target[leaf])] += weights[leaf];
      }
    }
    EXPECT_EQ(Results(Walk(trees, Rows(DType::kF32, {rows, features}, x), targets)), want)
        << "seed " << kSeed << ", stream " << stream;
  }
}

TEST(TreeEnsemble, RefusesAttributesThatAreNoTrees) {
  const Tensor x = Rows(DType::kF32, {1, 2}, {2, 5});
  const auto code = [&](const Attrs& trees) {
    return RunKernel("tree_ensemble_ref.1", Walk(trees, x)).status().code();
  };
  const Attrs right = Trees("SUM");
  EXPECT_EQ(code(right), StatusCode::kOk);
  const std::pair<const char*, AttrValue> wrong[] = {
      {"aggregate", std::string("SUMS")},
      {"aggregate", std::string("MIN")},
      {"n_targets", int64_t{0}},
      {"n_targets", int64_t{1}},
      {"n_targets", INT64_MAX},
      {"tree_roots", Ints{}},
      {"tree_roots", Ints{0, 2}},
      {"tree_roots", Ints{-1}},
      {"nodes_featureids", Ints{0, 2}},
      {"nodes_featureids", Ints{0, -1}},
      {"nodes_featureids", Ints{0, INT64_MAX}},
      {"nodes_featureids", Ints{0}},
      {"nodes_modes", Ints{0, 7}},
      {"nodes_modes", Ints{0, 0}},
      {"nodes_modes", Ints{0, -1}},
      {"nodes_splits", Doubles{2}},
      {"nodes_truenodeids", Ints{2, 0}},
      {"nodes_truenodeids", Ints{0, 0}},
      {"nodes_truenodeids", Ints{1, INT64_MIN}},
      {"nodes_trueleafs", Ints{0, 0}},
      {"nodes_falsenodeids", Ints{3, 1}},
      {"nodes_falseleafs", Ints{1}},
      {"nodes_missing_value_tracks_true", Ints{1}},
      {"leaf_targetids", Ints{0, 1, 2}},
      {"leaf_weights", Doubles{1, 10}},
      {"membership_sizes", Ints{}},
      {"membership_sizes", Ints{3}},
      {"membership_sizes", Ints{1}},
      {"membership_sizes", Ints{-1}},
      {"membership_sizes", Ints{INT64_MAX}},
      {"membership_values", Doubles{}},
      {"membership_values", Ints{1, 5}},
  };
  for (const auto& [name, value] : wrong)
    EXPECT_EQ(code(With(right, name, value)), StatusCode::kInvalidArgument) << name;
  // Two nodes on the longest way, for each of these trees.
  const Ints roots(kTreeStepsMax / 2 + 1, 0);
  EXPECT_EQ(code(With(right, "tree_roots", roots)), StatusCode::kInvalidArgument);
  KernelCall other = Walk(right, x);
  other.outputs = {{DType::kF32, {1, 3}}};
  EXPECT_EQ(RunKernel("tree_ensemble_ref.1", other).status().code(), StatusCode::kInvalidArgument);
  other.outputs = {{DType::kF64, {1, 2}}};
  EXPECT_EQ(RunKernel("tree_ensemble_ref.1", other).status().code(), StatusCode::kInvalidArgument);
}

// From the right step, steps with something wrong in them. The test utility's canaries and the
// sanitizers watch the runs.
TEST(TreeEnsemble, StaysWithinItsOperandsWhateverTheStepSays) {
  int ran = 0, refused = 0;
  for (uint64_t stream = 1; stream <= 400; ++stream) {
    NumberStream draw(kSeed, stream);
    KernelCall call = Walk(Trees("SUM"), Rows(DType::kF32, {2, 2}, {2, 5, 1, 4}));
    const std::vector<const char*> lists = {
        "tree_roots",        "nodes_featureids", "nodes_modes",
        "nodes_truenodeids", "nodes_trueleafs",  "nodes_falsenodeids",
        "nodes_falseleafs",  "leaf_targetids",   "membership_sizes"};
    for (int64_t faults = draw(0, 3); faults > 0; --faults) {
      const char* name =
          lists[static_cast<size_t>(draw(0, static_cast<int64_t>(lists.size()) - 1))];
      Ints list = *call.attrs.Ints(name);
      list[static_cast<size_t>(draw(0, static_cast<int64_t>(list.size()) - 1))] = draw.Number(9);
      call.attrs.Set(name, std::move(list));
    }
    const auto got = RunKernel("tree_ensemble_ref.1", call);
    ++(got.ok() ? ran : refused);
    ASSERT_NE(got.status().code(), StatusCode::kInternal) << "stream " << stream;
  }
  EXPECT_GT(ran, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace fusee::ops
