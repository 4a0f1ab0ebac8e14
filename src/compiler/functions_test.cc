// Model-local functions: a call is what its function's nodes would be in its place.
#include "compiler/functions.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/capability.h"
#include "compiler/import.h"
#include "compiler/model_test_util.h"
#include "compiler/repro.h"
#include "ir/text.h"

namespace fusee::compiler {
namespace {

using onnx::AttrType;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kPkg = "pkg";

// The graph without the names of its values, which a call prefixes.
std::string Canonical(ir::Graph& graph) {
  int next = 0;
  std::set<ir::ValueId> seen;
  const auto name = [&](ir::ValueId id) {
    if (id.valid() && seen.insert(id).second) graph.Rename(id, fmt::format("canonical{}", next++));
  };
  for (const ir::ValueId id : graph.inputs()) name(id);
  for (const ir::NodeId node : graph.order()) {
    for (const ir::ValueId id : graph.node(node).inputs) name(id);
    for (const ir::ValueId id : graph.node(node).outputs) name(id);
  }
  // What only a condition that is known used.
  for (uint32_t i = 0; i < graph.value_count(); ++i) {
    const ir::ValueId id(i);
    if (graph.value(id).constant.present() && !seen.contains(id)) graph.EraseConstant(id);
  }
  return ir::Print(graph, {.sources = false});
}

std::string Canonical(ModelText& model) {
  auto imported = Import(*model.Read(), {});
  if (!imported.ok()) return "refused: " + std::string(imported.status().message());
  EXPECT_TRUE(ir::Verify(*imported->graph).ok());
  return Canonical(*imported->graph);
}

Status ImportStatus(ModelText& model) { return Import(*model.Read(), {}).status(); }

ModelText Model(int64_t opset = 17) {
  ModelText model(opset);
  model.Input("x", DType::kF32, {2, 3}).Output("y");
  return model;
}

// A model of one call of pkg::F, by x to y.
ModelText Calling(const FunctionText& function, const std::vector<std::string>& attributes = {}) {
  ModelText model = Model();
  model.Import(kPkg, 1).Function(function);
  model.Raw(NodeText(kPkg, "F", {"x"}, {"y"}, attributes, "call"));
  return model;
}

// pkg::F of one node, x to y.
FunctionText Single(std::string_view op, const std::vector<std::string>& attributes = {}) {
  FunctionText f(kPkg, "F", {"x"}, {"y"});
  f.Node(op, {"x"}, {"y"}, attributes);
  return f;
}

TEST(Functions, ACallIsItsNodesWrittenOut) {
  // Names inside are the function's own: t and y are also names of the model, for other values.
  FunctionText f(kPkg, "F", {"a", "t"}, {"y", "r"});
  f.Node("Mul", {"a", "t"}, {"x"}).Node("Exp", {"x"}, {"r"}).Node("Add", {"r", "a"}, {"y"});
  ModelText model = Model();
  model.Import(kPkg, 1).Function(f).Node("Neg", {"x"}, {"t"});
  model.Raw(NodeText(kPkg, "F", {"t", "x"}, {"p", "q"}));
  model.Raw(NodeText(kPkg, "F", {"q", "p"}, {"y", ""}));
  ModelText written = Model();
  written.Node("Neg", {"x"}, {"t"});
  written.Node("Mul", {"t", "x"}, {"a"}).Node("Exp", {"a"}, {"q"}).Node("Add", {"q", "t"}, {"p"});
  written.Node("Mul", {"q", "p"}, {"b"}).Node("Exp", {"b"}, {"r"}).Node("Add", {"r", "q"}, {"y"});
  EXPECT_EQ(Canonical(model), Canonical(written));
}

TEST(Functions, ResultsHaveTheModelsNamesAndInnerValuesTheCalls) {
  FunctionText f(kPkg, "F", {"x"}, {"y"});
  f.Node("Exp", {"x"}, {"inner"}).Node("Sqrt", {"inner"}, {"y"});
  ModelText model = Calling(f);
  const auto imported = Import(*model.Read(), {});
  ASSERT_TRUE(imported.ok()) << imported.status().message();
  const ir::Graph& graph = *imported->graph;
  EXPECT_TRUE(graph.FindValue("y"));
  EXPECT_TRUE(graph.FindValue("call/inner"));
  EXPECT_THAT(graph.node(graph.order().front()).sources, ElementsAre("call/Exp_0"));
  EXPECT_EQ(imported->operators.at("Exp"), 1u);
  EXPECT_FALSE(imported->operators.contains("F"));
}

TEST(Functions, NodesOfAFunctionMayStandInAnyOrder) {
  FunctionText f(kPkg, "F", {"x"}, {"y"});
  f.Node("Sqrt", {"t"}, {"y"}).Node("Exp", {"x"}, {"t"});
  ModelText model = Calling(f);
  ModelText written = Model();
  written.Node("Exp", {"x"}, {"t"}).Node("Sqrt", {"t"}, {"y"});
  EXPECT_EQ(Canonical(model), Canonical(written));
}

TEST(Functions, AttributesAreTheCallsOrDefaultsOrAbsent) {
  const std::vector<std::string> reference = {
      ReferenceAttribute("alpha", AttrType::kFloat, "slope")};
  struct Case {
    bool declared, with_default;
    std::vector<std::string> passed, written;
  };
  const Case cases[] = {
      {true, false, {FloatAttribute("slope", 0.25f)}, {FloatAttribute("alpha", 0.25f)}},
      {true, false, {}, {}},
      {false, true, {FloatAttribute("slope", 0.25f)}, {FloatAttribute("alpha", 0.25f)}},
      {false, true, {}, {FloatAttribute("alpha", 0.5f)}}};
  for (const Case& c : cases) {
    FunctionText f = Single("LeakyRelu", reference);
    if (c.declared) f.Attribute("slope");
    if (c.with_default) f.Default(FloatAttribute("slope", 0.5f));
    ModelText model = Calling(f, c.passed);
    ModelText written = Model();
    wire::Writer unused;
    written.Raw(NodeText("", "LeakyRelu", {"x"}, {"y"}, c.written));
    EXPECT_EQ(Canonical(model), Canonical(written));
  }
}

TEST(Functions, AttributesPassThroughNestedCalls) {
  FunctionText inner = Single("LeakyRelu", {ReferenceAttribute("alpha", AttrType::kFloat, "a")});
  inner.Attribute("a");
  FunctionText outer(kPkg, "Outer", {"x"}, {"y"});
  outer.Import(kPkg, 1).Attribute("b");
  outer.Raw(NodeText(kPkg, "F", {"x"}, {"t"}, {ReferenceAttribute("a", AttrType::kFloat, "b")}));
  outer.Raw(NodeText(kPkg, "F", {"t"}, {"y"}, {FloatAttribute("a", 2.f)}));
  ModelText model = Model();
  model.Import(kPkg, 1).Function(outer).Function(inner);
  model.Raw(NodeText(kPkg, "Outer", {"x"}, {"y"}, {FloatAttribute("b", 3.f)}));
  ModelText written = Model();
  written.Node("LeakyRelu", {"x"}, {"t"}, {FloatAttribute("alpha", 3.f)});
  written.Node("LeakyRelu", {"t"}, {"y"}, {FloatAttribute("alpha", 2.f)});
  EXPECT_EQ(Canonical(model), Canonical(written));
}

TEST(Functions, ReferencesInsideNestedGraphsAreBound) {
  ModelText branch;
  branch.Node("LeakyRelu", {"x"}, {"b"}, {ReferenceAttribute("alpha", AttrType::kFloat, "a")});
  branch.Output("b");
  FunctionText f(kPkg, "F", {"x", "c"}, {"y"});
  f.Attribute("a").Node(
      "If", {"c"}, {"y"},
      {branch.GraphAttribute("then_branch"), branch.GraphAttribute("else_branch")});
  ModelText model = Model();
  model.Import(kPkg, 1).Function(f).Initializer("yes", DType::kBool, {}, std::string(1, 1));
  model.Raw(NodeText(kPkg, "F", {"x", "yes"}, {"y"}, {FloatAttribute("a", 3.f)}));
  ModelText written = Model();
  written.Node("LeakyRelu", {"x"}, {"y"}, {FloatAttribute("alpha", 3.f)});
  EXPECT_EQ(Canonical(model), Canonical(written));
}

TEST(Functions, OperandsThatTheCallLeavesOutAreAbsentInside) {
  FunctionText f(kPkg, "F", {"x", "low", "high"}, {"y"});
  f.Node("Clip", {"x", "low", "high"}, {"y"});
  const std::string one("\0\0\x80\x3f", 4);
  const std::vector<std::vector<std::string_view>> calls = {{"x"}, {"x", "", "one"}, {"x", "one"}};
  for (const auto& operands : calls) {
    ModelText model = Model(), written = Model();
    model.Import(kPkg, 1).Function(f).Initializer("one", DType::kF32, {}, one);
    model.Raw(NodeText(kPkg, "F", operands, {"y"}));
    written.Initializer("one", DType::kF32, {}, one);
    written.Raw(NodeText("", "Clip", operands, {"y"}));
    EXPECT_EQ(Canonical(model), Canonical(written));
  }
}

TEST(Functions, TheFunctionsOwnOpsetDecides) {
  // Softmax normalised all axes behind the given one until opset 13.
  FunctionText old(kPkg, "F", {"x"}, {"y"}, 11);
  old.Node("Softmax", {"x"}, {"y"}, {IntAttribute("axis", 0)});
  ModelText model = Calling(old);
  ModelText written = Model(11);
  written.Node("Softmax", {"x"}, {"y"}, {IntAttribute("axis", 0)});
  ModelText newer = Model(17);
  newer.Node("Softmax", {"x"}, {"y"}, {IntAttribute("axis", 0)});
  EXPECT_EQ(Canonical(model), Canonical(written));
  EXPECT_NE(Canonical(model), Canonical(newer));
}

TEST(Functions, OfTheModelGoBeforeOperatorsOfTheSameName) {
  FunctionText f("", "Relu", {"x"}, {"y"});
  f.Node("Exp", {"x"}, {"y"});
  ModelText model = Model(), written = Model();
  model.Function(f).Node("Relu", {"x"}, {"y"});
  written.Node("Exp", {"x"}, {"y"});
  EXPECT_EQ(Canonical(model), Canonical(written));
}

TEST(Functions, OverloadsAreToldApart) {
  FunctionText first = Single("Exp"), second = Single("Sqrt");
  second.Overload("other");
  for (const std::string_view overload : {"", "other"}) {
    ModelText model = Model(), written = Model();
    model.Import(kPkg, 1).Function(first).Function(second);
    model.Raw(NodeText(kPkg, "F", {"x"}, {"y"}, {}, "", overload));
    written.Node(overload.empty() ? "Exp" : "Sqrt", {"x"}, {"y"});
    EXPECT_EQ(Canonical(model), Canonical(written));
  }
}

TEST(Functions, AreCalledFromNestedGraphs) {
  ModelText branch;
  branch.Raw(NodeText(kPkg, "F", {"x"}, {"b"})).Output("b");
  ModelText model = Model(), written = Model();
  model.Import(kPkg, 1).Function(Single("Exp"));
  model.Initializer("yes", DType::kBool, {}, std::string(1, 1));
  model.Node("If", {"yes"}, {"y"},
             {branch.GraphAttribute("then_branch"), branch.GraphAttribute("else_branch")});
  written.Node("Exp", {"x"}, {"y"});
  EXPECT_EQ(Canonical(model), Canonical(written));
}

TEST(Functions, ConstantOperandsAreKnownInside) {
  FunctionText f(kPkg, "F", {"x", "shape"}, {"y"});
  f.Node("Reshape", {"x", "shape"}, {"y"});
  ModelText model = Model(), written = Model();
  const std::string six("\6\0\0\0\0\0\0\0", 8);
  model.Import(kPkg, 1).Function(f).Initializer("s", DType::kI64, {1}, six);
  model.Raw(NodeText(kPkg, "F", {"x", "s"}, {"y"}));
  written.Initializer("s", DType::kI64, {1}, six).Node("Reshape", {"x", "s"}, {"y"});
  EXPECT_EQ(Canonical(model), Canonical(written));
}

// As torch.onnx.export(dynamo=True) wrote models in 2023 and 2024: a function for each module, of
// functions for each aten operator, which compute shapes and ranks with functions of a third domain
// under opset imports of their own.
ModelText DynamoModel() {
  constexpr std::string_view kTorch = "pkg.onnxscript.torch_lib";
  constexpr std::string_view kCommon = "pkg.onnxscript.torch_lib.common";
  constexpr std::string_view kModule = "pkg.torch.2.3.0";
  FunctionText rank(kCommon, "Rank", {"input"}, {"return_val"}, 18);
  rank.Node("Shape", {"input"}, {"tmp"}).Node("Size", {"tmp"}, {"return_val"});
  FunctionText is_scalar(kCommon, "IsScalar", {"input"}, {"return_val"}, 18);
  is_scalar.Import(kCommon, 1)
      .Raw(NodeText(kCommon, "Rank", {"input"}, {"tmp"}))
      .Node("Constant", {}, {"zero"}, {IntAttribute("value_int", 0)})
      .Node("Equal", {"tmp", "zero"}, {"return_val"});
  FunctionText add(kTorch, "aten_add", {"self", "other"}, {"return_val"}, 18);
  add.Default(FloatAttribute("alpha", 1.f))
      .Node("Constant", {}, {"alpha"},
            {ReferenceAttribute("value_float", AttrType::kFloat, "alpha")})
      .Node("CastLike", {"alpha", "other"}, {"alpha_0"})
      .Node("Mul", {"other", "alpha_0"}, {"other_1"})
      .Node("Add", {"self", "other_1"}, {"return_val"});
  ModelText one, axis;
  one.Node("Identity", {"self"}, {"same"}).Output("same");
  axis.Node("Softmax", {"self"}, {"soft"}, {ReferenceAttribute("axis", AttrType::kInt, "dim")});
  axis.Output("soft");
  FunctionText softmax(kTorch, "aten_softmax_no_dtype", {"self"}, {"result"}, 18);
  softmax.Attribute("dim")
      .Import(kCommon, 1)
      .Raw(NodeText(kCommon, "IsScalar", {"self"}, {"self_is_scalar"}))
      .Node("If", {"self_is_scalar"}, {"result"},
            {one.GraphAttribute("then_branch"), axis.GraphAttribute("else_branch")});
  FunctionText module(kModule, "torch_nn_modules_block_Block_block_1", {"arg0", "weight"},
                      {"softmax"}, 18);
  module.Import(kTorch, 1)
      .Raw(NodeText(kTorch, "aten_add", {"arg0", "weight"}, {"add"}, {FloatAttribute("alpha", 2.f)},
                    "aten_add_0"))
      .Raw(NodeText(kTorch, "aten_softmax_no_dtype", {"add"}, {"softmax"},
                    {IntAttribute("dim", -1)}, "aten_softmax_no_dtype_1"));
  ModelText model(18);
  model.Input("x", DType::kF32, {2, 3}).Output("y");
  model.Import(kModule, 1).Import(kTorch, 1).Import(kCommon, 1);
  for (const FunctionText& f : {rank, is_scalar, add, softmax, module}) model.Function(f);
  model.Initializer("block.weight", DType::kF32, {3}, std::string(12, '\x3f'));
  model.Raw(NodeText(kModule, "torch_nn_modules_block_Block_block_1", {"x", "block.weight"}, {"y"},
                     {}, "Block_block_1"));
  return model;
}

TEST(Functions, AModelOfTheDynamoExporterImports) {
  ModelText model = DynamoModel();
  const auto imported = Import(*model.Read(), {});
  ASSERT_TRUE(imported.ok()) << imported.status().message();
  std::vector<std::string> computed;
  for (const ir::NodeId id : imported->graph->order()) {
    const std::string& op = imported->graph->node(id).op;
    if (op == "Add" || op == "Softmax") computed.push_back(op);
  }
  EXPECT_THAT(computed, ElementsAre("Add", "Softmax"));
  const auto read = model.Read();
  EXPECT_TRUE(FindCapability(*read, {}).supported());
}

// --- refusals ---

void ExpectRefused(ModelText& model, std::string_view message,
                   StatusCode code = StatusCode::kInvalidArgument) {
  const Status status = ImportStatus(model);
  EXPECT_EQ(status.code(), code);
  EXPECT_THAT(status.message(), HasSubstr(message));
  const auto read = model.Read();
  const Capability capability = FindCapability(*read, {});
  EXPECT_FALSE(capability.supported());
  EXPECT_EQ(capability.unsupported(), code == StatusCode::kUnimplemented);
}

TEST(Functions, DefinedTwiceIsRefused) {
  ModelText model = Calling(Single("Exp"));
  model.Function(Single("Sqrt"));
  ExpectRefused(model, "function 'pkg::F' is defined twice");
}

TEST(Functions, ThatCallThemselvesAreRefused) {
  ModelText itself = Calling(FunctionText(kPkg, "F", {"x"}, {"y"})
                                 .Raw(NodeText(kPkg, "F", {"x"}, {"t"}))
                                 .Raw(NodeText(kPkg, "F", {"t"}, {"y"})));
  ExpectRefused(itself, "function 'pkg::F' calls itself");
  ModelText mutual =
      Calling(FunctionText(kPkg, "F", {"x"}, {"y"}).Raw(NodeText(kPkg, "G", {"x"}, {"y"})));
  mutual.Function(
      FunctionText(kPkg, "G", {"x"}, {"y"}).Raw(NodeText(kPkg, "F", {"x"}, {"y"}, {}, "back")));
  ExpectRefused(mutual, "'pkg::F' calls itself through 'pkg::G'");
}

TEST(Functions, CalledWithTooManyOperandsOrResultsAreRefused) {
  ModelText operands = Model(), results = Model();
  operands.Function(Single("Exp")).Raw(NodeText(kPkg, "F", {"x", "x"}, {"y"}));
  ExpectRefused(operands, "2 operands and 1 results, expected at most the 1 and 1 of function");
  results.Function(Single("Exp")).Raw(NodeText(kPkg, "F", {"x"}, {"y", "z"}));
  ExpectRefused(results, "1 operands and 2 results");
}

TEST(Functions, FormalNamesThatAreEmptyOrTwiceAreRefused) {
  ModelText empty = Calling(FunctionText(kPkg, "F", {""}, {"y"}).Node("Exp", {"x"}, {"y"}));
  ExpectRefused(empty, "function 'pkg::F': input 0 has no name");
  ModelText input = Calling(FunctionText(kPkg, "F", {"x", "x"}, {"y"}).Node("Exp", {"x"}, {"y"}));
  ExpectRefused(input, "input 'x' is declared twice");
  ModelText output = Calling(FunctionText(kPkg, "F", {"x"}, {"y", "y"}).Node("Exp", {"x"}, {"y"}));
  ExpectRefused(output, "output 'y' is declared twice");
  ModelText attribute = Calling(Single("Exp").Attribute("a").Default(FloatAttribute("a", 1)));
  ExpectRefused(attribute, "attribute 'a' is declared twice");
}

TEST(Functions, AttributesThatDoNotFitAreRefused) {
  ModelText undeclared = Calling(Single("Exp"), {FloatAttribute("a", 1)});
  ExpectRefused(undeclared, "attribute 'a' is not one of the 0 that function 'pkg::F' declares");
  ModelText unknown =
      Calling(Single("LeakyRelu", {ReferenceAttribute("alpha", AttrType::kFloat, "a")}));
  ExpectRefused(unknown,
                "function 'pkg::F', node 'LeakyRelu_0' (LeakyRelu): attribute 'alpha' "
                "refers to 'a', which is none of the 0 attributes");
  FunctionText typed = Single("LeakyRelu", {ReferenceAttribute("alpha", AttrType::kFloat, "a")});
  ModelText type = Calling(typed.Attribute("a"), {IntAttribute("a", 1)});
  ExpectRefused(type, "refers to 'a', a value of type 2, expected type 1");
  ModelText outside = Model();
  outside.Node("LeakyRelu", {"x"}, {"y"}, {ReferenceAttribute("alpha", AttrType::kFloat, "a")});
  ExpectRefused(outside, "refers to 'a', which only nodes of a function may");
  ModelText twice =
      Calling(Single("Exp").Attribute("a"), {FloatAttribute("a", 1), FloatAttribute("a", 2)});
  ExpectRefused(twice, "attribute 'a' is given twice");
  ModelText branch;
  branch.Node("Exp", {"x"}, {"b"}).Output("b");
  ModelText graph = Calling(Single("Exp").Attribute("a"), {branch.GraphAttribute("a")});
  ExpectRefused(graph, "attribute 'a' passes a graph", StatusCode::kUnimplemented);
}

TEST(Functions, BodiesThatDoNotHangTogetherAreRefused) {
  ModelText loose = Calling(FunctionText(kPkg, "F", {"x"}, {"y"}).Node("Add", {"x", "w"}, {"y"}));
  ExpectRefused(loose, "node 'call' calls function 'pkg::F', node 'Add_0' (Add) reads 'w', which");
  ModelText result = Calling(FunctionText(kPkg, "F", {"x"}, {"y"}).Node("Exp", {"x"}, {"z"}));
  ExpectRefused(result, "function 'pkg::F', a result: value 'y' is not defined");
  ModelText shadow = Calling(FunctionText(kPkg, "F", {"x"}, {"x"}).Node("Exp", {"x"}, {"x"}));
  ExpectRefused(shadow, "value 'x' is defined twice");
  // What surrounds the call is not seen from inside.
  ModelText outer = Calling(FunctionText(kPkg, "F", {"a"}, {"y"}).Node("Exp", {"x"}, {"y"}));
  ExpectRefused(outer, "reads 'x', which nothing defines");
  FunctionText optional(kPkg, "F", {"x", "o"}, {"o"});
  ModelText absent = Calling(optional);
  ExpectRefused(absent, "'o' is an operand of the function that its call leaves out");
}

TEST(Functions, DomainsThatAreNotImportedAreRefused) {
  ModelText model = Calling(FunctionText(kPkg, "F", {"x"}, {"y"}, 0).Node("Exp", {"x"}, {"y"}));
  ExpectRefused(model, "domain ai.onnx, which the function does not import");
  ModelText future = Calling(FunctionText(kPkg, "F", {"x"}, {"y"}, 99).Node("Exp", {"x"}, {"y"}));
  ExpectRefused(future, "function 'pkg::F': opset 99 is outside 7 to 26",
                StatusCode::kUnimplemented);
}

TEST(Functions, ThatAreNotThereAreRefused) {
  ModelText model = Calling(Single("Exp"));
  model.Raw(NodeText(kPkg, "G", {"x"}, {"z"}, {}, "other"));
  ExpectRefused(model,
                "node 'other': operator pkg::G is not supported, and no function of the model has "
                "that name",
                StatusCode::kUnimplemented);
}

TEST(Functions, NobodyCallsMayBeAnything) {
  ModelText model = Model();
  model.Function(FunctionText(kPkg, "F", {"x", "x"}, {"y"}, 99)).Node("Exp", {"x"}, {"y"});
  EXPECT_TRUE(ImportStatus(model).ok());
}

// --- what is supported, told of the inside ---

TEST(Functions, CapabilityNamesTheNodeInsideOnce) {
  FunctionText f(kPkg, "F", {"x"}, {"y"});
  f.Node("Exp", {"x"}, {"t"}).Raw(NodeText("", "NoSuchOperator", {"t"}, {"u"}, {}, "inner"));
  f.Node("Sqrt", {"u"}, {"y"});
  ModelText model = Calling(f);
  model.Raw(NodeText(kPkg, "F", {"x"}, {"z"}, {}, "again"));
  model.Raw(NodeText(kPkg, "F", {"y"}, {"w"}, {}, "behind"));  // of an operand that is not known
  const auto read = model.Read();
  const Capability c = FindCapability(*read, {});
  ASSERT_EQ(c.refusals.size(), 1u);
  EXPECT_EQ(DescribePlace(c.refusals[0]), "function 'pkg::F', node 'inner'");
  EXPECT_EQ(DescribeOperands(c.refusals[0].operands), "f32[2,3]");
  ASSERT_EQ(c.unjudged.size(), 1u);
  EXPECT_EQ(c.unjudged[0]->op_type, "Sqrt");
  for (const OperatorSupport& row : c.operators) {
    if (row.op != "NoSuchOperator") continue;
    EXPECT_EQ(row.opset, 17);
    EXPECT_THAT(row.refused, ElementsAre("function 'pkg::F', node 'inner'"));
    EXPECT_THAT(row.reason, HasSubstr("function 'pkg::F', node 'inner': operator NoSuchOperator"));
  }
  EXPECT_THAT(ImportStatus(model).message(),
              HasSubstr("node 'call' calls function 'pkg::F', node 'inner': operator "
                        "NoSuchOperator is not supported"));
}

TEST(Functions, DeclaredTypesCarryPastARefusedNodeInside) {
  FunctionText f(kPkg, "F", {"x"}, {"y"});
  f.Node("NoSuchOperator", {"x"}, {"t"}).Node("NorThisOne", {"t"}, {"y"});
  f.Declare("t", DType::kF32, {5});
  ModelText model;
  model.Input("x", DType::kF32, {2, 3}).Function(f).Raw(NodeText(kPkg, "F", {"x"}, {"y"}));
  model.Node("AndThisOne", {"y"}, {"z"}).Declare("y", DType::kF32, {4}).Output("z");
  const auto read = model.Read();
  const Capability c = FindCapability(*read, {});
  ASSERT_EQ(c.refusals.size(), 3u);
  EXPECT_EQ(DescribeOperands(c.refusals[1].operands), "f32[5]");
  EXPECT_EQ(DescribeOperands(c.refusals[2].operands), "f32[4]");
}

// The refused node alone, its attributes those of the call.
void ExpectReproduces(ModelText& model, std::string_view message) {
  const auto read = model.Read();
  const Capability before = FindCapability(*read, {});
  ASSERT_EQ(before.refusals.size(), 1u);
  EXPECT_NE(before.refusals[0].function, nullptr);
  const auto repro = WriteRepro(*read, before.refusals[0], before.symbols);
  ASSERT_TRUE(repro.ok()) << repro.status().message();
  const auto alone = onnx::Parse(std::as_bytes(std::span(repro->model)));
  ASSERT_TRUE(alone.ok()) << alone.status().message();
  EXPECT_TRUE((*alone)->functions.empty());
  const Capability after = FindCapability(**alone, {});
  ASSERT_EQ(after.refusals.size(), 1u);
  EXPECT_EQ(after.refusals[0].status.message(), before.refusals[0].status.message());
  EXPECT_THAT(after.refusals[0].status.message(), HasSubstr(message));
}

TEST(Functions, ARefusedNodeInsideStandsAlone) {
  // The function's own opset, the value of the call, and an operand left out.
  FunctionText f(kPkg, "F", {"x", "o"}, {"y"}, 12);
  f.Attribute("a").Attribute("absent");
  f.Node("Softmax", {"x", "o"}, {"y"},
         {ReferenceAttribute("axis", AttrType::kInt, "a"),
          ReferenceAttribute("other", AttrType::kInt, "absent")});
  ModelText model = Calling(f, {IntAttribute("a", 7)});
  ExpectReproduces(model, "(Softmax, opset 12): axis 7 is out of range");
}

TEST(Functions, ARefusedNodeWhoseGraphRefersToTheFunctionDoesNotStandAlone) {
  ModelText branch;
  branch.Node("NoSuchOperator", {"x"}, {"b"}, {ReferenceAttribute("alpha", AttrType::kFloat, "a")});
  branch.Output("b");
  FunctionText f(kPkg, "F", {"x"}, {"y"});
  f.Attribute("a")
      .Node("Size", {"x"}, {"n"})
      .Node("If", {"n"}, {"y"},
            {branch.GraphAttribute("then_branch"), branch.GraphAttribute("else_branch")});
  ModelText model = Calling(f);
  const auto read = model.Read();
  const Capability c = FindCapability(*read, {});
  ASSERT_EQ(c.refusals.size(), 1u);
  const auto repro = WriteRepro(*read, c.refusals[0], c.symbols);
  EXPECT_EQ(repro.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(repro.status().message(), HasSubstr("refers to attributes of the function"));
}

// --- limits ---

// Level n calls level n - 1 `calls` times.
ModelText Tower(int levels, int calls) {
  ModelText model = Model();
  model.Import(kPkg, 1);
  for (int level = 0; level < levels; ++level) {
    const std::string name = fmt::format("F{}", level), below = fmt::format("F{}", level - 1);
    FunctionText f(kPkg, name, {"v0"}, {fmt::format("v{}", calls)});
    for (int i = 0; i < calls; ++i) {
      const std::string from = fmt::format("v{}", i), to = fmt::format("v{}", i + 1);
      f.Raw(level == 0 ? NodeText("", "Exp", {from}, {to}) : NodeText(kPkg, below, {from}, {to}));
    }
    model.Function(f);
  }
  model.Raw(NodeText(kPkg, fmt::format("F{}", levels - 1), {"x"}, {"y"}));
  return model;
}

TEST(FunctionLimits, TowersOfCallsAreRefusedInBoundedTime) {
  ModelText low = Tower(10, 2);
  EXPECT_TRUE(ImportStatus(low).ok());
  ModelText doubled = Tower(30, 2);  // 2^30 nodes
  ExpectRefused(doubled, "at most 200000 nodes", StatusCode::kUnimplemented);
  ModelText deep = Tower(60, 2);
  ExpectRefused(deep, "and 32 calls are written out", StatusCode::kUnimplemented);
  ModelText wide = Tower(4, 1000);
  ExpectRefused(wide, "at most 200000 nodes", StatusCode::kUnimplemented);
}

TEST(FunctionLimits, CallsOfNothingCount) {
  // The lowest level has no nodes and hands its operand through.
  ModelText model = Model();
  model.Function(FunctionText(kPkg, "G", {"x"}, {"x"}));
  FunctionText f(kPkg, "F", {"v0"}, {"v1000"});
  for (int i = 0; i < 1000; ++i)
    f.Raw(NodeText(kPkg, "G", {fmt::format("v{}", i)}, {fmt::format("v{}", i + 1)}));
  model.Function(f);
  for (int i = 0; i < 200; ++i)
    model.Raw(NodeText(kPkg, "F", {"x"}, {i == 0 ? "y" : fmt::format("y{}", i)}));
  ExpectRefused(model, "at most 200000 nodes", StatusCode::kUnimplemented);
}

TEST(FunctionLimits, LongNamesCountEachTimeTheyAreWritten) {
  const std::string name(1 << 20, 'n');
  FunctionText f(kPkg, "F", {"x"}, {"y"});
  f.Raw(NodeText("", "Exp", {"x"}, {"y"}, {}, name));
  ModelText model = Model();
  model.Function(f);
  for (int i = 0; i < 200; ++i)
    model.Raw(NodeText(kPkg, "F", {"x"}, {i == 0 ? "y" : fmt::format("y{}", i)}));
  ExpectRefused(model, "128 MiB", StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace fusee::compiler
