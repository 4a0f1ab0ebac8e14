// The losses' spelling: which operators they become, their types and shapes, and what is refused.
// The values are ONNX's own node tests to check (fusee conform).
#include <gtest/gtest.h>

#include "ops/movement/evaluate_test_util.h"
#include "ops/movement/import_test_util.h"

namespace fusee::ops {
namespace {

using H = ImportHarness;

struct LossGraph : ImportHarness {
  ir::Dim n = Symbol("n", 1, 8), d = Symbol("d", 1, 8);
  ir::ValueId scores = Input("scores", DType::kF32, {n, 5, d});
  ir::ValueId labels = Input("labels", DType::kI64, {n, d});
  ir::ValueId weights = Input("weights", DType::kF32, {5});

  // "Less Where Reshape GatherElements ..." since the last call.
  std::string Ops() {
    std::string text;
    const auto order = graph.order();
    for (size_t i = seen_; i < order.size(); ++i)
      text += (text.empty() ? "" : " ") + graph.node(order[i]).op;
    seen_ = order.size();
    return text;
  }
  DType Type(ir::ValueId id) const { return graph.value(id).info.dtype; }

 private:
  size_t seen_ = 0;
};

TEST(LossDef, SpellsEachReduction) {
  LossGraph h;
  const std::string pick = "Less Where Reshape GatherElements Reshape Neg";
  const auto op = "NegativeLogLikelihoodLoss";
  EXPECT_EQ(h.Shape(h.Import(op, 12, {h.scores, h.labels}, H::Attrs(H::Attr("reduction", "none")))),
            "[n,d]");
  EXPECT_EQ(h.Ops(), pick);
  EXPECT_EQ(h.Shape(h.Import(op, 13, {h.scores, h.labels}, H::Attrs(H::Attr("reduction", "sum")))),
            "[]");
  EXPECT_EQ(h.Ops(), pick + " ReduceSum");
  EXPECT_EQ(h.Shape(h.Import(op, 22, {h.scores, h.labels})), "[]") << "mean is the default";
  EXPECT_EQ(h.Ops(), pick + " ReduceMean");
  h.Import(op, 22, {h.scores, h.labels, h.weights});
  EXPECT_EQ(h.Ops(), pick + " Gather Mul ReduceSum ReduceSum Div");
}

TEST(LossDef, ReplacesIgnoredLabelsBeforeTheyAreFollowed) {
  LossGraph h;
  h.Import("NegativeLogLikelihoodLoss", 13, {h.scores, h.labels, h.weights},
           H::Attrs(H::Attr("ignore_index", -1)));
  EXPECT_EQ(
      h.Ops(),
      "Equal Where Less Where Reshape GatherElements Reshape Neg Gather Where Mul Where ReduceSum "
      "ReduceSum Div");
  h.Import("NegativeLogLikelihoodLoss", 13, {h.scores, h.labels},
           H::Attrs(H::Attr("ignore_index", 2)));
  EXPECT_EQ(h.Ops(),
            "Equal Where Less Where Reshape GatherElements Reshape Neg Not Cast Where ReduceSum "
            "ReduceSum "
            "Div");
  // An index that the labels' type cannot hold ignores nothing.
  const ir::ValueId narrow = h.Input("narrow", DType::kI32, {h.n, h.d});
  h.Import("NegativeLogLikelihoodLoss", 13, {h.scores, narrow},
           H::Attrs(H::Attr("ignore_index", int64_t{1} << 40)));
  EXPECT_EQ(h.Ops(), "Less Where Reshape GatherElements Reshape Neg ReduceMean");
}

// The reference kernels on loss of two classes, for these labels.
Result<std::vector<Tensor>> LossOf(std::vector<int64_t> labels, bool ignore_two) {
  ImportHarness h;
  const auto n = static_cast<int64_t>(labels.size());
  const ir::ValueId scores = h.Input("s", DType::kF32, {n, 2}), l = h.Input("l", DType::kI64, {n});
  std::vector<onnx::Attribute> attrs;
  if (ignore_two) attrs = H::Attrs(H::Attr("ignore_index", 2));
  FUSEE_TRY(const std::vector<ir::ValueId> ids,
            h.TryImport("NegativeLogLikelihoodLoss", 13, {scores, l}, std::move(attrs)));
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i) values.insert(values.end(), {1, 10});
  return EvaluateGraph(h.graph,
                       {{scores, Tensor::Of<float>({n, 2}, std::span<const float>(values))},
                        {l, Tensor::Of<int64_t>({n}, std::span<const int64_t>(labels))}},
                       ids);
}

TEST(LossDef, LabelsOfNoClassAreAnError) {
  const auto good = LossOf({0, 1, 2}, true);
  ASSERT_TRUE(good.ok()) << good.status().ToString();
  EXPECT_EQ(good->front().as<float>()[0], -5.5F) << "the mean of the two that count";
  for (int64_t label : {int64_t{-1}, int64_t{2}, INT64_MIN, INT64_MAX}) {
    EXPECT_EQ(LossOf({0, label}, false).status().code(), StatusCode::kOutOfRange) << label;
  }
}

TEST(LossDef, CrossEntropyGivesTheLogarithmsToo) {
  for (int opset : {12, 13, 26}) {
    LossGraph h;
    const auto ids = h.TryImport("SoftmaxCrossEntropyLoss", opset, {h.scores, h.labels}, {}, 2);
    ASSERT_TRUE(ids.ok()) << ids.status().ToString();
    EXPECT_EQ(h.Shape((*ids)[0]), "[]");
    EXPECT_EQ(h.Shape((*ids)[1]), "[n,5,d]");
    EXPECT_EQ(h.Ops(), "LogSoftmax Less Where Reshape GatherElements Reshape Neg ReduceMean");
  }
}

TEST(LossDef, ComputesHalvesInSingle) {
  LossGraph h;
  const ir::ValueId half = h.Input("half", DType::kF16, {4, 5}),
                    labels = h.Input("l", DType::kI32, {4});
  const auto ids = h.TryImport("SoftmaxCrossEntropyLoss", 13, {half, labels}, {}, 2);
  ASSERT_TRUE(ids.ok()) << ids.status().ToString();
  EXPECT_EQ(h.Type((*ids)[0]), DType::kF16);
  EXPECT_EQ(h.Type((*ids)[1]), DType::kF16);
  EXPECT_EQ(h.Ops(),
            "Cast LogSoftmax Cast Less Where Reshape GatherElements Reshape Neg ReduceMean Cast");
}

TEST(LossDef, LabelsAreHeldToTheScoresShape) {
  LossGraph h;
  const ir::ValueId other = h.Input("other", DType::kI64, {h.n, h.Symbol("e", 1, 8)});
  const size_t before = h.graph.constraints().size();
  h.Import("NegativeLogLikelihoodLoss", 13, {h.scores, other});
  EXPECT_GT(h.graph.constraints().size(), before) << "d and e must agree at run time";
  const auto code = [&](std::vector<ir::ValueId> inputs, std::vector<onnx::Attribute> attrs = {}) {
    return h.TryImport("SoftmaxCrossEntropyLoss", 13, std::move(inputs), std::move(attrs))
        .status()
        .code();
  };
  const auto refused = StatusCode::kInvalidArgument;
  EXPECT_EQ(code({h.scores}), refused);
  EXPECT_EQ(code({h.scores, h.Input("flat", DType::kI64, {h.n})}), refused);
  EXPECT_EQ(code({h.scores, h.Input("wide", DType::kI64, {h.n, 9})}), refused);
  EXPECT_EQ(code({h.scores, h.Input("real", DType::kF32, {h.n, h.d})}), refused);
  EXPECT_EQ(code({h.labels, h.labels}), refused);
  EXPECT_EQ(code({h.scores, h.labels, h.Input("four", DType::kF32, {4})}), refused);
  EXPECT_EQ(code({h.scores, h.labels}, H::Attrs(H::Attr("reduction", "max"))), refused);
  EXPECT_EQ(FindImportRule("", "NegativeLogLikelihoodLoss", 11), nullptr);
}

}  // namespace
}  // namespace fusee::ops
