#include "passes/pass_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "ir/text.h"
#include "passes/interpret.h"

namespace fusee::passes {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kGraph = R"(graph "g" {
  symbol n in [1, 8]
  input %x : f32[n,4]
  const %w : f32[4] = {1, 2, 3, 4}
  %a : f32[n,4] = Relu(%x) from("relu")
  %b : f32[n,4] = Add(%a, %w) from("add")
  output %b as "y"
}
)";

std::unique_ptr<ir::Graph> Read(std::string_view text = kGraph) {
  auto graph = ir::Parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status().ToString();
  return std::move(graph).value();
}

// Passes for the manager to run; the clock one moves time, so that the measured time is exact.
FakeClock fake_clock;
int runs = 0;

Result<PassOutcome> Nothing(ir::Graph&, PassContext& context) {
  ++runs;
  fake_clock.Advance(std::chrono::milliseconds(5));
  context.Declined("looked and left", {"relu"});
  return PassOutcome{};
}
Result<PassOutcome> EraseRelu(ir::Graph& graph, PassContext& context) {
  graph.ReplaceAllUses(*graph.FindValue("a"), *graph.FindValue("x"));
  graph.EraseNode(graph.order()[0]);
  context.Made("erased", {"relu"});
  return PassOutcome{true};
}
Result<PassOutcome> UseBeforeDefinition(ir::Graph& graph, PassContext&) {
  graph.node(graph.order()[0]).inputs[0] = *graph.FindValue("b");
  return PassOutcome{true};
}
Result<PassOutcome> ChangeType(ir::Graph& graph, PassContext&) {
  graph.value(*graph.FindValue("a")).info.shape = {ir::Dim::Symbol("n"), ir::Dim(5)};
  return PassOutcome{true};
}
Result<PassOutcome> ChangeOperator(ir::Graph& graph, PassContext&) {
  graph.node(graph.order()[0]).op = "Frobnicate";
  return PassOutcome{true};
}
Result<PassOutcome> RenameInput(ir::Graph& graph, PassContext&) {
  graph.Rename(*graph.FindValue("x"), "z");
  return PassOutcome{true};
}
Result<PassOutcome> Fail(ir::Graph&, PassContext&) { return ResourceExhausted("no memory"); }

class PassManager : public testing::Test {
 protected:
  void SetUp() override { runs = 0; }
};

TEST_F(PassManager, RunsTimesAndCounts) {
  const auto graph = Read();
  const PassDef passes[] = {{"nothing", "why", Nothing}, {"erase_relu", "because", EraseRelu}};
  PipelineOptions options;
  options.clock = &fake_clock;
  PipelineReport report;
  ASSERT_TRUE(RunPasses(passes, *graph, options, &report).ok());
  ASSERT_EQ(report.passes.size(), 2u);
  const PassReport& first = report.passes[0];
  EXPECT_EQ(first.name, "nothing");
  EXPECT_EQ(first.reason, "why");
  EXPECT_TRUE(first.ran);
  EXPECT_FALSE(first.changed);
  EXPECT_EQ(first.time, std::chrono::milliseconds(5));
  EXPECT_EQ(first.declined, 1);
  const PassReport& second = report.passes[1];
  EXPECT_TRUE(second.changed);
  EXPECT_EQ(second.time, Duration(0));
  EXPECT_EQ(second.nodes_before, 2);
  EXPECT_EQ(second.nodes_after, 1);
  ASSERT_EQ(report.rewrites.size(), 2u);
  EXPECT_EQ(report.rewrites[0].pass, "nothing");
  EXPECT_FALSE(report.rewrites[0].made);
  EXPECT_TRUE(report.rewrites[1].made);
  EXPECT_THAT(report.rewrites[1].nodes, ElementsAre("relu"));
}

