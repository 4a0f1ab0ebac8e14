#include "passes/interpret.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "ir/text.h"

namespace fusee::passes {
namespace {

using testing::HasSubstr;

std::unique_ptr<ir::Graph> Read(std::string_view text) {
  auto graph = ir::Parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status().ToString();
  return std::move(graph).value();
}

constexpr const char* kGraph = R"(graph "g" {
  symbol n in [1, 8]
  symbol m in [1, 8]
  input %x : f32[n,2]
  input %z : f32[m,2]
  const %w : f32[2] = {10, 20}
  %a : f32[n,2] = Add(%x, %z) from("add")
  %b : f32[n,2] = Mul(%a, %w) from("mul")
  %y : f32[2*n] = Reshape(%b) dims(2*n) from("reshape")
  output %y as "y"
  output %w as "w"
  constraint (n, m) because "node 'add' (Add): broadcast dimensions must agree"
})";

TEST(Interpret, RunsNodesWithSymbolsConstantsAndViews) {
  const auto graph = Read(kGraph);
  const Tensor inputs[] = {Tensor::Of<float>(Shape{2, 2}, {1, 2, 3, 4}),
                           Tensor::Of<float>(Shape{2, 2}, {1, 1, 1, 1})};
  std::vector<std::string> seen;
  const auto outputs = Interpret(*graph, inputs, [&](ir::ValueId id, const Tensor&) {
    seen.push_back(graph->value(id).name);
  });
  ASSERT_TRUE(outputs.ok()) << outputs.status().ToString();
  EXPECT_EQ((*outputs)[0].shape(), (Shape{4}));
  EXPECT_THAT(std::vector<float>((*outputs)[0].as<float>(), (*outputs)[0].as<float>() + 4),
              testing::ElementsAre(20, 60, 40, 100));
  EXPECT_EQ((*outputs)[1].elements(), 2);
  EXPECT_THAT(seen, testing::ElementsAre("a", "b", "y"));
}

TEST(Interpret, RefusesInputsThatDoNotFit) {
  const auto graph = Read(kGraph);
  const Tensor x = Tensor::Of<float>(Shape{2, 2}, {1, 2, 3, 4});
  const Tensor one_row = Tensor::Of<float>(Shape{1, 2}, {1, 2});
  const struct {
    std::vector<Tensor> inputs;
    const char* message;
  } cases[] = {
      {{x}, "expected 2 inputs, got 1"},
      {{x, Tensor::Of<double>(Shape{2, 2}, {1, 2, 3, 4})},
       "input 'z' is f64[2,2], expected f32[m,2]"},
      {{x, Tensor::Of<float>(Shape{2}, {1, 2})}, "input 'z' is f32[2], expected f32[m,2]"},
      {{x, Tensor::Of<float>(Shape{2, 1}, {1, 2})}, "input 'z' has shape [2,1], expected [m,2]"},
      {{x, one_row}, "node 'add' (Add): broadcast dimensions must agree; got 2 and 1"},
  };
  for (const auto& c : cases) {
    const auto outputs = Interpret(*graph, c.inputs);
    EXPECT_EQ(outputs.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(outputs.status().message(), HasSubstr(c.message));
  }
}

TEST(Interpret, BindsSymbolsFromElementsAndRefusesTwoValues) {
  const auto graph = Read(R"(graph "g" {
    symbol n in [1, 8]
    input %x : f32[n]
    input %s : i64[1]{n}
    %y : f32[n] = Relu(%x) from("relu")
    output %y as "y"
  })");
  const Tensor x = Tensor::Of<float>(Shape{3}, {1, -2, 3});
  const Tensor good[] = {x, Tensor::Of<int64_t>(Shape{1}, {3})};
  EXPECT_EQ(BindSymbols(*graph, good)->at("n"), 3);
  const Tensor bad[] = {x, Tensor::Of<int64_t>(Shape{1}, {4})};
  EXPECT_THAT(BindSymbols(*graph, bad).status().message(),
              HasSubstr("input 's': 'n' is 4, but was 3 before"));
}

TEST(Interpret, CopiesConstantsThatLieUnaligned) {
  // A weight in a model file may start at any byte.
  auto bytes = std::make_shared<std::vector<char>>(64);
  const float values[] = {1, 2};
  std::memcpy(bytes->data() + 1, values, sizeof(values));
  ir::Graph graph;
  const ir::ValueId x = graph.AddInput("x", {DType::kF32, {ir::Dim(2)}, {}});
  const ir::ValueId w =
      graph.AddConstant("w", Tensor(DType::kF32, Shape{2}, bytes->data() + 1, bytes));
  ir::Node node;
  node.op = "Add";
  node.inputs = {x, w};
  const std::string names[] = {"y"};
  const ir::ValueInfo infos[] = {{DType::kF32, {ir::Dim(2)}, {}}};
  graph.MarkOutput(graph.node(graph.AddNode(std::move(node), names, infos)).outputs[0], "y");
  const Tensor input = Tensor::Of<float>(Shape{2}, {10, 20});
  const auto outputs = Interpret(graph, std::span(&input, 1));
  ASSERT_TRUE(outputs.ok()) << outputs.status().ToString();
  EXPECT_EQ((*outputs)[0].as<float>()[1], 22);
}

TEST(Interpret, NamesTheNodeWithoutAKernel) {
  const auto graph = Read(R"(graph "g" {
    input %x : f32[1]
    %y : f32[1] = Frobnicate(%x) from("frob")
    output %y as "y"
  })");
  const Tensor x = Tensor::Of<float>(Shape{1}, {1});
  const auto outputs = Interpret(*graph, std::span(&x, 1));
  EXPECT_EQ(outputs.status().code(), StatusCode::kUnimplemented);
  EXPECT_THAT(outputs.status().message(), HasSubstr("node 'frob' (Frobnicate)"));
}

}  // namespace
}  // namespace fusee::passes
