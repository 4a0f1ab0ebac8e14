#include "ir/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "ir/text.h"

namespace fusee::ir {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<Graph> Read(std::string_view text) {
  auto graph = Parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status().ToString();
  return graph.ok() ? std::move(*graph) : std::make_unique<Graph>();
}

// x -> Relu -> a -> Add(a, a) -> b -> Neg -> y
std::unique_ptr<Graph> Chain() {
  return Read(R"(graph "chain" {
    input %x : f32[2]
    %a : f32[2] = Relu(%x) from("relu")
    %b : f32[2] = Add(%a, %a) from("add")
    %y : f32[2] = Neg(%b) from("neg")
    output %y as "y"
  })");
}

NodeId Producer(const Graph& g, const char* name) { return g.value(*g.FindValue(name)).producer; }

TEST(Graph, CountsUses) {
  const auto g = Chain();
  const ValueId x = *g->FindValue("x"), a = *g->FindValue("a"), b = *g->FindValue("b"),
                y = *g->FindValue("y");
  EXPECT_THAT(g->Users(a), ElementsAre(Producer(*g, "b")));  // reads it twice, listed once
  EXPECT_TRUE(g->HasSingleUse(x));
  EXPECT_FALSE(g->HasSingleUse(a));
  EXPECT_TRUE(g->HasSingleUse(b));
  EXPECT_FALSE(g->HasSingleUse(y));  // a graph output
  EXPECT_TRUE(g->IsOutput(y));
  EXPECT_THAT(g->UseCounts(), ElementsAre(1, 2, 1, 1));
  g->MarkOutput(b, "b");
  EXPECT_FALSE(g->HasSingleUse(b));
}

TEST(Graph, ReplacesUsesInNodesAndOutputs) {
  const auto g = Chain();
  const ValueId x = *g->FindValue("x"), b = *g->FindValue("b"), y = *g->FindValue("y");
  g->ReplaceAllUses(b, x);
  g->ReplaceAllUses(y, b);
  EXPECT_EQ(g->node(Producer(*g, "y")).inputs[0], x);
  EXPECT_EQ(g->outputs()[0], b);
  EXPECT_EQ(g->output_names()[0], "y");
  g->EraseNode(Producer(*g, "y"));
  EXPECT_FALSE(g->FindValue("y").has_value());
  EXPECT_TRUE(Verify(*g).ok());
}

TEST(Graph, ReplacesManyAtOnceAndFollowsChains) {
  const auto g = Chain();
  std::vector<ValueId> to(g->value_count());
  to[g->FindValue("b")->index()] = *g->FindValue("a");
  to[g->FindValue("a")->index()] = *g->FindValue("x");
  g->ReplaceUses(to);
  EXPECT_EQ(g->node(Producer(*g, "y")).inputs[0], *g->FindValue("x"));
  const NodeId dead[] = {Producer(*g, "a"), Producer(*g, "b")};
  g->EraseNodes(dead);
  EXPECT_EQ(g->order().size(), 1u);
  EXPECT_TRUE(Verify(*g).ok());
}

TEST(Graph, ErasedNamesCanBeUsedAgainAndIdsCannot) {
  const auto g = Chain();
  const ValueId x = *g->FindValue("x"), b = *g->FindValue("b"), y = *g->FindValue("y");
  g->ReplaceAllUses(y, b);
  g->EraseNode(Producer(*g, "y"));
  Node node;
  node.op = "Abs";
  node.inputs = {x};
  const std::string names[] = {"y"};
  const ValueInfo infos[] = {g->value(x).info};
  const NodeId id = g->AddNode(std::move(node), names, infos);
  EXPECT_EQ(g->value(g->node(id).outputs[0]).name, "y");
  EXPECT_NE(g->node(id).outputs[0], y);
}

TEST(Graph, InsertsBeforeANodeAndKeepsOrder) {
  const auto g = Chain();
  Node node;
  node.op = "Abs";
  node.inputs = {*g->FindValue("b")};
  const std::string names[] = {"abs", ""};
  const ValueInfo infos[] = {g->value(*g->FindValue("b")).info, {}};
  const NodeId neg = Producer(*g, "y");
  const NodeId id = g->InsertNode(neg, std::move(node), names, infos);
  EXPECT_EQ(g->order()[2], id);
  EXPECT_EQ(g->order()[3], neg);
  EXPECT_FALSE(g->node(id).outputs[1].valid());
  g->node(neg).inputs[0] = g->node(id).outputs[0];
  EXPECT_TRUE(Verify(*g).ok()) << Verify(*g).ToString();
}

