// Tactics by measurement: asks the tuner about every step that can run in more than one way, and
// turns its figures into the choice of kernels and configurations. What was chosen is data
// (TunedTactics), which the lockfile keeps; putting it into a selection is a step of its own, so
// that a build that measures and one that reads the lockfile go the same way.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "compiler/import.h"
#include "compiler/select.h"
#include "plan/plan.h"
#include "tune/tuner.h"

namespace fusee::compiler {

// What was chosen for one step beside its kernel.
struct TunedTactic {
  plan::ConfigBytes config;                 // of the kernel
  std::vector<plan::BucketTactic> buckets;  // ascending
  std::vector<plan::TriedTactic> tried;     // with times; replaces the selection's
};
using TunedTactics = std::map<std::string, TunedTactic>;  // by LockName

struct TuneOutcome {
  std::map<std::string, std::string> kernels;  // by LockName; for SelectOptions::locked
  TunedTactics tuned;
};

// Candidates at each tuned point: every kernel that binds for the step there, with each of its
// configurations. On the CPU one kernel serves all points, so that a row's bits do not depend on
// the batch; on a device each point has its own. selection: as SelectKernels made it with these
// options. Host steps are left alone. Errors: as tune::Tuner.
Result<TuneOutcome> TuneSelection(const ImportedModel& model, const ir::Graph& graph,
                                  const std::vector<SelectedNode>& selection,
                                  const SelectOptions& options, tune::Tuner& tuner);

// Puts the choices into a selection made with the tuned kernels. Binds on the host only. Errors:
// kFailedPrecondition naming the node when a choice does not fit any more.
Status ApplyTuned(const ImportedModel& model, const ir::Graph& graph, const SelectOptions& options,
                  const TunedTactics& tuned, std::vector<SelectedNode>* selection);

// The tuned tactics of a bucket that are kept for the record: the fastest few.
inline constexpr size_t kTriedKept = 6;

}  // namespace fusee::compiler
