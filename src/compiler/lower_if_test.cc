#include "compiler/lower_if.h"

#include <gtest/gtest.h>

#include "ir/text.h"
#include "passes/interpret.h"

namespace fusee::compiler {
namespace {

std::unique_ptr<ir::Graph> Read(std::string_view text) {
  auto graph = ir::Parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status().ToString();
  return std::move(graph).value();
}

std::string Lowered(std::string_view text) {
  const auto graph = Read(text);
  const Status status = LowerIf(*graph);
  return status.ok() ? ir::Print(*graph) : status.ToString();
}

// A region in a region, results that are operands and constants, names that are taken.
constexpr std::string_view kNested = R"(graph "nested" {
  symbol n in [1, 8]
  input %c : bool[]
  input %d : bool[]
  input %x : f32[n]
  %before : f32[n] = Neg(%x)
  %y : f32[n], _, %z : f32[] = If(%c, %before, %d) from("choice") regions {
    graph "then" {
      input %x : f32[n]
      input %d : bool[]
      const %one : f32[] = {1}
      %before : f32[n] = Add(%x, %one)
      %i : f32[n] = If(%d, %before) from("inner") regions {
        graph "then" {
          input %p : f32[n]
          %e : f32[n] = Exp(%p)
          %f : f32[n] = Expand(%e) dims(n)
          output %f as "0"
        }
        graph "else" {
          input %p : f32[n]
          output %p as "0"
        }
      }
      output %i as "0"
      output %i as "1"
      output %one as "2"
    }
    graph "else" {
      input %x : f32[n]
      input %d : bool[]
      const %two : f32[] = {2}
      %e : f32[n] = Abs(%x)
      output %e as "0"
      output %x as "1"
      output %two as "2"
    }
  }
  %after : f32[n] = Mul(%y, %z)
  output %after as "after"
  output %y as "y"
})";

TEST(LowerIf, WritesBothCoursesUnderTheirGuards) {
  EXPECT_EQ(Lowered(kNested), R"(graph "nested" {
  symbol n in [1, 8]
  input %c : bool[]
  input %d : bool[]
  input %x : f32[n]
  const %one : f32[] = {1}
  const %two : f32[] = {2}
  %before : f32[n] = Neg(%x)
  %before.1 : f32[n] = Add(%before, %one) when(%c)
  %e : f32[n] = Exp(%before.1) when(%c, %d)
  %f : f32[n] = Expand(%e) dims(n) when(%c, %d)
  %f/If : f32[n] = Where(%d, %f, %before.1) when(%c) from("inner")
  %e.1 : f32[n] = Abs(%before) when(!%c)
  %y : f32[n] = Where(%c, %f/If, %e.1) from("choice")
  %z : f32[] = Where(%c, %one, %two) from("choice")
  %after : f32[n] = Mul(%y, %z)
  output %after as "after"
  output %y as "y"
}
)");
}

// Also where what reads the result of one is a region of the next.
TEST(LowerIf, LeavesOneCourseWhereTheConditionIsAConstant) {
  EXPECT_EQ(Lowered(R"(graph "g" {
  input %c : bool[]
  input %x : f32[2]
  const %yes : bool[] = {1}
  const %no : bool[] = {0}
  %a : f32[2] = If(%yes, %x) regions {
    graph "then" {
      input %p : f32[2]
      output %p as "0"
    }
    graph "else" {
      input %p : f32[2]
      %q : f32[2] = Abs(%p)
      output %q as "0"
    }
  }
  %b : f32[2] = If(%c, %a) regions {
    graph "then" {
      input %p : f32[2]
      %q : f32[2] = Exp(%p)
      output %q as "0"
    }
    graph "else" {
      input %p : f32[2]
      output %p as "0"
    }
  }
  %y : f32[2] = If(%no, %b) regions {
    graph "then" {
      input %p : f32[2]
      output %p as "0"
    }
    graph "else" {
      input %p : f32[2]
      %q : f32[2] = Neg(%p)
      output %q as "0"
    }
  }
  output %y as "y"
})"),
            R"(graph "g" {
  input %c : bool[]
  input %x : f32[2]
  const %yes : bool[] = {1}
  const %no : bool[] = {0}
  %q : f32[2] = Exp(%x) when(%c)
  %b : f32[2] = Where(%c, %q, %x)
  %q.1 : f32[2] = Neg(%b)
  output %q.1 as "y"
}
)");
}

TEST(LowerIf, LeavesOtherGraphsAsTheyAre) {
  const auto graph = Read(R"(graph "g" {
  input %x : f32[2]
  %y : f32[2] = Neg(%x)
  output %y as "y"
})");
  const std::string before = ir::Print(*graph);
  ASSERT_TRUE(LowerIf(*graph).ok());
  EXPECT_EQ(ir::Print(*graph), before);
}

// The interpreter runs regions; what it says is what plans of the lowered graph are compared with.
TEST(LowerIf, IsWhatTheInterpreterMakesOfRegions) {
  const auto graph = Read(kNested);
  const Tensor x = Tensor::Of<float>({2}, {0, -3});
  for (const bool c : {true, false}) {
    for (const bool d : {true, false}) {
      const Tensor inputs[] = {Tensor::Of<bool>({}, {c}), Tensor::Of<bool>({}, {d}), x};
      const auto outputs = passes::Interpret(*graph, inputs);
      ASSERT_TRUE(outputs.ok()) << outputs.status().ToString();
      const float want = !c ? 0.0f : d ? 2.7182818f : 1.0f;
      EXPECT_FLOAT_EQ((*outputs)[1].as<float>()[0], want);
      EXPECT_FLOAT_EQ((*outputs)[0].as<float>()[0], want * (c ? 1.0f : 2.0f));
    }
  }
}

}  // namespace
}  // namespace fusee::compiler