TEST_F(PassManager, DisabledPassesDoNotRun) {
  const auto graph = Read();
  const PassDef passes[] = {
      {"nothing", "", Nothing}, {"break", "", UseBeforeDefinition}, {"nothing", "", Nothing}};
  PipelineReport report;
  ASSERT_TRUE(RunPasses(passes, *graph, {.disabled = {"break"}}, &report).ok());
  EXPECT_EQ(runs, 2);
  EXPECT_FALSE(report.passes[1].ran);
  ASSERT_TRUE(RunPasses(passes, *graph, {.disabled = {"break", "nothing"}}, nullptr).ok());
  EXPECT_EQ(runs, 2);
}

TEST_F(PassManager, StopsAfterTheNamedPass) {
  const auto graph = Read();
  const PassDef passes[] = {
      {"nothing", "", Nothing}, {"erase_relu", "", EraseRelu}, {"break", "", UseBeforeDefinition}};
  PipelineReport report;
  ASSERT_TRUE(RunPasses(passes, *graph, {.stop_after = "erase_relu"}, &report).ok());
  EXPECT_TRUE(report.passes[1].ran);
  EXPECT_FALSE(report.passes[2].ran);
}

TEST_F(PassManager, UnknownNamesAreRefusedWithTheKnownOnes) {
  const auto graph = Read();
  const PassDef passes[] = {{"nothing", "", Nothing}, {"erase_relu", "", EraseRelu}};
  const Status disabled = RunPasses(passes, *graph, {.disabled = {"noting"}}, nullptr);
  EXPECT_EQ(disabled.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(disabled.message(),
              HasSubstr("no pass is named 'noting'; expected one of: nothing, erase_relu"));
  EXPECT_EQ(RunPasses(passes, *graph, {.stop_after = "x"}, nullptr).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(runs, 0);
}

TEST_F(PassManager, NamesThePassThatBreaksTheGraph) {
  const struct {
    PassFunction run;
    const char* message;
  } cases[] = {
      {UseBeforeDefinition, "defined before its use"},
      {ChangeType, "node 'relu' (Relu): result 'a' is f32[n,5], but inference gives f32[n,4]"},
      {ChangeOperator, "node 'relu' (Frobnicate): no operator of this name"},
      {RenameInput, "'input x : f32[n,4]' became 'input z : f32[n,4]'"},
  };
  for (const auto& c : cases) {
    const auto graph = Read();
    const PassDef passes[] = {
        {"nothing", "", Nothing}, {"culprit", "", c.run}, {"after", "", Nothing}};
    PipelineReport report;
    const Status status = RunPasses(passes, *graph, {}, &report);
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    EXPECT_THAT(status.message(), HasSubstr("pass 'culprit' broke the graph: "));
    EXPECT_THAT(status.message(), HasSubstr(c.message));
    EXPECT_THAT(status.message(), HasSubstr("--disable-pass culprit"));
    EXPECT_EQ(report.passes.size(), 2u);  // what happened until then
  }
}

TEST_F(PassManager, APassesOwnErrorKeepsItsCode) {
  const auto graph = Read();
  const PassDef passes[] = {{"fail", "", Fail}};
  const Status status = RunPasses(passes, *graph, {}, nullptr);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "pass 'fail': no memory");
}

TEST_F(PassManager, AGraphThatIsBrokenBeforeBlamesNoPass) {
  const auto graph = Read();
  graph->node(graph->order()[0]).inputs[0] = *graph->FindValue("b");
  const PassDef passes[] = {{"nothing", "", Nothing}};
  EXPECT_THAT(RunPasses(passes, *graph, {}, nullptr).message(),
              HasSubstr("broken before the first pass"));
}

TEST_F(PassManager, DumpsAfterEachPassAlsoAfterABadOne) {
  const std::string dir =
      testing::TempDir() + "/fusee_pass_dumps_" + std::to_string(getpid()) + "/deeper";
  const auto graph = Read();
  const PassDef passes[] = {
      {"erase_relu", "", EraseRelu}, {"skipped", "", Nothing}, {"rename", "", RenameInput}};
  PipelineOptions options;
  options.dump_dir = dir;
  options.disabled = {"skipped"};
  EXPECT_FALSE(RunPasses(passes, *graph, options, nullptr).ok());
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(dir))
    files.push_back(entry.path().filename());
  EXPECT_THAT(files,
              testing::UnorderedElementsAre("00.import.ir", "01.erase_relu.ir", "03.rename.ir"));
  EXPECT_EQ(ReadSmallFile(dir + "/00.import.ir").value(), kGraph);
  EXPECT_THAT(ReadSmallFile(dir + "/01.erase_relu.ir").value(), testing::Not(HasSubstr("Relu")));
  std::filesystem::remove_all(std::filesystem::path(dir).parent_path());

  options.dump_dir = "/dev/null/no";
  EXPECT_EQ(RunPasses(passes, *Read(), options, nullptr).code(), StatusCode::kUnavailable);
}

