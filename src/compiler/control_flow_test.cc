// If, Loop and Scan as the importer writes them out.
#include <gmock/gmock.h>

#include "compiler/import.h"
#include "compiler/model_test_util.h"
#include "ir/graph.h"

namespace fusee::compiler {
namespace {

using ::testing::HasSubstr;

std::string Bool(bool value) { return std::string(1, value ? 1 : 0); }
std::string Int64(int64_t value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

// A graph of no inputs that applies one operator to the outer x.
ModelText Branch(std::string_view op, std::string_view result) {
  ModelText branch;
  branch.Node(op, {"x"}, {result}).Output(result);
  return branch;
}

ModelText Choice() {
  ModelText model;
  model.Input("x", DType::kF32, {2, 3}).Output("y");
  return model;
}

// The carried value through one Exp a round; the same value as a scan result.
ModelText Body() {
  ModelText body;
  body.Input("i", DType::kI64, {}).Input("go", DType::kBool, {}).Input("v", DType::kF32, {2, 3});
  body.Node("Exp", {"v"}, {"w"}).Node("Identity", {"go"}, {"on"});
  body.Output("on").Output("w").Output("w");
  return body;
}

Result<ImportedModel> Import(ModelText& model) { return compiler::Import(*model.Read(), {}); }

size_t CountOf(const ir::Graph& graph, std::string_view op) {
  size_t count = 0;
  for (const ir::NodeId id : graph.order()) count += graph.node(id).op == op ? 1 : 0;
  return count;
}

TEST(ControlFlow, TheBranchThatIsTakenStandsForIf) {
  for (const bool taken : {true, false}) {
    ModelText model = Choice();
    model.Initializer("c", DType::kBool, {}, Bool(taken))
        .Node("If", {"c"}, {"y"},
              {Branch("Exp", "a").GraphAttribute("then_branch"),
               Branch("Sqrt", "b").GraphAttribute("else_branch")});
    const auto imported = Import(model);
    ASSERT_TRUE(imported.ok()) << imported.status().ToString();
    EXPECT_EQ(CountOf(*imported->graph, "Exp"), taken ? 1u : 0u);
    EXPECT_EQ(CountOf(*imported->graph, "Sqrt"), taken ? 0u : 1u);
  }
}

TEST(ControlFlow, AConditionOnShapesIsKnown) {
  ModelText model = Choice();
  model.Initializer("two", DType::kI64, {}, Int64(2))
      .Node("Size", {"x"}, {"n"})
      .Node("Equal", {"n", "two"}, {"c"})
      .Node("If", {"c"}, {"y"},
            {Branch("Exp", "a").GraphAttribute("then_branch"),
             Branch("Sqrt", "b").GraphAttribute("else_branch")});
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status().ToString();
  EXPECT_EQ(CountOf(*imported->graph, "Sqrt"), 1u);
}

// What follows from constants alone is computed when an operator has to know it, if it is small.
TEST(ControlFlow, AConditionComputedFromConstantsIsKnownWhereThatIsCheap) {
  for (const int64_t elements : {int64_t{100}, int64_t{5000}}) {
    ModelText model = Choice();
    model
        .Initializer("many", DType::kF32, {elements},
                     std::string(4 * static_cast<size_t>(elements), '\0'))
        .Initializer("one", DType::kF32, {}, std::string("\0\0\x80\x3f", 4))
        .Node("ReduceMax", {"many"}, {"top"})
        .Node("Greater", {"one", "top"}, {"c"})
        .Node("Cast", {"c"}, {"n"}, {IntAttribute("to", 7)})
        .Node("Squeeze", {"n"}, {"m"})
        .Node("Loop", {"m", "", "x"}, {"y"}, {Body().GraphAttribute("body")});
    const auto imported = Import(model);
    EXPECT_EQ(imported.ok(), elements == 100) << imported.status().ToString();
  }
}

TEST(ControlFlow, AConditionThatDependsOnInputsAsksForAPin) {
  ModelText model = Choice();
  model.Input("c", DType::kBool, {})
      .Node("If", {"c"}, {"y"},
            {Branch("Exp", "a").GraphAttribute("then_branch"),
             Branch("Sqrt", "b").GraphAttribute("else_branch")});
  const Status status = Import(model).status();
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("--pin c=FILE"));
}

TEST(ControlFlow, ABranchMayReadWhatIsDefinedLaterInTheFile) {
  ModelText model;
  model.Input("w", DType::kF32, {2}).Output("y");
  model.Initializer("c", DType::kBool, {}, Bool(true))
      .Node("If", {"c"}, {"y"},
            {Branch("Exp", "a").GraphAttribute("then_branch"),
             Branch("Sqrt", "b").GraphAttribute("else_branch")})
      .Node("Neg", {"w"}, {"x"});
  EXPECT_TRUE(Import(model).ok()) << Import(model).status().ToString();
}

TEST(ControlFlow, NamesInsideMayNotBeThoseOutside) {
  ModelText model = Choice();
  model.Initializer("c", DType::kBool, {}, Bool(true))
      .Node("If", {"c"}, {"y"},
            {Branch("Exp", "x").GraphAttribute("then_branch"),
             Branch("Sqrt", "b").GraphAttribute("else_branch")});
  const Status status = Import(model).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("'x' is defined twice"));
}

TEST(ControlFlow, LoopsAreWrittenOut) {
  ModelText model = Choice();
  model.Output("all");
  model.Initializer("m", DType::kI64, {}, Int64(5))
      .Node("Loop", {"m", "", "x"}, {"y", "all"}, {Body().GraphAttribute("body")});
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status().ToString();
  const ir::Graph& graph = *imported->graph;
  EXPECT_EQ(CountOf(graph, "Exp"), 5u);
  EXPECT_EQ(ir::ToString(graph.value(graph.outputs()[1]).info.shape), "[5,2,3]");
}

TEST(ControlFlow, ALoopOfNoRoundsGivesItsOperands) {
  ModelText model = Choice();
  model.Initializer("m", DType::kI64, {}, Int64(0))
      .Node("Loop", {"m", "", "x"}, {"y"}, {Body().GraphAttribute("body")});
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status().ToString();
  EXPECT_EQ(CountOf(*imported->graph, "Exp"), 0u);
}

TEST(ControlFlow, LongNamesInABodyCountEachTimeTheyAreWritten) {
  const std::string name(1 << 20, 'n');
  ModelText body;
  body.Input("i", DType::kI64, {}).Input("go", DType::kBool, {}).Input("v", DType::kF32, {2, 3});
  body.Node("Exp", {"v"}, {name}).Node("Identity", {"go"}, {"on"}).Output("on").Output(name);
  ModelText model = Choice();
  model.Initializer("m", DType::kI64, {}, Int64(200))
      .Node("Loop", {"m", "", "x"}, {"y"}, {body.GraphAttribute("body")});
  const Status status = Import(model).status();
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("128 MiB of names"));
}

