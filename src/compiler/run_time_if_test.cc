// Models with a condition that only a run tells, from ONNX to a plan that runs.
#include <gmock/gmock.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/test_folder.h"
#include "compiler/build.h"
#include "compiler/capability.h"
#include "compiler/model_test_util.h"
#include "compiler/reference.h"
#include "compiler/sampled.h"
#include "compiler/testing.h"
#include "compiler/verify.h"
#include "passes/interpret.h"

namespace fusee::compiler {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class RunTimeIf : public testing::Test {
 protected:
  Result<BuildResult> BuildModel(const ModelText& model, BuildOptions options = {}) {
    FUSEE_TRY(WriteFileAtomically(path(), model.Text()));
    options.measure = false;
    options.threads = 1;
    return Build(path(), options, SteadyClock());
  }
  std::string path() const { return (folder_.path() / "model.onnx").string(); }

  TestFolder folder_;
};

std::string Floats(std::initializer_list<float> values) {
  return std::string(reinterpret_cast<const char*>(values.begin()), 4 * values.size());
}

std::string AxesAttribute(int64_t axis) {
  wire::Writer attribute;
  attribute.Bytes(1, "axes");
  attribute.Varint(8, static_cast<uint64_t>(axis));
  attribute.Varint(20, static_cast<uint64_t>(onnx::AttrType::kInts));
  return attribute.str();
}

// y = x.sum() > 0 ? relu(2 * x) : -x - 1, and a second result that is x itself in one branch. Or
// the condition is an input.
ModelText Choosing(bool computed = true) {
  ModelText then_branch, else_branch, model;
  then_branch.Node("Mul", {"x", "two"}, {"a"}).Node("Relu", {"a"}, {"b"}).Output("b").Output("x");
  else_branch.Initializer("one", DType::kF32, {}, Floats({1}))
      .Node("Neg", {"x"}, {"d"})
      .Node("Sub", {"d", "one"}, {"e"})
      .Output("e")
      .Output("d");
  model.Input("x", DType::kF32, {-1, 3})
      .Initializer("zero", DType::kF32, {}, Floats({0}))
      .Initializer("two", DType::kF32, {}, Floats({2}))
      .Node("ReduceSum", {"x"}, {"sum"}, {IntAttribute("keepdims", 0)})
      .Node("Greater", {"sum", "zero"}, {"computed"});
  if (!computed) model.Input("given", DType::kBool, {});
  model
      .Node("If", {computed ? "computed" : "given"}, {"y", "z"},
            {then_branch.GraphAttribute("then_branch"), else_branch.GraphAttribute("else_branch")})
      .Output("y")
      .Output("z");
  return model;
}

TEST_F(RunTimeIf, GoesThroughBuildVerifyAndRun) {
  const auto built = BuildModel(Choosing());
  ASSERT_TRUE(built.ok()) << built.status().ToString();
  EXPECT_TRUE(built->plan->certificate.verified);
  size_t guarded = 0;
  for (const plan::Step& step : built->plan->steps) guarded += step.guards.empty() ? 0 : 1;
  EXPECT_GE(guarded, 2u);
  // Loading replays the golden outputs.
  auto loaded = runtime::LoadedPlan::FromBytes(built->bytes, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  auto context = runtime::Context::Create(*loaded).value();
  for (const float sign : {1.0f, -1.0f, -1.0f, 1.0f}) {
    ASSERT_TRUE(context->SetInputShape(0, Shape{2, 3}).ok());
    const float x[] = {5, -1, 2, 1, -2, 3};
    for (int i = 0; i < 6; ++i) context->input(0).as<float>()[i] = sign * x[i];
    ASSERT_TRUE(context->Run().ok());
    for (int i = 0; i < 6; ++i) {
      const float v = sign * x[i];
      EXPECT_EQ(context->output(0).as<float>()[i], sign > 0 ? std::max(0.0f, 2 * v) : -v - 1);
      EXPECT_EQ(context->output(1).as<float>()[i], sign > 0 ? v : -v);
    }
  }
}

TEST_F(RunTimeIf, GivesTheSameBytesAndItsReference) {
  const auto first = BuildModel(Choosing());
  const auto second = BuildModel(Choosing());
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->bytes, second->bytes);
  auto reference = ReferenceFor(*first->plan, path());
  EXPECT_TRUE(reference.ok()) << reference.status().ToString();
}

// Where the condition is computed, its sum rounds to another side of zero: each step is compared.
TEST_F(RunTimeIf, IsComputedInHalfPrecisionAround) {
  BuildOptions options;
  options.precision = DType::kBF16;
  const auto given = BuildModel(Choosing(false), options);
  EXPECT_TRUE(given.ok()) << given.status().ToString();
  const auto computed = BuildModel(Choosing(), options);
  ASSERT_TRUE(computed.ok()) << computed.status().ToString();
  EXPECT_THAT(computed->report.notes,
              Contains(HasSubstr("the condition that chooses 'y' is met in one of both only")));
}

// One fill has one bool for a condition; others are tried until each course was compared.
TEST_F(RunTimeIf, BothCoursesOfAnInputAreCompared) {
  const auto built = BuildModel(Choosing(false));
  ASSERT_TRUE(built.ok()) << built.status().ToString();
  EXPECT_THAT(built->report.notes, Not(Contains(HasSubstr("not compared"))));
}

// Rows of several requests in one batch would take one course together.
TEST_F(RunTimeIf, PromisesNothingOfRowsInABatch) {
  const auto built = BuildModel(Choosing());
  ASSERT_TRUE(built.ok()) << built.status().ToString();
  EXPECT_FALSE(built->plan->certificate.batch_checked);
  EXPECT_FALSE(built->plan->certificate.batch_invariant);
  EXPECT_THAT(built->report.verdict, HasSubstr("a condition decides for the whole batch"));
  EXPECT_THAT(built->report.notes, Not(Contains(HasSubstr("not compared"))));
}

TEST_F(RunTimeIf, ACourseThatNoInputTakesIsTold) {
  ModelText then_branch, else_branch, model;
  then_branch.Node("Exp", {"x"}, {"a"}).Output("a");
  else_branch.Node("Neg", {"x"}, {"b"}).Output("b");
  model.Input("x", DType::kF32, {2, 3})
      .Initializer("most", DType::kF32, {}, Floats({1e30f}))
      .Node("ReduceMax", {"x"}, {"top"}, {IntAttribute("keepdims", 0)})
      .Node("Greater", {"top", "most"}, {"c"})
      .Node("If", {"c"}, {"y"},
            {then_branch.GraphAttribute("then_branch"), else_branch.GraphAttribute("else_branch")})
      .Output("y");
  const auto built = BuildModel(model);
  ASSERT_TRUE(built.ok()) << built.status().ToString();
  EXPECT_THAT(built->report.notes,
              Contains(HasSubstr("1 steps, which were not compared with the reference: Exp")));
}

// Sizes that a run finds before the condition, and a course that is as large.
TEST_F(RunTimeIf, FollowsSizesThatARunFinds) {
  ModelText then_branch, else_branch, model;
  then_branch.Node("Relu", {"rows"}, {"a"}).Node("Mul", {"a", "a"}, {"b"}).Output("b");
  else_branch.Node("Neg", {"rows"}, {"d"}).Output("d");
  const int64_t one = 1;
  model.Input("x", DType::kF32, {-1, 3})
      .Input("c", DType::kBool, {})
      .Initializer("zero", DType::kF32, {}, Floats({0}))
      .Initializer("one", DType::kI64, {1},
                   std::string(reinterpret_cast<const char*>(&one), sizeof(one)))
      .Node("ReduceMax", {"x"}, {"top"}, {IntAttribute("keepdims", 0), AxesAttribute(1)})
      .Node("Greater", {"top", "zero"}, {"mask"})
      .Node("Compress", {"x", "mask"}, {"rows"}, {IntAttribute("axis", 0)})
      .Node("If", {"c"}, {"y"},
            {then_branch.GraphAttribute("then_branch"), else_branch.GraphAttribute("else_branch")})
      .Output("y");
  const auto built = BuildModel(model);
  ASSERT_TRUE(built.ok()) << built.status().ToString();
  auto loaded = runtime::LoadedPlan::FromBytes(built->bytes, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  auto context = runtime::Context::Create(*loaded).value();
  const float x[] = {1, -1, 2, -3, -2, -1, 4, -5, 6};
  for (const bool c : {true, false, true}) {
    ASSERT_TRUE(context->SetInputShape(0, Shape{3, 3}).ok());
    std::ranges::copy(x, context->input(0).as<float>());
    *context->input(1).as<bool>() = c;
    ASSERT_TRUE(context->Run().ok());
    const ConstTensorView y = context->output(0);
    ASSERT_EQ(y.shape, (Shape{2, 3}));
    EXPECT_EQ(y.as<float>()[1], c ? 0.0f : 1.0f);
    EXPECT_EQ(y.as<float>()[5], c ? 36.0f : -6.0f);
  }
}

TEST_F(RunTimeIf, BecomesOneBranchWhereItsConditionIsPinned) {
  BuildOptions options;
  options.profiles["x"].shapes = {{2, 3}};
  options.pins["x"] = Tensor::Of<float>({2, 3}, {1, 1, 1, 1, 1, 1});
  const auto built = BuildModel(Choosing(), options);
  ASSERT_TRUE(built.ok()) << built.status().ToString();
  for (const plan::Step& step : built->plan->steps) EXPECT_TRUE(step.guards.empty());
}

TEST_F(RunTimeIf, IsSupportedInTheSurvey) {
  ModelText model = Choosing();
  const Capability capability = FindCapability(*model.Read(), {});
  EXPECT_TRUE(capability.supported());
  EXPECT_TRUE(capability.refusals.empty());
  ModelText branch, refused;
  branch.Node("NoSuchOperator", {"x"}, {"b"}).Output("b");
  refused.Input("x", DType::kF32, {2}).Input("c", DType::kBool, {});
  refused
      .Node("If", {"c"}, {"y"},
            {branch.GraphAttribute("then_branch"), branch.GraphAttribute("else_branch")})
      .Output("y");
  const auto read = refused.Read();
  const Capability other = FindCapability(*read, {});
  ASSERT_EQ(other.refusals.size(), 1u);
  EXPECT_THAT(other.refusals[0].status.message(), HasSubstr("NoSuchOperator"));
}

// Everything at once: conditions that regions compute, regions in regions, in place around them.
constexpr std::string_view kNested = R"(graph "nested" {
  symbol batch in [1, 4]
  input %x : f32[batch,3]
  const %zero : f32[] = {0}
  %sum : f32[] = ReduceSum(%x) {axes = [0, 1], keepdims = 0}
  %above : bool[] = Greater(%sum, %zero)
  %h : f32[batch,3] = Mul(%x, %x)
  %y : f32[batch,3] = If(%above, %h, %x) regions {
    graph "then" {
      input %h : f32[batch,3]
      input %x : f32[batch,3]
      const %ten : f32[] = {10}
      %e : f32[batch,3] = Relu(%x)
      %s : f32[] = ReduceSum(%h) {axes = [0, 1], keepdims = 0}
      %large : bool[] = Greater(%s, %ten)
      %i : f32[batch,3] = If(%large, %e, %h) regions {
        graph "then" {
          input %e : f32[batch,3]
          input %h : f32[batch,3]
          %r : f32[batch,3] = Add(%e, %h)
          %t : f32[batch,3] = Neg(%r)
          output %t as "0"
        }
        graph "else" {
          input %e : f32[batch,3]
          input %h : f32[batch,3]
          %r : f32[batch,3] = Sub(%h, %e)
          output %r as "0"
        }
      }
      %j : f32[batch,3] = Abs(%i)
      output %j as "0"
    }
    graph "else" {
      input %h : f32[batch,3]
      input %x : f32[batch,3]
      %e : f32[batch,3] = Neg(%h)
      output %e as "0"
    }
  }
  %last : f32[batch,3] = Mul(%y, %x)
  output %last as "last"
})";