TEST(Graph, FreshNamesGetTheSmallestFreeSuffix) {
  Graph g;
  const ValueInfo info{DType::kF32, {}, {}};
  EXPECT_EQ(g.value(g.AddInput("x", info)).name, "x");
  EXPECT_EQ(g.value(g.AddInput("x", info)).name, "x.1");
  EXPECT_EQ(g.value(g.AddInput("x", info)).name, "x.2");
  for (int i = 3; i < 1000; ++i)
    EXPECT_EQ(g.value(g.AddInput("x", info)).name, "x." + std::to_string(i));
  EXPECT_EQ(g.FreshName(""), "value");
}

TEST(Graph, RenamesAndRedirectsOutputs) {
  const auto g = Chain();
  g->Rename(*g->FindValue("b"), "sum");
  EXPECT_FALSE(g->FindValue("b").has_value());
  g->SetOutput(0, *g->FindValue("sum"));
  EXPECT_EQ(g->value(g->outputs()[0]).name, "sum");
  EXPECT_EQ(g->output_names()[0], "y");
  EXPECT_TRUE(Verify(*g).ok());
}

TEST(Graph, SmallIntegerConstantsAreTracked) {
  Graph g;
  const ValueId shape = g.AddConstant("shape", Tensor::Of<int64_t>(Shape{3}, {2, -1, 7}));
  EXPECT_THAT(*g.value(shape).info.elements, ElementsAre(Dim(2), Dim(-1), Dim(7)));
  const ValueId weight = g.AddConstant("weight", Tensor::Of<float>(Shape{1}, {1.5f}));
  EXPECT_FALSE(g.value(weight).info.elements.has_value());
  const ValueId huge = g.AddConstant("huge", Tensor::Of<uint64_t>(Shape{1}, {~uint64_t{0}}));
  EXPECT_FALSE(g.value(huge).info.elements.has_value());
  const std::vector<int32_t> many(kMaxTrackedElements + 1, 3);
  const ValueId large = g.AddConstant(
      "large", Tensor::Of<int32_t>(Shape{kMaxTrackedElements + 1}, std::span<const int32_t>(many)));
  EXPECT_FALSE(g.value(large).info.elements.has_value());
  EXPECT_TRUE(Verify(g).ok());
}

TEST(Graph, ReplacesAResultByAConstant) {
  const auto g = Chain();
  const ValueId b = *g->FindValue("b");
  const NodeId add = Producer(*g, "b");
  g->ReplaceWithConstant(b, Tensor::Of<float>(Shape{2}, {1, 2}));
  EXPECT_FALSE(g->node(add).outputs[0].valid());
  EXPECT_TRUE(Verify(*g).ok()) << Verify(*g).ToString();
  g->EraseNode(add);
  EXPECT_EQ(g->value(b).name, "b");
  EXPECT_TRUE(g->value(b).alive);
  g->ReplaceAllUses(b, *g->FindValue("a"));
  g->EraseConstant(b);
  EXPECT_TRUE(Verify(*g).ok()) << Verify(*g).ToString();
}