TEST(Pipeline, RewritesRegionsAndLeavesTheNodeAround) {
  const auto graph = Read(R"(graph "g" {
  input %c : bool[]
  input %x : f32[2,2]
  %y : f32[2,2] = If(%c, %x) regions {
    graph "then" {
      input %x : f32[2,2]
      const %w : f32[2,2] = {1, 2, 3, 4}
      const %b : f32[2] = {1, 2}
      %unused : f32[2,2] = Exp(%x)
      %m : f32[2,2] = MatMul(%x, %w)
      %a : f32[2,2] = Add(%m, %b)
      output %a as "0"
    }
    graph "else" {
      input %x : f32[2,2]
      output %x as "0"
    }
  }
  %z : f32[2,2] = If(%c, %x) regions {
    graph "then" {
      input %x : f32[2,2]
      output %x as "0"
    }
    graph "else" {
      input %x : f32[2,2]
      output %x as "0"
    }
  }
  output %y as "y"
})");
  const Tensor inputs[] = {Tensor::Of<bool>({}, {true}), Tensor::Of<float>({2, 2}, {1, 2, 3, 4})};
  const auto before = Interpret(*graph, inputs);
  ASSERT_TRUE(before.ok()) << before.status().ToString();
  ASSERT_TRUE(RunPipeline(*graph, {}, nullptr).ok());
  ASSERT_EQ(graph->order().size(), 1u) << ir::Print(*graph);
  const ir::Graph& region = *graph->node(graph->order()[0]).regions[0];
  EXPECT_EQ(region.order().size(), 1u) << ir::Print(region);
  const auto after = Interpret(*graph, inputs);
  ASSERT_TRUE(after.ok()) << after.status().ToString();
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ((*after)[0].as<float>()[i], (*before)[0].as<float>()[i]) << i;
}

TEST(Pipeline, EveryLineHasAReasonAndAFunction) {
  EXPECT_FALSE(Pipeline().empty());
  for (const PassDef& pass : Pipeline()) {
    EXPECT_FALSE(pass.name.empty());
    EXPECT_GT(pass.reason.size(), 20u) << pass.name;
    EXPECT_NE(pass.run, nullptr);
  }
}

