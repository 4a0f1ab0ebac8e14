// What a server may know of a loaded plan: its tensors, ranges, measured times, and whether
// requests may share a batch.
#pragma once

#include <string>

#include "ipc/executor.h"
#include "ipc/shape_program.h"
#include "plan/plan.h"

namespace fusee::worker {

// memory_bytes and plan_digest are left for the caller. Never fails: a loaded plan is verified.
ipc::ModelInfo DescribePlan(const plan::Plan& plan, const std::string& name, int64_t version);

// The plan's dimensions for ipc::OutputShapes. Never fails either.
ipc::ShapeProgram DescribeShapes(const plan::Plan& plan);

}  // namespace fusee::worker
