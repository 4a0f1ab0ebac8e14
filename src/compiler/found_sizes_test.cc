// Models whose sizes only a run tells, from ONNX to a plan that runs.
#include <gmock/gmock.h>

#include <cstring>

#include "base/clock.h"
#include "base/file.h"
#include "base/test_folder.h"
#include "compiler/build.h"
#include "compiler/model_test_util.h"
#include "compiler/reference.h"
#include "compiler/testing.h"
#include "compiler/verify.h"

namespace fusee::compiler {
namespace {

using testing::HasSubstr;

class FoundSizes : public testing::Test {
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

// Runs the plan on x and gives output 0.
Tensor RunOn(const BuildResult& built, const Tensor& x) {
  auto loaded = runtime::LoadedPlan::FromBytes(built.bytes, nullptr);
  EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
  auto context = runtime::Context::Create(*loaded);
  EXPECT_TRUE(context.ok());
  EXPECT_TRUE((*context)->SetInputShape(0, x.shape()).ok());
  EXPECT_TRUE((*context)->BindInput(0, x.bytes().data(), x.bytes().size()).ok());
  const Status status = (*context)->Run();
  EXPECT_TRUE(status.ok()) << status.ToString();
  const ConstTensorView y = (*context)->output(0);
  TensorView copy;
  Tensor result = Tensor::Allocate(y.dtype, y.shape, &copy).value();
  if (y.size_bytes() > 0) std::memcpy(copy.data, y.data, y.bytes().size());
  return result;
}

// The rows of x whose first element is above zero, and how many they are.
ModelText Selecting() {
  ModelText model;
  model.Input("x", DType::kF32, {-1, 3});
  const int64_t zero = 0, one = 1;
  const auto bytes = [](const auto& value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  model.Initializer("zero", DType::kI64, {1}, bytes(zero))
      .Initializer("one", DType::kI64, {1}, bytes(one))
      .Initializer("nothing", DType::kF32, {1}, bytes(0.0f));
  model.Node("Slice", {"x", "zero", "one", "one"}, {"first"})
      .Node("Greater", {"first", "nothing"}, {"above"})
      .Node("Squeeze", {"above", "one"}, {"mask"})
      .Node("Compress", {"x", "mask"}, {"rows"}, {IntAttribute("axis", 0)})
      .Node("Relu", {"rows"}, {"y"})
      .Output("y");
  return model;
}

TEST_F(FoundSizes, GoThroughBuildVerifyAndRun) {
  const auto built = BuildModel(Selecting());
  ASSERT_TRUE(built.ok()) << built.status().ToString();
  EXPECT_TRUE(built->plan->certificate.verified);
  ASSERT_EQ(built->plan->counts.size(), 1u);
  EXPECT_EQ(built->plan->counts[0].max, 8);  // the batch of the default profile
  const Tensor x = Tensor::Of<float>({3, 3}, {1, -2, 3, -1, 5, 6, 2, 0, -9});
  const Tensor y = RunOn(*built, x);
  EXPECT_EQ(y.shape(), (Shape{2, 3}));
  const float want[] = {1, 0, 3, 2, 0, 0};
  for (int i = 0; i < 6; ++i) EXPECT_EQ(y.view().as<float>()[i], want[i]) << i;
  EXPECT_EQ(RunOn(*built, Tensor::Of<float>({1, 3}, {-1, 0, 0})).shape(), (Shape{0, 3}));
  EXPECT_EQ(RunOn(*built, Tensor::Of<float>({2, 3}, {1, 0, 0, 1, 0, 0})).shape(), (Shape{2, 3}));
}

TEST_F(FoundSizes, AreRecoveredFromThePlanForVerification) {
  BuildOptions options;
  const auto first = BuildModel(Selecting());
  ASSERT_TRUE(first.ok());
  options.bounds[first->plan->counts[0].name] = 5;
  const auto built = BuildModel(Selecting(), options);
  ASSERT_TRUE(built.ok()) << built.status().ToString();
  EXPECT_EQ(built->plan->counts[0].max, 5);
  auto reference = ReferenceFor(*built->plan, path());
  ASSERT_TRUE(reference.ok()) << reference.status().ToString();
  EXPECT_EQ(reference->counts[0].max, 5);
}

TEST_F(FoundSizes, BoundsThatNameNothingAreRefusedWithWhatThereIs) {
  BuildOptions options;
  options.bounds["nowhere/y:0"] = 5;
  EXPECT_THAT(BuildModel(Selecting(), options).status().message(), HasSubstr("Compress_3/rows:0"));
}

// y = the numbers from 0 up to the sum of x: nothing but the option bounds it.
ModelText Counting() {
  ModelText model;
  const int64_t zero = 0, one = 1;
  const auto bytes = [](int64_t value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  model.Input("x", DType::kI64, {4})
      .Initializer("zero", DType::kI64, {}, bytes(zero))
      .Initializer("one", DType::kI64, {}, bytes(one))
      .Node("ReduceSum", {"x"}, {"sum"}, {IntAttribute("keepdims", 0)})
      .Node("Range", {"zero", "sum", "one"}, {"y"})
      .Output("y");
  return model;
}

TEST_F(FoundSizes, WithoutABoundAreRefusedWithTheOption) {
  const Status refused = BuildModel(Counting()).status();
  EXPECT_EQ(refused.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(refused.message(), HasSubstr("--bound Range_1/y:0=N"));
  BuildOptions options;
  options.bounds["Range_1/y:0"] = 100;
  const auto built = BuildModel(Counting(), options);
  ASSERT_TRUE(built.ok()) << built.status().ToString();
  const Tensor y = RunOn(*built, Tensor::Of<int64_t>({4}, {1, 0, 2, 3}));
  ASSERT_EQ(y.shape(), (Shape{6}));
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(IntAt(y.view(), i), i);
}

TEST_F(FoundSizes, ThatMustBeANumberAreAtMostThat) {
  ModelText model;
  const float w[15] = {1};
  model.Input("x", DType::kF32, {8, 3})
      .Input("mask", DType::kBool, {8})
      .Initializer("w", DType::kF32, {5, 3},
                   std::string(reinterpret_cast<const char*>(w), sizeof(w)))
      .Node("Compress", {"x", "mask"}, {"rows"}, {IntAttribute("axis", 0)})
      .Node("Add", {"rows", "w"}, {"y"})
      .Output("y");
  auto imported = Import(*model.Read(), {});
  ASSERT_TRUE(imported.ok()) << imported.status().ToString();
  EXPECT_EQ(imported->graph->symbols().at("Compress_0/rows:0").max, 5);
  auto reference = ReferencePlan(*imported);
  ASSERT_TRUE(reference.ok()) << reference.status().ToString();
  const auto loaded = runtime::LoadedPlan::FromPlan(std::make_shared<const plan::Plan>(*reference));
  EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
}

// Columns that some row wants: one for all rows, so rows are not independent.
TEST_F(FoundSizes, AreNoBusinessOfOneRow) {
  ModelText model;
  model.Input("x", DType::kF32, {-1, 8})
      .Initializer("least", DType::kF32, {}, std::string("\0\0\0\x3f", 4))
      .Node("ReduceMax", {"x"}, {"top"}, {IntsAttribute("axes", {0}), IntAttribute("keepdims", 0)})
      .Node("Greater", {"top", "least"}, {"wanted"})
      .Node("Compress", {"x", "wanted"}, {"y"}, {IntAttribute("axis", 1)})
      .Output("y");
  const auto built = BuildModel(model);
  ASSERT_TRUE(built.ok()) << built.status().ToString();
  EXPECT_FALSE(built->plan->certificate.batch_checked);
}

TEST_F(FoundSizes, AnOutputThatShrinksWithThemIsRefused) {
  ModelText model;
  const int64_t end = INT32_MAX;
  model.Input("x", DType::kF32, {16})
      .Initializer("end", DType::kI64, {1},
                   std::string(reinterpret_cast<const char*>(&end), sizeof(end)))
      .Initializer("last", DType::kI64, {1}, std::string("\1\0\0\0\0\0\0\0", 8))
      .Node("NonZero", {"x"}, {"where"})
      .Node("Shape", {"where"}, {"shape"})
      .Node("Gather", {"shape", "last"}, {"count"})
      .Node("Slice", {"x", "count", "end"}, {"y"})
      .Output("y");
  const Status refused = BuildModel(model).status();
  EXPECT_EQ(refused.code(), StatusCode::kUnimplemented) << refused.ToString();
  EXPECT_THAT(refused.message(), HasSubstr("shrinks as a run finds more"));
}

TEST_F(FoundSizes, OfConstantsAreKnownAtBuild) {
  ModelText model;
  model.Input("x", DType::kF32, {4})
      .Initializer("mask", DType::kBool, {4}, std::string("\1\0\1\1", 4))
      .Node("NonZero", {"mask"}, {"where"})
      .Node("Gather", {"x", "where"}, {"y"})
      .Output("y");
  const auto built = BuildModel(model);
  ASSERT_TRUE(built.ok()) << built.status().ToString();
  EXPECT_TRUE(built->plan->counts.empty());
  EXPECT_EQ(RunOn(*built, Tensor::Of<float>({4}, {5, 6, 7, 8})).shape(), (Shape{1, 3}));
}

// Three nodes that each find sizes; the second reads what the first found, the third is sized by
// both without reading either.
constexpr std::string_view kChain = R"(graph "chain" {
  symbol batch in [1, 4]
  symbol found in [0, 12]
  symbol again in [0, 24]
  input %x : f32[batch,3]
  const %one : f32[] = {1}
  %i : i64[2,found] = NonZero(%x) counts(found)
  %j : i64[2,again] = NonZero(%i) counts(again)
  %y : f32[found,again] = Expand(%one) dims(found, again)
  output %y as "y"
})";

TEST(FoundSizesInPlans, SizeWhatReadsThemNot) {
  const auto emitted = EmitText(kChain);
  ASSERT_TRUE(emitted.ok()) << emitted.status().ToString();
  ASSERT_EQ(emitted->plan.counts.size(), 2u);
  auto loaded = runtime::LoadedPlan::FromPlan(std::make_shared<const plan::Plan>(emitted->plan));
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  auto context = runtime::Context::Create(*loaded).value();
  for (int round = 0; round < 2; ++round) {
    for (const int64_t ones : {12, 0, 5}) {
      ASSERT_TRUE(context->SetInputShape(0, Shape{4, 3}).ok());
      for (int64_t i = 0; i < 12; ++i) context->input(0).as<float>()[i] = i < ones ? 1.0f : 0.0f;
      ASSERT_TRUE(context->Run().ok());
      int64_t again = 0;  // positions that are not zero
      for (int64_t i = 0; i < ones; ++i) again += (i / 3 != 0 ? 1 : 0) + (i % 3 != 0 ? 1 : 0);
      EXPECT_EQ(context->output(0).shape, (Shape{ones, again}));
    }
  }
}

TEST(FoundSizesInPlans, AreForTheCpuAlone) {
  auto emitted = EmitText(kChain);
  ASSERT_TRUE(emitted.ok());
  const Status refused = EmitPlan(emitted->model, *emitted->model.graph, emitted->selection,
                                  {.device = DeviceKind::kCuda})
                             .status();
  EXPECT_EQ(refused.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(refused.message(), HasSubstr("build for the CPU"));
}

}  // namespace
}  // namespace fusee::compiler