// The passes together, on a small network: what one makes possible the next one takes.
TEST(Pipeline, FusesAConvolutionalBlockToOneNodePerLayer) {
  const auto graph = Read(R"(graph "block" {
    symbol n in [1, 8]
    input %x : f32[n,1,4,4]
    const %one : f32[] = {1}
    const %w : f32[2,1,3,3] = {1,2,3,4,5,6,7,8,9, 9,8,7,6,5,4,3,2,1}
    const %v : f32[2] = {1, 4}
    const %z : f32[2] = {0, 0}
    const %fc : f32[3,2] = {1, 2, 3, 4, 5, 6}
    const %fb : f32[3] = {1, 2, 3}
    %ones : f32[2] = Expand(%one) dims(2) from("ones")
    %c : f32[n,2,2,2] = Conv(%x, %w) {kernel_shape = [3, 3]} from("conv")
    %i : f32[n,2,2,2] = Identity(%c) from("dropout")
    %b : f32[n,2,2,2] = BatchNormalization(%i, %ones, %z, %z, %v) {epsilon = 0.0} from("bn")
    %r : f32[n,2,2,2] = Relu(%b) from("relu")
    %g : f32[n,2,1,1] = GlobalAveragePool(%r) from("pool")
    %f : f32[n,2] = Reshape(%g) dims(n, 2) from("flatten")
    %t : f32[2,3] = Transpose(%fc) {perm = [1, 0]} from("transpose")
    %m : f32[n,3] = MatMul(%f, %t) from("matmul")
    %y : f32[n,3] = Add(%m, %fb) from("bias")
    output %y as "logits"
  })");
  const auto before = ir::Clone(*graph);
  PipelineReport report;
  const Status status = RunPipeline(*graph, {}, &report);
  ASSERT_TRUE(status.ok()) << status.ToString();
  std::vector<std::string> ops;
  for (ir::NodeId id : graph->order()) ops.push_back(graph->node(id).op);
  EXPECT_THAT(ops, ElementsAre("Conv", "GlobalAveragePool", "Reshape", "MatMul"))
      << ir::Print(*graph);
  EXPECT_THAT(graph->node(graph->order()[0]).sources, ElementsAre("conv", "bn", "relu"));

  TensorView view;
  const Tensor x = Tensor::Allocate(DType::kF32, Shape{2, 1, 4, 4}, &view).value();
  for (int64_t i = 0; i < x.elements(); ++i) StoreDouble(view, i, static_cast<double>(i % 5) - 2);
  const auto want = Interpret(*before, std::span(&x, 1));
  const auto got = Interpret(*graph, std::span(&x, 1));
  ASSERT_TRUE(want.ok() && got.ok()) << want.status().ToString() << got.status().ToString();
  for (int64_t i = 0; i < 6; ++i)
    EXPECT_FLOAT_EQ(DoubleAt((*got)[0].view(), i), DoubleAt((*want)[0].view(), i));
}

TEST(FoldConstants, LeavesWhatWouldGrowOrTakeTooLong) {
  const auto read = [] {
    return Read(R"(graph "g" {
      input %x : f32[4]
      const %w : f32[1] = {1}
      %t : f32[4] = Tile(%w) dims(4) from("tile")
      %e : f32[4] = Expand(%w) dims(4) from("expand")
      %p : f32[4] = Add(%x, %t) from("p")
      %y : f32[4] = Add(%p, %e) from("y")
      output %y as "y"
    })");
  };
  PipelineOptions options;
  options.limits.fold_growth_bytes_max = 11;  // 16 bytes from 4 are 12 more
  auto graph = read();
  PipelineReport report;
  ASSERT_TRUE(RunPipeline(*graph, options, &report).ok());
  EXPECT_THAT(ir::Print(*graph), HasSubstr("Tile("));
  EXPECT_THAT(ir::Print(*graph),
              testing::Not(HasSubstr("Expand(")));  // makes weights: its growth is its purpose
  bool declined = false;
  for (const Rewrite& r : report.rewrites) {
    declined =
        declined ||
        (!r.made && r.what ==
                        "Tile of constants kept: the result would take 12 bytes more than its "
                        "operands, above the limit of 11");
  }
  EXPECT_TRUE(declined);

  options.limits.fold_growth_bytes_max = 12;
  graph = read();
  ASSERT_TRUE(RunPipeline(*graph, options, nullptr).ok());
  EXPECT_THAT(ir::Print(*graph), testing::Not(HasSubstr("Tile(")));

  options.limits.fold_total_bytes_max = 31;  // the first of two folds of 16 bytes
  graph = read();
  ASSERT_TRUE(RunPipeline(*graph, options, nullptr).ok());
  EXPECT_THAT(ir::Print(*graph), HasSubstr("Expand("));
}