TEST(Graph, SortIsTopologicalAndStable) {
  // %y needs %late, which is added behind it.
  Graph g;
  const ValueInfo info{DType::kF32, {}, {}};
  const ValueId x = g.AddInput("x", info);
  const std::string early[] = {"early"}, late[] = {"late"}, other[] = {"other"};
  const auto make = [&](const char* op, std::vector<ValueId> inputs,
                        std::span<const std::string> names) {
    Node node;
    node.op = op;
    node.inputs = std::move(inputs);
    node.sources = {op};
    return g.AddNode(std::move(node), names, std::span(&info, 1));
  };
  const NodeId first = make("First", {x}, early);
  const NodeId free = make("Free", {x}, other);
  const NodeId second = make("Second", {x}, late);
  g.node(first).inputs[0] = g.node(second).outputs[0];
  EXPECT_FALSE(Verify(g).ok());
  ASSERT_TRUE(g.Sort().ok());
  EXPECT_THAT(g.order(), ElementsAre(free, second, first));
  EXPECT_TRUE(Verify(g).ok());

  g.node(second).inputs[0] = g.node(first).outputs[0];
  const Status cycle = g.Sort();
  EXPECT_EQ(cycle.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(cycle.message(), HasSubstr("node 'Second' (Second)"));
  EXPECT_THAT(cycle.message(), HasSubstr("cycle"));
}

TEST(Graph, CloneIsDeepAndPrintsEqual) {
  const auto g = Read(R"(graph "outer" {
    symbol n in [1, 4]
    input %x : f32[n]
    const %w : f32[2] = {1, 2}
    %y : f32[n] = If(%x) from("if") regions {
      graph "then" { input %p : f32[n] output %p as "p" }
    }
    output %y as "y"
    constraint (n, 2) because "why"
  })");
  const auto copy = Clone(*g);
  EXPECT_EQ(Print(*copy), Print(*g));
  EXPECT_EQ(copy->value(*copy->FindValue("w")).constant.view().data,
            g->value(*g->FindValue("w")).constant.view().data);
  copy->node(copy->order()[0]).regions[0]->name = "changed";
  copy->node(copy->order()[0]).op = "Changed";
  EXPECT_NE(Print(*copy), Print(*g));
  EXPECT_EQ(g->node(g->order()[0]).regions[0]->name, "then");
}

TEST(Graph, DescribesNodesByTheirSources) {
  Node node;
  node.op = "Conv";
  EXPECT_EQ(DescribeNode(node), "node (Conv)");
  node.sources = {"conv_1", "bn_1"};
  EXPECT_EQ(DescribeNode(node), "node 'conv_1' + 'bn_1' (Conv)");
  node.sources = {"a", "b", "c", "d", "e", "f"};
  EXPECT_EQ(DescribeNode(node), "node 'a' + 'b' + 'c' + 'd' + 2 more (Conv)");
}

// --- Verify: one broken rule per case, made through the mutable accessors ---

struct Breakage {
  const char* name;
  void (*break_it)(Graph&);
  const char* rule;
};

ValueId Id(const Graph& g, const char* name) { return *g.FindValue(name); }

