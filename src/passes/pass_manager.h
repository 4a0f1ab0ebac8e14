// The one choke point of all passes: runs them in the order of pipeline.inc, times each, dumps the
// graph after each, verifies the graph after each, and names the pass when something broke.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "ir/graph.h"
#include "passes/pass.h"

namespace fusee::passes {

struct PipelineOptions {
  // Passes not to run, by name (every line of that name). A name that no pass has is
  // kInvalidArgument.
  std::set<std::string, std::less<>> disabled;
  // Last pass to run (its first line, when it has several), or "": all.
  std::string stop_after;
  // Folder for `NN.name.ir` after each pass and `00.import.ir` before the first; made when missing.
  // "": no dumps.
  std::string dump_dir;
  // Verify after each pass. Only a benchmark of the compiler has a reason to turn it off.
  bool verify = true;
  PassLimits limits;
  Target target;
  const Clock* clock = &SteadyClock();
};

struct PassReport {
  std::string name;
  std::string reason;
  bool ran = false;  // false: disabled, or behind stop_after
  bool changed = false;
  Duration time{0};  // of the pass itself, without verification
  int64_t nodes_before = 0;
  int64_t nodes_after = 0;
  int64_t made = 0;  // decisions
  int64_t declined = 0;
};

struct PipelineReport {
  std::vector<PassReport> passes;  // one per line of the pipeline
  std::vector<Rewrite> rewrites;   // every decision, in order
};

// The lines of pipeline.inc.
std::span<const PassDef> Pipeline();

// Runs the pipeline, each pass over the graph and then over the regions of its nodes, whose types
// the node's inference holds. report may be null; when a pass fails it holds what happened until
// then. Errors: kInvalidArgument (unknown pass name), kUnavailable (a dump cannot be written),
// kInternal "pass 'x' broke the graph: ..." (a rule of ir::Verify, or a type that inference no
// longer gives), and a pass's own error, annotated. The graph is undefined after an error, but
// destroyable.
Status RunPipeline(ir::Graph& graph, const PipelineOptions& options, PipelineReport* report);

// The same over a given list, for tests.
Status RunPasses(std::span<const PassDef> passes, ir::Graph& graph, const PipelineOptions& options,
                 PipelineReport* report);

// ir::Verify, and each node's inference gives the types its results have (dtype, rank and
// dimensions, as far as they can be told apart). Errors: kInternal naming the node.
Status VerifyTyped(const ir::Graph& graph);

}  // namespace fusee::passes
