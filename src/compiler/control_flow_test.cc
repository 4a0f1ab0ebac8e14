// If, Loop and Scan as the importer writes them out.
#include <gmock/gmock.h>

#include "compiler/import.h"
#include "compiler/model_test_util.h"
#include "ir/graph.h"
#include "ir/text.h"
#include "passes/pass_manager.h"

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

TEST(ControlFlow, BranchesOfAConditionThatARunTellsAreRegions) {
  ModelText then_branch, else_branch;
  then_branch.Node("Mul", {"x", "w"}, {"a"}).Node("Add", {"a", "v"}, {"b"}).Output("b");
  else_branch.Initializer("k", DType::kF32, {}, std::string("\0\0\0\x40", 4))
      .Node("Add", {"x", "k"}, {"d"})
      .Output("d");
  ModelText model = Choice();
  model.Input("c", DType::kBool, {1})
      .Initializer("w", DType::kF32, {}, std::string("\0\0\x80\x3f", 4))
      .Node("Neg", {"x"}, {"v"})
      .Node("If", {"c"}, {"y"},
            {then_branch.GraphAttribute("then_branch"), else_branch.GraphAttribute("else_branch")});
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status().ToString();
  EXPECT_TRUE(passes::VerifyTyped(*imported->graph).ok());
  EXPECT_EQ(ir::Print(*imported->graph, {.sources = false}), R"(graph "" {
  input %x : f32[2,3]
  input %c : bool[1]
  const %w : f32[] = {1}
  const %k : f32[] = {2}
  %v : f32[2,3] = Neg(%x)
  %If_1/Reshape : bool[] = Reshape(%c)
  %y : f32[2,3] = If(%If_1/Reshape, %x, %v) regions {
    graph "then" {
      input %x : f32[2,3]
      input %v : f32[2,3]
      const %w : f32[] = {1}
      %a : f32[2,3] = Mul(%x, %w)
      %b : f32[2,3] = Add(%a, %v)
      output %b as "0"
    }
    graph "else" {
      input %x : f32[2,3]
      input %v : f32[2,3]
      const %k : f32[] = {2}
      %d : f32[2,3] = Add(%x, %k)
      output %d as "0"
    }
  }
  output %y as "y"
}
)");
}

// A model whose condition is an input.
Status ChoiceOf(const ModelText& then_branch, const ModelText& else_branch,
                DType condition = DType::kBool, std::initializer_list<int64_t> dims = {}) {
  ModelText model;
  model.Input("x", DType::kF32, {-1, 3}).Output("y");
  model.Input("c", condition, dims)
      .Initializer("five", DType::kF32, {5, 3}, std::string(60, '\0'))
      .Node("If", {"c"}, {"y"},
            {then_branch.GraphAttribute("then_branch"), else_branch.GraphAttribute("else_branch")});
  return Import(model).status();
}

TEST(ControlFlow, BranchesOfDifferentTypesNeedAConditionThatIsKnown) {
  EXPECT_TRUE(ChoiceOf(Branch("Exp", "a"), Branch("Sqrt", "b")).ok());
  ModelText doubled;
  doubled.Node("Cast", {"x"}, {"a"}, {IntAttribute("to", 11)}).Output("a");
  for (const ModelText& other : {Branch("ReduceSum", "a"), Branch("Transpose", "a"), doubled}) {
    for (const Status& status :
         {ChoiceOf(other, Branch("Sqrt", "b")), ChoiceOf(Branch("Sqrt", "b"), other)}) {
      EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
      EXPECT_THAT(status.message(), HasSubstr("node 'If_0'"));
      EXPECT_THAT(status.message(), HasSubstr("the branches give result 0 as"));
      EXPECT_THAT(status.message(), HasSubstr("--pin c=FILE"));
    }
  }
}

// What a run would have to meet on the course that it does not take.
TEST(ControlFlow, BranchesThatAskSomethingOfARunNeedAConditionThatIsKnown) {
  ModelText found, agreeing, sum;
  found.Node("NonZero", {"x"}, {"i"}).Node("Cast", {"i"}, {"j"}, {IntAttribute("to", 1)});
  found.Node("ReduceSum", {"j"}, {"a"}, {IntAttribute("keepdims", 0)}).Output("a");
  agreeing.Node("Add", {"x", "five"}, {"f"});
  agreeing.Node("ReduceSum", {"f"}, {"a"}, {IntAttribute("keepdims", 0)}).Output("a");
  sum.Node("ReduceSum", {"x"}, {"b"}, {IntAttribute("keepdims", 0)}).Output("b");
  EXPECT_TRUE(ChoiceOf(sum, sum).ok()) << ChoiceOf(sum, sum).ToString();
  for (const auto& [branch, why] :
       {std::pair(found, "sizes that depend on the data"), std::pair(agreeing, "sizes agree")}) {
    for (const Status& status : {ChoiceOf(branch, sum), ChoiceOf(sum, branch)}) {
      EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
      EXPECT_THAT(status.message(), HasSubstr(why));
      EXPECT_THAT(status.message(), HasSubstr("--pin c=FILE"));
    }
  }
}

TEST(ControlFlow, AConditionIsOneBoolAndBranchesGiveAllResults) {
  const auto code = [](const Status& status) { return status.code(); };
  const ModelText a = Branch("Exp", "a"), b = Branch("Sqrt", "b");
  ModelText nothing;
  EXPECT_TRUE(ChoiceOf(a, b, DType::kBool, {1, 1}).ok());
  EXPECT_EQ(code(ChoiceOf(a, b, DType::kBool, {2})), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(ChoiceOf(a, b, DType::kBool, {0})), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(ChoiceOf(a, b, DType::kBool, {-1})), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(ChoiceOf(a, b, DType::kI64, {})), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(ChoiceOf(a, nothing)), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(ChoiceOf(nothing, b)), StatusCode::kInvalidArgument);
}

// A region of a region reads what the outer one reads for it.
TEST(ControlFlow, ConditionsThatARunTellsNest) {
  ModelText inner;
  inner.Node("ReduceSum", {"x"}, {"s"}, {IntAttribute("keepdims", 0)})
      .Initializer("zero", DType::kF32, {}, std::string(4, '\0'))
      .Node("Greater", {"s", "zero"}, {"above"})
      .Node("If", {"above"}, {"i"},
            {Branch("Exp", "a").GraphAttribute("then_branch"),
             Branch("Neg", "b").GraphAttribute("else_branch")})
      .Output("i");
  ModelText model = Choice();
  model.Input("c", DType::kBool, {})
      .Node(
          "If", {"c"}, {"y"},
          {inner.GraphAttribute("then_branch"), Branch("Sqrt", "d").GraphAttribute("else_branch")});
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status().ToString();
  const ir::Graph& graph = *imported->graph;
  ASSERT_EQ(graph.order().size(), 1u);
  const ir::Graph& outer = *graph.node(graph.order()[0]).regions[0];
  EXPECT_EQ(CountOf(outer, "If"), 1u);
  EXPECT_EQ(outer.inputs().size(), 1u);
  EXPECT_TRUE(passes::VerifyTyped(graph).ok());
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
