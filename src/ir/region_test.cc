#include "ir/region.h"

#include <gtest/gtest.h>

#include "ir/text.h"

namespace fusee::ir {
namespace {

std::unique_ptr<Graph> Read(std::string_view text) {
  auto graph = Parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status().ToString();
  return std::move(graph).value();
}

constexpr std::string_view kGraph = R"(graph "g" {
  symbol n in [1, 8]
  input %x : f32[n]
  input %z : f32[n]
  const %w : f32[] = {2}
  %before : f32[n] = Neg(%x)
  %a : f32[n] = Add(%before, %w)
  %b : f32[n] = Mul(%a, %z)
  %c : f32[n] = Abs(%z)
  output %before as "y"
})";

TEST(MoveToRegions, GivesAllTheSameInputsAndEachItsConstants) {
  const auto g = Read(kGraph);
  std::vector<ValueId> captured;
  const std::vector<Stretch> stretches = {
      {1, 3, {*g->FindValue("b")}, "then"},
      {3, 4, {*g->FindValue("c"), *g->FindValue("w"), *g->FindValue("x")}, "else"}};
  const auto regions = MoveToRegions(*g, stretches, &captured);
  EXPECT_EQ(captured, (std::vector<ValueId>{*g->FindValue("before"), *g->FindValue("z"),
                                            *g->FindValue("x")}));
  EXPECT_EQ(g->order().size(), 1u);
  EXPECT_FALSE(g->FindValue("a"));
  EXPECT_TRUE(Verify(*g).ok()) << Verify(*g).ToString();
  ASSERT_EQ(regions.size(), 2u);
  EXPECT_EQ(Print(*regions[0]), R"(graph "then" {
  symbol n in [1, 8]
  input %before : f32[n]
  input %z : f32[n]
  input %x : f32[n]
  const %w : f32[] = {2}
  %a : f32[n] = Add(%before, %w)
  %b : f32[n] = Mul(%a, %z)
  output %b as "0"
}
)");
  EXPECT_EQ(Print(*regions[1]), R"(graph "else" {
  symbol n in [1, 8]
  input %before : f32[n]
  input %z : f32[n]
  input %x : f32[n]
  const %w : f32[] = {2}
  %c : f32[n] = Abs(%z)
  output %c as "0"
  output %w as "1"
  output %x as "2"
}
)");
}

TEST(MoveToRegions, OfNoNodesLeavesTheGraph) {
  const auto g = Read(kGraph);
  const std::string before = Print(*g);
  std::vector<ValueId> captured;
  const std::vector<Stretch> stretches = {{4, 4, {*g->FindValue("x")}, "then"},
                                          {4, 4, {*g->FindValue("x")}, "else"}};
  const auto regions = MoveToRegions(*g, stretches, &captured);
  EXPECT_EQ(captured, (std::vector<ValueId>{*g->FindValue("x")}));
  EXPECT_EQ(Print(*g), before);
  for (const auto& region : regions) EXPECT_TRUE(Verify(*region).ok());
}

}  // namespace
}  // namespace fusee::ir
