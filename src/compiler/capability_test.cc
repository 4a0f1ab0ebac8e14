// What of a model is supported: every refusal, with what it needs to be understood, and the refused
// node alone.
#include "compiler/capability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "compiler/model_test_util.h"
#include "compiler/repro.h"

namespace fusee::compiler {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> Names(const Capability& capability) {
  std::vector<std::string> names;
  for (const Refusal& r : capability.refusals)
    names.push_back(r.node == nullptr ? "" : r.node->DisplayName());
  return names;
}

TEST(Capability, ModelOfSupportedOperatorsIsSupported) {
  ModelText model;
  model.Input("x", DType::kF32, {2, 3}).Node("Relu", {"x"}, {"y"}).Output("y");
  const auto read = model.Read();
  const Capability c = FindCapability(*read, {});
  EXPECT_TRUE(c.supported());
  EXPECT_FALSE(c.unsupported());
  ASSERT_EQ(c.operators.size(), 1u);
  EXPECT_EQ(c.operators[0].op, "Relu");
  EXPECT_EQ(c.operators[0].domain, "ai.onnx");
  EXPECT_EQ(c.operators[0].opset, 17);
  EXPECT_EQ(c.operators[0].count, 1u);
}

TEST(Capability, EveryRefusalIsListedNotOnlyTheFirst) {
  ModelText model;
  model.Input("x", DType::kF32, {2, 3})
      .Node("NoSuchOperator", {"x"}, {"a"})
      .Node("Relu", {"x"}, {"b"})
      .Node("NorThisOne", {"b"}, {"c"})
      .Output("a")
      .Output("c");
  const auto read = model.Read();
  const Capability c = FindCapability(*read, {});
  EXPECT_TRUE(c.unsupported());
  EXPECT_THAT(Names(c), ElementsAre("NoSuchOperator_0", "NorThisOne_2"));
  EXPECT_EQ(DescribeOperands(c.refusals[1].operands), "f32[2,3]");
  for (const Refusal& r : c.refusals) EXPECT_FALSE(r.remedy.empty());
}

TEST(Capability, DeclaredTypesCarryPastARefusedNode) {
  ModelText model;
  model.Input("x", DType::kF32, {2, 3})
      .Node("NoSuchOperator", {"x"}, {"a"})
      .Declare("a", DType::kF32, {4})
      .Node("NorThisOne", {"a"}, {"b"})
      .Node("Relu", {"b"}, {"c"})
      .Output("c");
  const auto read = model.Read();
  const Capability c = FindCapability(*read, {});
  EXPECT_THAT(Names(c), ElementsAre("NoSuchOperator_0", "NorThisOne_1"));
  EXPECT_EQ(DescribeOperands(c.refusals[1].operands), "f32[4]");
  ASSERT_EQ(c.unjudged.size(), 1u);
  EXPECT_EQ(c.unjudged[0]->op_type, "Relu");
}

TEST(Capability, AnOperatorAtAnotherOpsetNamesThoseThatWork) {
  ModelText model(10);
  model.Input("x", DType::kF32, {2, 3}).Node("CumSum", {"x", "x"}, {"y"}).Output("y");
  const auto read = model.Read();
  const Capability c = FindCapability(*read, {});
  ASSERT_EQ(c.refusals.size(), 1u);
  EXPECT_THAT(c.refusals[0].status.message(), HasSubstr("not at opset 10"));
  EXPECT_THAT(c.refusals[0].remedy, HasSubstr("opset 11 to 26"));
}

TEST(Capability, InputsWithoutASizeDoNotHideMissingOperators) {
  ModelText model;
  model.Input("x", DType::kF32, {2, -1}).Node("NoSuchOperator", {"x"}, {"a"}).Output("a");
  const auto read = model.Read();
  EXPECT_THAT(Names(FindCapability(*read, {})), ElementsAre("", "NoSuchOperator_0"));
}

// Refused, and refused again for the same reason when alone.
void ExpectReproduces(const onnx::Model& model, const BuildOptions& options = {}) {
  const Capability before = FindCapability(model, options);
  for (const Refusal& refusal : before.refusals) {
    if (refusal.node == nullptr) continue;
    auto repro = WriteRepro(model, refusal, before.symbols);
    ASSERT_TRUE(repro.ok()) << repro.status().message();
    auto read = onnx::Parse(std::as_bytes(std::span(repro->model)));
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ((*read)->graph.nodes.size(), 1u);
    const Capability after = FindCapability(**read, {});
    ASSERT_EQ(after.refusals.size(), 1u) << refusal.status.message();
    EXPECT_EQ(after.refusals[0].status.message(), refusal.status.message());
    EXPECT_EQ(DescribeOperands(after.refusals[0].operands), DescribeOperands(refusal.operands));
    return;
  }
  FAIL() << "nothing is refused";
}

TEST(Repro, UnknownOperatorIsReproduced) {
  ModelText model;
  model.Input("x", DType::kF32, {2, 3})
      .Node("Relu", {"x"}, {"b"})
      .Initializer("w", DType::kF32, {3, 2}, std::string(24, '\x01'))
      .Node("NoSuchOperator", {"b", "", "w"}, {"c"})
      .Output("c");
  const auto read = model.Read();
  ExpectReproduces(*read);
}

TEST(Repro, OperandComputedFromShapesBecomesAConstant) {
  ModelText model;
  model.Input("x", DType::kF32, {2, 3})
      .Node("Shape", {"x"}, {"s"})
      .Node("NoSuchOperator", {"x", "s"}, {"c"})
      .Output("c");
  const auto read = model.Read();
  const Capability c = FindCapability(*read, {});
  ASSERT_EQ(c.refusals.size(), 1u);
  auto repro = WriteRepro(*read, c.refusals[0], c.symbols);
  ASSERT_TRUE(repro.ok()) << repro.status().message();
  const auto again = onnx::Parse(std::as_bytes(std::span(repro->model)));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->graph.inputs.size(), 1u);
  EXPECT_EQ((*again)->graph.initializers.size(), 1u);
}

