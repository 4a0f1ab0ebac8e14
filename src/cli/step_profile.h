// Where a run's time goes: time per step, gathered over runs of their own, because reading the
// clock around every step costs something.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/session.h"

namespace fusee::cli {

struct StepTime {
  std::string name;     // operator, ONNX nodes, kernel
  double total_ms = 0;  // over all profiled runs
  double average_ms = 0, median_ms = 0;
  double percent = 0;  // of all steps together
};

struct StepProfile {
  size_t runs = 0;
  std::vector<StepTime> steps;  // in execution order
};

// Runs the session `runs` times at its current inputs. runs >= 1.
Result<StepProfile> ProfileSteps(Session& session, size_t runs);

std::string ProfileText(const StepProfile& profile);
// trtexec's --exportProfile: a list whose first entry is {"count": runs}, then one entry a step.
std::string ProfileJson(const StepProfile& profile);

}  // namespace fusee::cli
