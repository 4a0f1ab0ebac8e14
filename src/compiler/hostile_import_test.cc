// Models that no exporter writes: whatever they say, importing ends in a graph that verifies or in
// a Status. Inputs that once broke it are kept here or as testdata/regression_*.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "compiler/capability.h"
#include "compiler/import.h"
#include "compiler/model_test_util.h"
#include "onnx/mutator_test_util.h"
#include "ops/op_def.h"
#include "passes/pass_manager.h"

namespace fusee::compiler {
namespace {

using testing::HasSubstr;

// Imports, verifies, optimises, verifies; true when all of it worked.
bool Survives(std::string_view bytes) {
  const auto model = onnx::Parse(std::as_bytes(std::span(bytes.data(), bytes.size())));
  if (!model.ok()) return false;
  const Capability capability = FindCapability(**model, {});
  auto imported = Import(**model, {});
  if (!imported.ok()) {
    EXPECT_FALSE(capability.supported()) << imported.status().message();
    EXPECT_FALSE(imported.status().message().empty());
    // An error of ours is no answer to a model of theirs.
    EXPECT_NE(imported.status().code(), StatusCode::kInternal) << imported.status().message();
    return false;
  }
  const Status verified = ir::Verify(*imported->graph);
  EXPECT_TRUE(verified.ok()) << verified.message();
  return passes::RunPipeline(*imported->graph, {}, nullptr).ok();
}

Status ImportText(ModelText& model) { return Import(*model.Read(), {}).status(); }

TEST(HostileImport, EveryOperatorSurvivesEveryNumberOfOperandsAndResults) {
  constexpr size_t kMaxOperands = 7, kMaxResults = 4;
  size_t imported = 0;
  for (const ops::OpDef& def : ops::AllOps()) {
    for (const ops::ImportRule& rule : def.imports) {
      if (!rule.domain.empty()) continue;
      for (size_t n = 0; n <= kMaxOperands; ++n) {
        for (size_t results = 0; results <= kMaxResults; ++results) {
          for (const DType type : {DType::kF32, DType::kI64, DType::kBool}) {
            SCOPED_TRACE(fmt::format("{} since {}: {} operands of type {}, {} results",
                                     rule.onnx_op, rule.since, n, DTypeName(type), results));
            wire::Writer node;
            ModelText model(std::max(rule.since, 7));
            for (size_t i = 0; i < n; ++i) {
              const std::string name = fmt::format("x{}", i);
              // Operands that say how to compute are known while building.
              i % 2 == 0 ? model.Input(name, type, {2, 3})
                         : model.Initializer(name, DType::kI64, {2}, std::string(16, '\x01'));
              node.Bytes(1, name);
            }
            for (size_t i = 0; i < results; ++i) node.Bytes(2, fmt::format("y{}", i));
            node.Bytes(4, rule.onnx_op);
            imported += Survives(model.Raw(node.str()).Output("y0").Text()) ? 1 : 0;
          }
        }
      }
    }
  }
  EXPECT_GT(imported, 100u);  // not everything is refused
}

// A rule may hold on to what it read of an operand while it adds values (the mask of Dropout did,
// when values moved as their table grew). To be seen under AddressSanitizer.
TEST(HostileImport, OperandsStayWhereTheyAreWhileARuleAddsValues) {
  for (int others = 0; others < 40; ++others) {
    ModelText model;
    model.Input("x", DType::kF32, {2, 3});
    for (int i = 0; i < others; ++i) model.Node("Relu", {"x"}, {fmt::format("r{}", i)});
    model.Node("Dropout", {"x"}, {"y", "mask"}).Output("y").Output("mask");
    EXPECT_TRUE(ImportText(model).ok());
  }
}

TEST(HostileImport, DuplicatesAreNamed) {
  ModelText input;
  input.Input("x", DType::kF32, {2}).Input("x", DType::kF32, {2}).Output("x");
  EXPECT_THAT(ImportText(input).message(), HasSubstr("input 'x' is declared twice"));
  ModelText initializer;
  const std::string raw(4, '\0');
  initializer.Initializer("w", DType::kF32, {1}, raw).Initializer("w", DType::kF32, {1}, raw);
  initializer.Output("w");
  EXPECT_THAT(ImportText(initializer).message(), HasSubstr("initialiser 'w' is defined twice"));
  ModelText value;
  value.Input("x", DType::kF32, {2}).Node("Relu", {"x"}, {"y"}).Node("Abs", {"x"}, {"y"});
  value.Output("y");
  EXPECT_THAT(ImportText(value).message(), HasSubstr("value 'y' is defined twice"));
  ModelText shadow;
  shadow.Input("x", DType::kF32, {2}).Node("Relu", {"x"}, {"x"}).Output("x");
  EXPECT_THAT(ImportText(shadow).message(), HasSubstr("value 'x' is defined twice"));
}

TEST(HostileImport, CyclesAndLooseEndsAreNamed) {
  ModelText cycle;
  cycle.Input("x", DType::kF32, {2}).Node("Add", {"x", "b"}, {"a"}).Node("Relu", {"a"}, {"b"});
  cycle.Output("b");
  EXPECT_THAT(ImportText(cycle).message(), HasSubstr("is part of a cycle"));
  ModelText itself;
  itself.Node("Relu", {"y"}, {"y"}).Output("y");
  EXPECT_THAT(ImportText(itself).message(), HasSubstr("is part of a cycle"));
  ModelText loose;
  loose.Node("Relu", {"nowhere"}, {"y"}).Output("y");
  EXPECT_THAT(ImportText(loose).message(), HasSubstr("'nowhere', which nothing defines"));
}

TEST(HostileImport, RanksAboveTheLimitAreRefused) {
  ModelText model;
  model.Input("x", DType::kF32, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}).Node("Relu", {"x"}, {"y"});
  model.Output("y");
  EXPECT_THAT(ImportText(model).message(), HasSubstr("rank 12, above the limit"));
}

// Time linear in the graph: 100,000 nodes that hang together as a chain, and as a comb written
// backwards.
TEST(HostileImport, LargeGraphsTakeLinearTime) {
  constexpr int kNodes = 100'000;
  for (const bool backwards : {false, true}) {
    ModelText model;
    model.Input("v0", DType::kF32, {2});
    for (int k = 0; k < kNodes; ++k) {
      const int i = backwards ? kNodes - 1 - k : k;
      const std::string from = fmt::format("v{}", i), to = fmt::format("v{}", i + 1);
      model.Node("Relu", {from}, {to});
    }
    model.Output(fmt::format("v{}", kNodes));
    const auto imported = Import(*model.Read(), {});
    EXPECT_TRUE(imported.ok()) << imported.status().message();
  }
}

TEST(HostileImport, MutantsOfTheExampleSurvive) {
  constexpr uint64_t kMutants = 3000;
  const auto digits = ReadSmallFile(FUSEE_SOURCE_DIR "/examples/digits/digits.onnx");
  ASSERT_TRUE(digits.ok());
  size_t imported = 0;
  for (uint64_t seed = 0; seed < kMutants; ++seed) {
    SCOPED_TRACE(seed);
    imported += Survives(onnx::MutateModel(*digits, seed)) ? 1 : 0;
  }
  // The mutator is of use only while some of its models come through.
  EXPECT_GT(imported, kMutants / 20);
  EXPECT_LT(imported, kMutants);
}

// Two functions that pass attributes and an operand that may be left out, one of them with a nested
// graph.
std::string ModelWithFunctions() {
  using onnx::AttrType;
  ModelText branch;
  branch.Node("LeakyRelu", {"x"}, {"b"}, {ReferenceAttribute("alpha", AttrType::kFloat, "a")});
  branch.Output("b");
  FunctionText inner("pkg", "Inner", {"x", "c", "o"}, {"y"}, 13);
  inner.Default(FloatAttribute("a", 0.5f))
      .Node("Clip", {"x", "", "o"}, {"t"})
      .Node("If", {"c"}, {"i"},
            {branch.GraphAttribute("then_branch"), branch.GraphAttribute("else_branch")})
      .Node("Add", {"i", "t"}, {"y"});
  FunctionText outer("pkg", "Outer", {"x", "c"}, {"y"});
  outer.Import("pkg", 1).Attribute("slope");
  outer.Raw(NodeText("pkg", "Inner", {"x", "c"}, {"t"},
                     {ReferenceAttribute("a", AttrType::kFloat, "slope")}));
  outer.Raw(NodeText("pkg", "Inner", {"t", "c"}, {"y"}));
  ModelText model;
  model.Input("x", DType::kF32, {2, 3}).Initializer("c", DType::kBool, {}, std::string(1, 1));
  model.Import("pkg", 1).Function(inner).Function(outer);
  model.Raw(NodeText("pkg", "Outer", {"x", "c"}, {"z"}, {FloatAttribute("slope", 0.25f)}));
  model.Raw(NodeText("pkg", "Inner", {"z", "c", ""}, {"y"}));
  return model.Output("y").Text();
}

TEST(HostileImport, MutantsOfAModelWithFunctionsSurvive) {
  constexpr uint64_t kMutants = 6000;
  const std::string model = ModelWithFunctions();
  ASSERT_TRUE(Survives(model));
  size_t imported = 0;
  for (uint64_t seed = 0; seed < kMutants; ++seed) {
    SCOPED_TRACE(seed);
    imported += Survives(onnx::MutateModel(model, seed)) ? 1 : 0;
  }
  EXPECT_GT(imported, kMutants / 20);
  EXPECT_LT(imported, kMutants);
}

TEST(HostileImport, TruncationsOfAModelWithFunctionsSurvive) {
  const std::string model = ModelWithFunctions();
  for (size_t size = 0; size < model.size(); ++size) {
    SCOPED_TRACE(size);
    (void)Survives(std::string_view(model).substr(0, size));
  }
}

TEST(HostileImport, MutantsAreAFunctionOfTheSeed) {
  const auto digits = ReadSmallFile(FUSEE_SOURCE_DIR "/examples/digits/digits.onnx");
  ASSERT_TRUE(digits.ok());
  EXPECT_EQ(onnx::MutateModel(*digits, 7), onnx::MutateModel(*digits, 7));
  EXPECT_NE(onnx::MutateModel(*digits, 7), onnx::MutateModel(*digits, 8));
  EXPECT_EQ(onnx::MutateBytes(*digits, 7), onnx::MutateBytes(*digits, 7));
}

TEST(HostileImport, RegressionInputsAreHarmless) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(FUSEE_TESTDATA, ignored)) {
    if (!entry.path().filename().string().starts_with("regression_")) continue;
    SCOPED_TRACE(entry.path().string());
    const auto bytes = ReadSmallFile(entry.path().string());
    ASSERT_TRUE(bytes.ok());
    (void)Survives(*bytes);
  }
}

}  // namespace
}  // namespace fusee::compiler