// The folds of one run of fold_constants on `%c = <node>` over constants of the given shapes; the
// declined ones' reasons.
std::vector<std::string> DeclinedFolds(const std::string& weights, const std::string& type,
                                       const std::string& node) {
  const auto graph = Read("graph \"g\" {\n input %x : " + type + "\n const %s : f32[] = {1}\n" +
                          weights + " %c : " + type + " = " + node + " from(\"c\")\n %y : " + type +
                          " = Add(%x, %c) from(\"y\")\n output %y as \"y\"\n}\n");
  if (!graph) return {"no graph"};
  const auto fold = std::find_if(Pipeline().begin(), Pipeline().end(),
                                 [](const PassDef& p) { return p.name == "fold_constants"; });
  PipelineReport report;
  const Status status = RunPasses(std::span(&*fold, 1), *graph, {}, &report);
  EXPECT_TRUE(status.ok()) << status.ToString();
  std::vector<std::string> declined;
  for (const Rewrite& r : report.rewrites) {
    if (!r.made) declined.push_back(r.what);
  }
  EXPECT_EQ(graph->order().size(), declined.size() + 1);  // the Add stays
  return declined;
}

std::string Ones(const std::string& name, const std::string& dims) {
  return " %" + name + " : f32[" + dims + "] = Expand(%s) dims(" + dims + ") from(\"" + name +
         "\")\n";
}

// The operands take some megabytes at most; the slow ones' work is above 2^32 steps.
TEST(FoldConstants, LeavesWindowsThatWouldTakeTooLong) {
  const struct {
    std::string weights, type, node;
  } slow[] =
      {
          {Ones("w", "1,1,200000"), "f32[1,1,100001]", "MaxPool(%w) {kernel_shape = [100000]}"},
          {Ones("w", "1,1,200000"), "f32[1,1,100001]", "AveragePool(%w) {kernel_shape = [100000]}"},
          {Ones("w", "1,1,200000") + Ones("v", "1,1,100000"), "f32[1,1,100001]",
           "Conv(%w, %v) {kernel_shape = [100000]}"},
          {Ones("w", "1,1,200000") + Ones("v", "1,1,100000"), "f32[1,1,299999]",
           "ConvTranspose(%w, %v) {kernel_shape = [100000]}"},
          {Ones("w", "1,200000,1"), "f32[1,200000,1]", "LRN(%w) {size = 199999}"},
          {Ones("w", "1700,1700"), "f32[1700,1700]", "MatMul(%w, %w)"},
          {Ones("v", "3000,1,1") + Ones("w", "1,1500,1") + Ones("r", "1,1500,1500"),
           "f32[3000,1,1,1500]",
           "RNN(%v, %w, %r) {activations = \"Tanh\", alphas = [0.0], betas = [0.0], "
           "hidden_size = 1500}"},
      },
    quick[] = {
        {Ones("w", "1,1,10"), "f32[1,1,9]", "MaxPool(%w) {kernel_shape = [2]}"},
        {Ones("w", "1,1,10"), "f32[1,1,9]", "AveragePool(%w) {kernel_shape = [2]}"},
        {Ones("w", "1,1,10") + Ones("v", "1,1,2"), "f32[1,1,9]",
         "Conv(%w, %v) {kernel_shape = [2]}"},
        {Ones("w", "1,1,10") + Ones("v", "1,1,2"), "f32[1,1,11]",
         "ConvTranspose(%w, %v) {kernel_shape = [2]}"},
        {Ones("w", "1,10,1"), "f32[1,10,1]", "LRN(%w) {size = 199999}"},
        {Ones("w", "17,17"), "f32[17,17]", "MatMul(%w, %w)"},
        {Ones("v", "3000,1,1") + Ones("w", "1,2,1") + Ones("r", "1,2,2"), "f32[3000,1,1,2]",
         "RNN(%v, %w, %r) {activations = \"Tanh\", alphas = [0.0], betas = [0.0], "
         "hidden_size = 2}"},
    };
  for (const auto& c : slow) {
    EXPECT_THAT(DeclinedFolds(c.weights, c.type, c.node),
                ElementsAre(HasSubstr("it would take too long to compute while building: ")))
        << c.node;
  }
  for (const auto& c : quick) {
    EXPECT_THAT(DeclinedFolds(c.weights, c.type, c.node), ElementsAre()) << c.node;
  }
}

}  // namespace
}  // namespace fusee::passes
