// Golden tests of passes: testdata/NAME.ir holds cases separated by a line `// ----`. A case is a
// graph, then either
// `// after NAME` and the graph that the pass makes of it (followed by dead_code, as in the
// pipeline), or
// `// unchanged`. Lines `// made: TEXT` and `// declined: TEXT` after that must each occur in the
// pass's log. Every case is also run, before and after, with random inputs: the results must agree.
// `// fails at run time` says that both must fail instead. `// target channels_last` compiles for
// such a target.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "base/file.h"
#include "ir/text.h"
#include "passes/interpret.h"
#include "passes/pass_manager.h"
#include "tensor/compare.h"
#include "tensor/random.h"

namespace fusee::passes {
namespace {

struct Case {
  int line = 0;
  std::string input;
  std::string expected;  // empty: unchanged
  bool fails_at_run_time = false;
  bool channels_last = false;
  std::vector<std::string> made, declined;
};

std::vector<Case> ReadCases(const std::string& name) {
  const auto text = ReadSmallFile(std::string(FUSEE_TESTDATA) + "/" + name + ".ir");
  if (!text.ok()) return {};
  std::vector<Case> cases(1);
  cases[0].line = 1;
  bool directive_seen = false;
  std::istringstream lines(*text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const auto after = [&line](std::string_view prefix) { return line.substr(prefix.size()); };
    if (line == "// ----") {
      cases.emplace_back().line = number + 1;
      directive_seen = false;
    } else if (line == "// after " + name || line == "// unchanged") {
      directive_seen = true;
    } else if (line == "// fails at run time") {
      cases.back().fails_at_run_time = true;
    } else if (line == "// target channels_last") {
      cases.back().channels_last = true;
    } else if (line.starts_with("// made: ")) {
      cases.back().made.push_back(after("// made: "));
    } else if (line.starts_with("// declined: ")) {
      cases.back().declined.push_back(after("// declined: "));
    } else {
      (directive_seen ? cases.back().expected : cases.back().input) += line + "\n";
    }
  }
  return cases;
}

std::vector<std::string> PassNames() {
  std::vector<std::string> names;
  for (const PassDef& pass : Pipeline()) {
    if (std::find(names.begin(), names.end(), pass.name) == names.end())
      names.emplace_back(pass.name);
  }
  return names;
}

const PassDef& FindPass(std::string_view name) {
  for (const PassDef& pass : Pipeline()) {
    if (pass.name == name) return pass;
  }
  FUSEE_CHECK(false, "no such pass");
}

// Random inputs with every symbol at `want` or the nearest value its range allows.
std::vector<Tensor> RandomInputs(const ir::Graph& graph, int64_t want, uint64_t seed) {
  ir::SymbolValues symbols;
  for (const auto& [name, range] : graph.symbols())
    symbols[name] = std::clamp(want, range.min, range.max);
  std::vector<Tensor> inputs;
  for (ir::ValueId id : graph.inputs()) {
    const ir::ValueInfo& info = graph.value(id).info;
    TensorView view;
    inputs.push_back(
        Tensor::Allocate(info.dtype, ir::Evaluate(info.shape, symbols).value(), &view).value());
    FillRandom(view, Fill::kUniform, seed, id.index());
  }
  return inputs;
}

void ExpectSameResults(const ir::Graph& before, const ir::Graph& after, bool fails) {
  for (int64_t size : {1, 2, 7}) {
    const uint64_t seed = static_cast<uint64_t>(size) + 100;
    SCOPED_TRACE(testing::Message() << "symbols " << size << ", seed " << seed);
    const std::vector<Tensor> inputs = RandomInputs(before, size, seed);
    const auto want = Interpret(before, inputs);
    const auto got = Interpret(after, inputs);
    ASSERT_EQ(want.ok(), !fails) << want.status().ToString();
    ASSERT_EQ(got.ok(), !fails) << got.status().ToString();
    if (fails) return;
    for (size_t i = 0; i < want->size(); ++i) {
      const Tolerance tolerance = (*want)[i].dtype() == DType::kF32
                                      ? Tolerance{1e-5, 1e-6}
                                      : DefaultTolerance((*want)[i].dtype());
      const Comparison result = Compare((*got)[i].view(), (*want)[i].view(), tolerance);
      EXPECT_TRUE(result.passed) << "output " << i << ": " << result.reason;
    }
  }
}

class GoldenPass : public testing::TestWithParam<std::string> {};

TEST_P(GoldenPass, RewritesAsItsFileSays) {
  const std::string name = GetParam();
  const std::vector<Case> cases = ReadCases(name);
  ASSERT_FALSE(cases.empty()) << "every pass has a file testdata/" << name << ".ir";
  int fires = 0;
  for (const Case& c : cases) {
    SCOPED_TRACE(testing::Message() << name << ".ir, case at line " << c.line);
    auto graph = ir::Parse(c.input);
    ASSERT_TRUE(graph.ok()) << graph.status().ToString();
    ASSERT_TRUE(VerifyTyped(**graph).ok()) << VerifyTyped(**graph).ToString();
    const auto before = ir::Clone(**graph);
    fires += c.expected.empty() ? 0 : 1;

    std::vector<PassDef> passes = {FindPass(name)};
    if (!c.expected.empty() && name != "dead_code") passes.push_back(FindPass("dead_code"));
    PipelineReport report;
    PipelineOptions options;
    options.target.channels_last = c.channels_last;
    const Status status = RunPasses(passes, **graph, options, &report);
    ASSERT_TRUE(status.ok()) << status.ToString();
    EXPECT_EQ(report.passes[0].changed, !c.expected.empty());

    std::string expected = ir::Print(*before);
    if (!c.expected.empty()) {
      const auto parsed = ir::Parse(c.expected);
      ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
      expected = ir::Print(**parsed);
    }
    EXPECT_EQ(ir::Print(**graph), expected);

    std::string made, declined;
    for (const Rewrite& r : report.rewrites) {
      if (r.pass != name) continue;
      EXPECT_FALSE(r.nodes.empty()) << r.what;
      (r.made ? made : declined) += r.what + "\n";
    }
    for (const std::string& text : c.made) EXPECT_THAT(made, testing::HasSubstr(text));
    for (const std::string& text : c.declined) EXPECT_THAT(declined, testing::HasSubstr(text));
    if (c.expected.empty()) {
      EXPECT_EQ(made, "");
      if (c.declined.empty()) {
        EXPECT_EQ(declined, "");
      }
    }
    ExpectSameResults(*before, **graph, c.fails_at_run_time);
  }
  EXPECT_GT(fires, 0) << "no case in which it fires";
  EXPECT_LT(fires, static_cast<int>(cases.size())) << "no case in which it must not fire";
}
INSTANTIATE_TEST_SUITE_P(All, GoldenPass, testing::ValuesIn(PassNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace fusee::passes