TEST(Repro, SymbolicDimensionsStayAndAreExplained) {
  ModelText model;
  model.Input("x", DType::kF32, {-1, 3}).Node("NoSuchOperator", {"x"}, {"c"}).Output("c");
  const auto read = model.Read();
  const Capability c = FindCapability(*read, {});
  ASSERT_EQ(c.refusals.size(), 1u);
  auto repro = WriteRepro(*read, c.refusals[0], c.symbols);
  ASSERT_TRUE(repro.ok());
  EXPECT_EQ(repro->options, "--shape-profile x:1x3,8x3");
}

TEST(Repro, EveryRefusedNodeTestOfTheStandardIsReproduced) {
  const char* corpora = std::getenv("FUSEE_CORPORA");
  if (corpora == nullptr) GTEST_SKIP() << "FUSEE_CORPORA is not set";
  size_t reproduced = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(corpora) + "/onnx/node")) {
    auto model = onnx::Load((entry.path() / "model.onnx").string());
    if (!model.ok()) continue;
    const Capability before = FindCapability(**model, {});
    if (before.refusals.empty() || before.refusals[0].node == nullptr) continue;
    if (before.refusals[0].status.code() != StatusCode::kUnimplemented) continue;
    SCOPED_TRACE(entry.path().filename().string());
    auto repro = WriteRepro(**model, before.refusals[0], before.symbols);
    if (!repro.ok()) continue;
    auto read = onnx::Parse(std::as_bytes(std::span(repro->model)));
    ASSERT_TRUE(read.ok()) << read.status().message();
    const Capability after = FindCapability(**read, {});
    ASSERT_GE(after.refusals.size(), 1u);
    EXPECT_EQ(after.refusals[0].status.message(), before.refusals[0].status.message());
    ++reproduced;
  }
  std::printf("%zu refusals reproduced\n", reproduced);
}

}  // namespace
}  // namespace fusee::compiler
