#include "passes/pass_manager.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include "base/file.h"
#include "ir/text.h"
#include "ops/op_def.h"

namespace fusee::passes {
namespace {

Status WriteDump(const std::string& dir, size_t number, std::string_view name,
                 const ir::Graph& graph) {
  const std::string path = fmt::format("{}/{:02}.{}.ir", dir, number, name);
  return WriteFileAtomically(path, std::string_view(ir::Print(graph)))
      .Annotate("cannot write a dump of the graph");
}

Status CheckNames(std::span<const PassDef> passes, const PipelineOptions& options) {
  const auto check = [&](const std::string& name, const char* option) -> Status {
    std::string known;
    for (const PassDef& pass : passes) {
      if (pass.name == name) return OkStatus();
      if (known.find(pass.name) == std::string::npos)
        known += (known.empty() ? "" : ", ") + std::string(pass.name);
    }
    return InvalidArgument(
        fmt::format("{}: no pass is named '{}'; expected one of: {}", option, name, known));
  };
  for (const std::string& name : options.disabled) FUSEE_TRY(check(name, "passes to disable"));
  return options.stop_after.empty() ? OkStatus() : check(options.stop_after, "pass to stop after");
}

Status CheckNode(const ir::Graph& graph, const ir::Node& node) {
  std::vector<ir::ValueInfo> infos;
  FUSEE_TRY(ops::Infer(graph, node, nullptr, &infos));
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (!node.outputs[i].valid()) continue;
    const ir::Value& have = graph.value(node.outputs[i]);
    const ir::ValueInfo& want = infos[i];
    bool same = have.info.dtype == want.dtype && have.info.shape.size() == want.shape.size();
    for (size_t d = 0; same && d < want.shape.size(); ++d) {
      const ir::Dim& a = have.info.shape[d];
      const ir::Dim& b = want.shape[d];
      if (a == b || a.is_unknown() || b.is_unknown()) continue;
      // Where constraints hold, two expressions may name one dimension; then only disjoint ranges
      // prove a change.
      const ir::DimRange ra = a.Range(graph.symbols());
      const ir::DimRange rb = b.Range(graph.symbols());
      same = !graph.constraints().empty() && ra.min <= rb.max && rb.min <= ra.max;
    }
    if (!same) {
      return Internal(fmt::format("{}: result '{}' is {}{}, but inference gives {}{}",
                                  ir::DescribeNode(node), have.name, DTypeName(have.info.dtype),
                                  ir::ToString(have.info.shape), DTypeName(want.dtype),
                                  ir::ToString(want.shape)));
    }
  }
  return OkStatus();
}

// ir::Verify bounds how deep regions nest.
Status CheckNodes(const ir::Graph& graph) {
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    if (const Status status = CheckNode(graph, node); !status.ok())
      return Internal(status.message());
    for (const auto& region : node.regions) FUSEE_TRY(CheckNodes(*region));
  }
  return OkStatus();
}

// What callers of a model see of it; no pass may change it.
std::vector<std::string> Signature(const ir::Graph& graph) {
  std::vector<std::string> lines;
  for (ir::ValueId id : graph.inputs()) {
    const ir::Value& v = graph.value(id);
    lines.push_back(fmt::format("input {} : {}{}", v.name, DTypeName(v.info.dtype),
                                ir::ToString(v.info.shape)));
  }
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    const ir::ValueInfo& info = graph.value(graph.outputs()[i]).info;
    lines.push_back(fmt::format("output {} : {} of rank {}", graph.output_names()[i],
                                DTypeName(info.dtype), info.shape.size()));
  }
  return lines;
}

Status VerifyAfter(const ir::Graph& graph, const std::vector<std::string>& signature) {
  FUSEE_TRY(VerifyTyped(graph));
  const std::vector<std::string> now = Signature(graph);
  if (now == signature) return OkStatus();
  const auto [was, is] = std::mismatch(signature.begin(), signature.end(), now.begin(), now.end());
  return Internal(fmt::format("a pass may not change inputs and outputs; '{}' became '{}'",
                              was == signature.end() ? "nothing" : *was,
                              is == now.end() ? "nothing" : *is));
}