const Breakage kBreakages[] = {
    {"UseBeforeDefinition", [](Graph& g) { g.node(g.order()[0]).inputs[0] = Id(g, "y"); },
     "defined before its use"},
    {"OperandOutOfRange", [](Graph& g) { g.node(g.order()[0]).inputs[0] = ValueId(99); },
     "operand 0 is a live value"},
    {"ResultOutOfRange", [](Graph& g) { g.node(g.order()[0]).outputs.push_back(ValueId(99)); },
     "result 1 is a live value"},
    {"AssignedTwice", [](Graph& g) { g.node(g.order()[2]).outputs.push_back(Id(g, "a")); },
     "assigned once, by its producer"},
    {"WrongOutputIndex", [](Graph& g) { g.value(Id(g, "a")).output_index = 3; },
     "assigned once, by its producer"},
    {"ProducerForgotten", [](Graph& g) { g.node(g.order()[2]).outputs.clear(); },
     "producer is in the order"},
    {"DeadOperand", [](Graph& g) { g.value(Id(g, "x")).alive = false; },
     "an input is a live value"},
    {"DeadNode", [](Graph& g) { g.node(g.order()[1]).alive = false; },
     "an erased node is not in the order"},
    {"NoOperator", [](Graph& g) { g.node(g.order()[1]).op.clear(); }, "a node has an operator"},
    {"NoDtype", [](Graph& g) { g.value(Id(g, "a")).info.dtype = DType::kInvalid; },
     "a live value has a dtype"},
    {"NoOrigin", [](Graph& g) { g.value(Id(g, "a")).producer = NodeId(); },
     "an input, a constant or a node's result"},
    {"NegativeDimension", [](Graph& g) { g.value(Id(g, "a")).info.shape[0] = -1; },
     "a dimension is 0 or more"},
    {"RankAboveLimit", [](Graph& g) { g.value(Id(g, "a")).info.shape.assign(9, Dim(1)); },
     "a rank is at most 8"},
    {"NameChangedBehindTheTable", [](Graph& g) { g.value(Id(g, "a")).name = "other"; },
     "found by its name"},
    {"NamesEqual", [](Graph& g) { g.value(Id(g, "b")).name = "a"; }, "names are unique"},
    {"ConstantShape", [](Graph& g) { g.value(Id(g, "w")).info.shape = {Dim(3)}; },
     "a constant's bytes fit its info"},
    {"ConstantDtype", [](Graph& g) { g.value(Id(g, "w")).info.dtype = DType::kF64; },
     "a constant's bytes fit its info"},
    {"ConstantSymbolic", [](Graph& g) { g.value(Id(g, "w")).info.shape = {Dim::Symbol("n")}; },
     "a constant's bytes fit its info"},
    {"ConstantProduced", [](Graph& g) { g.value(Id(g, "w")).producer = g.order()[0]; },
     "a constant has no producer"},
    {"InputProduced", [](Graph& g) { g.value(Id(g, "x")).producer = g.order()[0]; },
     "an input has no producer"},
    {"FloatElements", [](Graph& g) { g.value(Id(g, "a")).info.elements.emplace(2, Dim(0)); },
     "only integer and bool"},
    {"ElementsDoNotFit", [](Graph& g) { g.value(Id(g, "s")).info.elements.emplace(3, Dim(0)); },
     "tracked elements fit the shape (3 for shape [2])"},
    {"TooManyElements",
     [](Graph& g) {
       g.value(Id(g, "s")).info.shape = {Dim::Symbol("n")};
       g.value(Id(g, "s")).info.elements.emplace(257, Dim(0));
     },
     "at most 256 elements"},
    {"OutputDead", [](Graph& g) { g.SetOutput(0, ValueId(77)); }, "an output is a live value"},
    {"OutputNamedTwice", [](Graph& g) { g.MarkOutput(Id(g, "b"), "y"); },
     "output names are unique"},
    {"SymbolRange",
     [](Graph& g) {
       g.symbols()["n"] = {5, 4};
     },
     "min <= max"},
    {"PinnedNoInput",
     [](Graph& g) {
       g.pinned_inputs().push_back({Id(g, "a"), Tensor::Of<float>(Shape{2}, {1, 2})});
     },
     "a pinned input is an input"},
    {"PinnedDtype",
     [](Graph& g) {
       g.pinned_inputs().push_back({Id(g, "x"), Tensor::Of<int64_t>(Shape{2}, {1, 2})});
     },
     "a pinned input's bytes have its dtype"},
    {"GuardOfAnotherType",
     [](Graph& g) {
       g.node(g.order()[1]).guards = {{Id(g, "x"), true}};
     },
     "a bool of one element"},
    {"GuardThatComesLater",
     [](Graph& g) {
       g.node(g.order()[0]).guards = {{Id(g, "b"), true}};
     },
     "defined before it"},
    {"RegionMissing", [](Graph& g) { g.node(g.order()[0]).regions.push_back(nullptr); },
     "a region is a graph"},
    {"RegionBroken",
     [](Graph& g) {
       auto region = Clone(g);
       region->node(region->order()[1]).op.clear();
       g.node(g.order()[0]).regions.push_back(std::move(region));
     },
     "a node has an operator"},
};

class VerifyCatches : public testing::TestWithParam<Breakage> {};

TEST_P(VerifyCatches, TheBrokenRule) {
  const auto g = Read(R"(graph "g" {
    input %x : f32[2]
    input %s : i64[2]{1, 2}
    const %w : f32[2] = {1, 2}
    %a : f32[2] = Relu(%x) from("relu")
    %b : f32[2] = Add(%a, %w) from("add")
    %y : f32[2] = Neg(%b) from("neg")
    output %y as "y"
  })");
  ASSERT_TRUE(Verify(*g).ok()) << Verify(*g).ToString();
  GetParam().break_it(*g);
  const Status status = Verify(*g);
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().rule));
}
INSTANTIATE_TEST_SUITE_P(EachRule, VerifyCatches, testing::ValuesIn(kBreakages),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace fusee::ir