TEST(ControlFlow, ALoopWithoutEndIsRefused) {
  for (const int64_t rounds : {int64_t{1025}, int64_t{1} << 60}) {
    ModelText model = Choice();
    model.Initializer("m", DType::kI64, {}, Int64(rounds))
        .Node("Loop", {"m", "", "x"}, {"y"}, {Body().GraphAttribute("body")});
    const Status status = Import(model).status();
    EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
    EXPECT_THAT(status.message(), HasSubstr("1024 rounds"));
  }
}

// How deep a file may nest at all is the reader's limit, and tested there.
TEST(ControlFlow, BranchesNest) {
  ModelText inner = Branch("Exp", "r0");
  for (int depth = 1; depth < 5; ++depth) {
    ModelText next;
    const std::string result = "r" + std::to_string(depth);
    const std::string other = "s" + std::to_string(depth);
    next.Node(
        "If", {"c"}, {result},
        {inner.GraphAttribute("then_branch"), Branch("Sqrt", other).GraphAttribute("else_branch")});
    next.Output(result);
    inner = next;
  }
  ModelText model = Choice();
  model.Initializer("c", DType::kBool, {}, Bool(true))
      .Node(
          "If", {"c"}, {"y"},
          {inner.GraphAttribute("then_branch"), Branch("Sqrt", "b").GraphAttribute("else_branch")});
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status().ToString();
  EXPECT_EQ(CountOf(*imported->graph, "Exp"), 1u);
  EXPECT_EQ(CountOf(*imported->graph, "Sqrt"), 0u);
}

// --- FlexAttention, whose nested graphs change scores and weights ---

ModelText Flex(const std::vector<std::string>& graphs) {
  ModelText model;
  model.Import("ai.onnx.preview", 1).Input("q", DType::kF32, {1, 2, 3, 4});
  model.Raw(NodeText("ai.onnx.preview", "FlexAttention", {"q", "q", "q"}, {"y"}, graphs));
  model.Output("y");
  return model;
}

TEST(ControlFlow, GraphsOfFlexAttentionStandBetweenItsProducts) {
  ModelText score, weight;
  score.Input("s", DType::kF32, {}).Node("Tanh", {"s"}, {"t"}).Output("t");
  weight.Input("p", DType::kF32, {}).Node("Sqrt", {"p"}, {"r"}).Output("r");
  ModelText model = Flex({score.GraphAttribute("score_mod"), weight.GraphAttribute("prob_mod")});
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status().ToString();
  std::string operators;
  for (const ir::NodeId id : imported->graph->order())
    operators += imported->graph->node(id).op + " ";
  EXPECT_EQ(operators, "Mul Transpose MatMul Tanh Softmax Sqrt MatMul ");
}

TEST(ControlFlow, GraphsOfFlexAttentionKeepShapeAndType) {
  ModelText shape, type, none, two;
  shape.Input("s", DType::kF32, {}).Node("ReduceSum", {"s"}, {"t"}).Output("t");
  type.Input("s", DType::kF32, {}).Node("Cast", {"s"}, {"t"}, {IntAttribute("to", 11)});
  type.Output("t");
  none.Input("s", DType::kF32, {});
  two.Input("s", DType::kF32, {}).Input("u", DType::kF32, {}).Output("s");
  for (const ModelText& graph : {shape, type, none, two}) {
    for (const std::string_view name : {"score_mod", "prob_mod"}) {
      ModelText model = Flex({graph.GraphAttribute(name)});
      EXPECT_EQ(Import(model).status().code(), StatusCode::kInvalidArgument);
    }
  }
  ModelText number = Flex({IntAttribute("score_mod", 1)});
  EXPECT_EQ(Import(number).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fusee::compiler