TEST(RunTimeIfInPlans, GivesWhatTheInterpreterGives) {
  const auto graph = ir::Parse(kNested);
  ASSERT_TRUE(graph.ok()) << graph.status().ToString();
  for (const bool in_place : {true, false}) {
    const auto emitted = EmitText(kNested, {.in_place = in_place});
    ASSERT_TRUE(emitted.ok()) << emitted.status().ToString();
    auto loaded = runtime::LoadedPlan::FromPlan(std::make_shared<const plan::Plan>(emitted->plan));
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    auto context = runtime::Context::Create(*loaded).value();
    for (const auto& row : std::vector<std::vector<float>>{
             {5, 1, -1}, {1, -0.5f, 0.25f}, {-3, 1, 1}, {0.5f, 0, 0}, {4, 4, 4}, {0, 0, 0}}) {
      const Tensor x = Tensor::Of<float>({1, 3}, {row[0], row[1], row[2]});
      const auto want = passes::Interpret(**graph, std::span(&x, 1));
      ASSERT_TRUE(want.ok()) << want.status().ToString();
      ASSERT_TRUE(context->SetInputShape(0, Shape{1, 3}).ok());
      for (int i = 0; i < 3; ++i) context->input(0).as<float>()[i] = row[static_cast<size_t>(i)];
      ASSERT_TRUE(context->Run().ok());
      for (int i = 0; i < 3; ++i)
        EXPECT_EQ(context->output(0).as<float>()[i], (*want)[0].as<float>()[i]) << i;
    }
  }
}

TEST(RunTimeIfInPlans, IsVerifiedStepByStepWhereItRan) {
  const auto e = EmitText(kNested);
  ASSERT_TRUE(e.ok()) << e.status().ToString();
  SerialParallel serial;
  for (const Fill fill : {Fill::kUniform, Fill::kConstant, Fill::kTiny}) {
    const auto outcome =
        VerifySteps(e->model, *e->model.graph, e->selection,
                    std::make_shared<const plan::Plan>(e->plan), {4}, fill, &serial);
    ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
    EXPECT_TRUE(outcome->passed) << outcome->failure;
  }
}

TEST(RunTimeIfInPlans, IsForTheCpuAlone) {
  const auto emitted = EmitText(kNested);
  ASSERT_TRUE(emitted.ok());
  const Status refused = EmitPlan(emitted->model, *emitted->model.graph, emitted->selection,
                                  {.device = DeviceKind::kCuda})
                             .status();
  EXPECT_EQ(refused.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(refused.message(), HasSubstr("build for the CPU"));
}

}  // namespace
}  // namespace fusee::compiler