// As a failed pass leaves it, for the dump and the message.
Status Broke(const PassDef& pass, const Status& status) {
  return Status(StatusCode::kInternal,
                fmt::format("pass '{}' broke the graph: {}; --disable-pass {} avoids it", pass.name,
                            status.message(), pass.name));
}

// Over the graph, then over the regions of what is left of it.
Result<PassOutcome> RunOn(const PassDef& pass, ir::Graph& graph, PassContext& context) {
  FUSEE_TRY(PassOutcome outcome, pass.run(graph, context));
  for (const ir::NodeId id : graph.order()) {
    for (const auto& region : graph.node(id).regions) {
      FUSEE_TRY(const PassOutcome inner, RunOn(pass, *region, context));
      outcome.changed |= inner.changed;
    }
  }
  return outcome;
}

constexpr auto kPipeline = std::to_array<PassDef>({
#define FUSEE_PASS(name, reason) {#name, reason, pass::name},
#include "passes/pipeline.inc"
#undef FUSEE_PASS
});

}  // namespace

std::span<const PassDef> Pipeline() { return kPipeline; }

Status VerifyTyped(const ir::Graph& graph) {
  FUSEE_TRY(ir::Verify(graph));
  return CheckNodes(graph);
}

Status RunPipeline(ir::Graph& graph, const PipelineOptions& options, PipelineReport* report) {
  return RunPasses(Pipeline(), graph, options, report);
}

Status RunPasses(std::span<const PassDef> passes, ir::Graph& graph, const PipelineOptions& options,
                 PipelineReport* report) {
  PipelineReport unwanted;
  if (report == nullptr) report = &unwanted;
  FUSEE_TRY(CheckNames(passes, options));
  if (!options.dump_dir.empty()) {
    std::error_code error;
    std::filesystem::create_directories(options.dump_dir, error);
    if (error)
      return Unavailable(
          fmt::format("cannot make the dump folder '{}': {}", options.dump_dir, error.message()));
    FUSEE_TRY(WriteDump(options.dump_dir, 0, "import", graph));
  }
  if (options.verify) {
    Status status = VerifyTyped(graph);
    if (!status.ok())
      return std::move(status).Annotate("the graph is broken before the first pass");
  }
  const std::vector<std::string> signature = Signature(graph);

  bool stopped = false;
  for (size_t i = 0; i < passes.size(); ++i) {
    const PassDef& pass = passes[i];
    PassReport& entry = report->passes.emplace_back();
    entry.name = pass.name;
    entry.reason = pass.reason;
    entry.nodes_before = entry.nodes_after = static_cast<int64_t>(graph.order().size());
    if (stopped || options.disabled.contains(pass.name)) continue;
    stopped = pass.name == options.stop_after;

    PassContext context(std::string(pass.name), options.limits, options.target, &report->rewrites);
    const TimePoint start = options.clock->Now();
    Result<PassOutcome> outcome = RunOn(pass, graph, context);
    entry.time = std::chrono::duration_cast<Duration>(options.clock->Now() - start);
    entry.ran = true;
    entry.made = context.made();
    entry.declined = context.declined();
    if (!outcome.ok())
      return std::move(outcome).status().Annotate(fmt::format("pass '{}'", pass.name));
    entry.changed = outcome->changed;
    entry.nodes_after = static_cast<int64_t>(graph.order().size());
    // Dumped before it is verified: a broken graph is the one worth looking at.
    if (!options.dump_dir.empty()) FUSEE_TRY(WriteDump(options.dump_dir, i + 1, pass.name, graph));
    if (options.verify) {
      if (const Status status = VerifyAfter(graph, signature); !status.ok())
        return Broke(pass, status);
    }
  }
  return OkStatus();
}

}  // namespace fusee::passes
