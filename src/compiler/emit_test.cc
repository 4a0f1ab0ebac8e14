#include "compiler/emit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/storage.h"
#include "compiler/testing.h"
#include "plan/encode.h"
#include "runtime/runtime.h"

namespace fusee::compiler {
namespace {

const plan::TensorDef& TensorNamed(const plan::Plan& plan, std::string_view name) {
  for (const plan::TensorDef& t : plan.tensors) {
    if (t.name == name) return t;
  }
  ADD_FAILURE() << "no tensor " << name;
  return plan.tensors[0];
}

constexpr std::string_view kChain = R"(graph "chain" {
  symbol batch in [1, 4]
  input %x : f32[batch,16]
  %a : f32[batch,16] = Relu(%x)
  %b : f32[batch,16] = Tanh(%a)
  %c : f32[batch,16] = Sigmoid(%b)
  %y : f32[batch,16] = Relu(%c)
  output %y as "y"
})";

TEST(Emit, ResultsTakeOverDyingOperands) {
  auto e = EmitText(kChain);
  ASSERT_TRUE(e.ok()) << e.status().ToString();
  EXPECT_EQ(TensorNamed(e->plan, "a").offset, TensorNamed(e->plan, "b").offset);
  EXPECT_EQ(TensorNamed(e->plan, "b").offset, TensorNamed(e->plan, "c").offset);
  EXPECT_EQ(e->plan.activation_bytes, 4u * 16 * 4);  // one buffer at the largest batch
  EXPECT_EQ(TensorNamed(e->plan, "y").region, plan::Region::kIo);
  EXPECT_EQ(TensorNamed(e->plan, "x").region, plan::Region::kIo);
}

TEST(Emit, WithoutTakingOverTwoBuffersAlternate) {
  auto e = EmitText(kChain, {.in_place = false});
  ASSERT_TRUE(e.ok()) << e.status().ToString();
  EXPECT_NE(TensorNamed(e->plan, "a").offset, TensorNamed(e->plan, "b").offset);
  EXPECT_EQ(e->plan.activation_bytes, 2u * 4 * 16 * 4);
}

TEST(Emit, AnOperandReadAgainLaterIsNotTakenOver) {
  auto e = EmitText(R"(graph "g" {
  input %x : f32[16]
  %a : f32[16] = Relu(%x)
  %b : f32[16] = Tanh(%a)
  %c : f32[16] = Add(%a, %b)
  %y : f32[16] = Relu(%c)
  output %y as "y"
})");
  ASSERT_TRUE(e.ok()) << e.status().ToString();
  EXPECT_NE(TensorNamed(e->plan, "a").offset, TensorNamed(e->plan, "b").offset);
}

// The kernel lets go of operand 0 only; operand 1 lies on the same bytes.
TEST(Emit, AnOperandGivenTwiceIsTakenOverOnlyWhereTheKernelAllowsBoth) {
  for (const char* op : {"Pow", "Mul", "Sub"}) {
    auto e = EmitText(std::string(R"(graph "g" {
  input %x : f32[16]
  %a : f32[16] = Relu(%x)
  %b : f32[16] = )") + op +
                      R"((%a, %a)
  %y : f32[16] = Relu(%b)
  output %y as "y"
})");
    ASSERT_TRUE(e.ok()) << op << e.status().ToString();
    auto loaded = runtime::LoadedPlan::FromPlan(std::make_shared<const plan::Plan>(e->plan));
    EXPECT_TRUE(loaded.ok()) << op << ": " << loaded.status().ToString();
  }
}

TEST(Emit, AnInputThatIsAnOutputIsCopied) {
  auto e = EmitText(R"(graph "g" {
  input %x : f32[16]
  output %x as "y"
  output %x as "z"
})");
  ASSERT_TRUE(e.ok()) << e.status().ToString();
  ASSERT_EQ(e->plan.steps.size(), 2u);
  EXPECT_EQ(e->plan.steps[0].op, "Copy");
  EXPECT_NE(e->plan.outputs[0].tensor, e->plan.outputs[1].tensor);
}

TEST(Emit, EqualConstantsAreStoredOnce) {
  auto e = EmitText(R"(graph "g" {
  input %x : f32[4]
  const %k : f32[4] = {1, 2, 3, 4}
  const %l : f32[4] = {1, 2, 3, 4}
  %a : f32[4] = Add(%x, %k)
  %y : f32[4] = Add(%a, %l)
  output %y as "y"
})");
  ASSERT_TRUE(e.ok()) << e.status().ToString();
  EXPECT_EQ(TensorNamed(e->plan, "k").offset, TensorNamed(e->plan, "l").offset);
  EXPECT_EQ(e->plan.weights.size(), 64u);
}

TEST(Emit, PlansEncode) {
  auto e = EmitText(kChain);
  ASSERT_TRUE(e.ok());
  auto bytes = plan::Encode(e->plan);
  EXPECT_TRUE(bytes.ok()) << bytes.status().ToString();
}

TEST(Select, NamesNodeAndReasonsWhenNothingFits) {
  auto graph = ir::Parse(kChain);
  ASSERT_TRUE(graph.ok());
  const std::map<std::string, std::string> locked = {{"a", "no_such_kernel.1"}};
  auto selection = SelectKernels(**graph, {.max_isa = Isa::kAvx2, .locked = &locked});
  ASSERT_FALSE(selection.ok());
  EXPECT_EQ(selection.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(selection.status().message(), testing::HasSubstr("no_such_kernel.1"));
}

// The record of what was tried is in the plan, so a locked rebuild has to word it alike.
TEST(Select, ALockedRebuildRecordsTheSameVerdicts) {
  auto graph = ir::Parse(kChain);
  ASSERT_TRUE(graph.ok());
  auto free = SelectKernels(**graph, {.max_isa = Isa::kAvx2});
  ASSERT_TRUE(free.ok());
  std::map<std::string, std::string> locked;
  for (const SelectedNode& s : *free)
    locked[LockName(**graph, (*graph)->node(s.node))] = std::string(s.kernel->id);
  auto again = SelectKernels(**graph, {.max_isa = Isa::kAvx2, .locked = &locked});
  ASSERT_TRUE(again.ok());
  for (size_t i = 0; i < free->size(); ++i) {
    ASSERT_EQ((*free)[i].tried.size(), (*again)[i].tried.size());
    for (size_t t = 0; t < (*free)[i].tried.size(); ++t) {
      EXPECT_EQ((*free)[i].tried[t].verdict, (*again)[i].tried[t].verdict);
    }
  }
}

TEST(Select, RecordsWhyTacticsWerePassedOver) {
  auto graph = ir::Parse(kChain);
  ASSERT_TRUE(graph.ok());
  auto selection = SelectKernels(**graph, {.max_isa = Isa::kAvx2, .reference_only = true});
  ASSERT_TRUE(selection.ok()) << selection.status().ToString();
  for (const SelectedNode& s : *selection) {
    ASSERT_NE(s.kernel, nullptr);
    EXPECT_TRUE(s.kernel->reference);
    EXPECT_EQ(s.tried.back().verdict, "chosen");
  }
}

}  // namespace
}  // namespace fusee::compiler
