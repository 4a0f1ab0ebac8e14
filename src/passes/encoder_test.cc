// Whole encoder layers, spelled out as exporters do, through the whole pipeline: what is left is
// the list of operators that both devices have kernels for, and it computes the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "ir/text.h"
#include "ops/op_def.h"
#include "passes/interpret.h"
#include "passes/pass_manager.h"
#include "tensor/compare.h"
#include "tensor/random.h"

namespace fusee::passes {
namespace {

using ::testing::ElementsAre;

constexpr uint64_t kSeed = 20261124;

std::unique_ptr<ir::Graph> Load(const std::string& name) {
  const auto text = ReadSmallFile(std::string(FUSEE_TESTDATA) + "/" + name + ".ir");
  FUSEE_CHECK(text.ok(), "a test's graph is missing");
  auto graph = ir::Parse(*text);
  FUSEE_CHECK(graph.ok(), "a test's graph does not parse");
  return std::move(graph).value();
}

// Operators that become a step, with what is fused into them: "MatMul bias residual Gelu".
std::vector<std::string> Steps(const ir::Graph& graph) {
  std::vector<std::string> steps;
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    if (ops::FindOp(node.op)->kind == ops::OpKind::kView) continue;
    std::string step = node.op;
    if (node.op == "MatMul") {
      if (node.inputs.size() > 2 && node.inputs[2].valid()) step += " bias";
      if (node.inputs.size() > 3 && node.inputs[3].valid()) step += " residual";
      const std::string activation = node.attrs.Str("activation", "").value();
      if (!activation.empty()) step += " " + activation;
    }
    if (node.op == "FusedAttention" && node.attrs.Int("packed_qkv", 0).value() == 1)
      step += " packed";
    steps.push_back(std::move(step));
  }
  return steps;
}

void ExpectSameResults(const ir::Graph& before, const ir::Graph& after, int64_t batch,
                       int64_t seq) {
  std::vector<Tensor> inputs;
  for (ir::ValueId id : before.inputs()) {
    const ir::ValueInfo& info = before.value(id).info;
    TensorView view;
    const Shape shape = ir::Evaluate(info.shape, {{"b", batch}, {"s", seq}}).value();
    inputs.push_back(Tensor::Allocate(info.dtype, shape, &view).value());
    FillRandom(view, Fill::kUniform, kSeed, id.index());
  }
  const auto want = Interpret(before, inputs);
  const auto got = Interpret(after, inputs);
  ASSERT_TRUE(want.ok() && got.ok()) << want.status().ToString() << got.status().ToString();
  const Comparison result = Compare((*got)[0].view(), (*want)[0].view(), Tolerance{1e-4, 1e-5});
  EXPECT_TRUE(result.passed) << "batch " << batch << ", seq " << seq << ", seed " << kSeed << ": "
                             << result.reason;
}

TEST(EncoderLayer, PostNormBecomesSevenSteps) {
  const auto graph = Load("encoder_post_norm");
  const auto before = ir::Clone(*graph);
  ASSERT_TRUE(RunPipeline(*graph, {}, nullptr).ok());
  EXPECT_THAT(Steps(*graph), ElementsAre("MatMul bias", "FusedAttention packed", "MatMul bias",
                                         "SkipLayerNormalization", "MatMul bias Gelu",
                                         "MatMul bias", "SkipLayerNormalization"));
  ExpectSameResults(*before, *graph, 1, 1);
  ExpectSameResults(*before, *graph, 3, 7);
}

// The stream is added in registers while others still read it; the last norm is the only reader of
// its sum.
TEST(EncoderLayer, PreNormBecomesSevenStepsALayer) {
  const auto graph = Load("encoder_pre_norm");
  const auto before = ir::Clone(*graph);
  ASSERT_TRUE(RunPipeline(*graph, {}, nullptr).ok());
  EXPECT_THAT(Steps(*graph),
              ElementsAre("LayerNormalization", "MatMul bias", "FusedAttention packed",
                          "MatMul bias residual", "LayerNormalization", "MatMul bias Gelu",
                          "MatMul bias residual", "LayerNormalization", "MatMul bias",
                          "FusedAttention packed", "MatMul bias residual", "LayerNormalization",
                          "MatMul bias Gelu", "MatMul bias", "SkipLayerNormalization"));
  ExpectSameResults(*before, *graph, 1, 1);
  ExpectSameResults(*before, *graph, 3, 7);
}

// Each pass can be switched off, and the others still leave a graph that computes the same.
TEST(EncoderLayer, EveryPassMayBeMissing) {
  for (const char* name : {"encoder_post_norm", "encoder_pre_norm"}) {
    for (const PassDef& pass : Pipeline()) {
      SCOPED_TRACE(testing::Message() << name << " without " << pass.name);
      const auto graph = Load(name);
      const auto before = ir::Clone(*graph);
      ASSERT_TRUE(RunPipeline(*graph, {.disabled = {std::string(pass.name)}}, nullptr).ok());
      ExpectSameResults(*before, *graph, 2, 5);
    }
  }
}

}  // namespace
}  // namespace fusee::passes
