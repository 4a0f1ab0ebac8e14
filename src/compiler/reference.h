// The reference of a model, and the way back from a plan to the options it was built with: what
// `fusee verify --onnx` and the builder compare a plan with.
#pragma once

#include <string>

#include "base/digest.h"
#include "base/status.h"
#include "compiler/import.h"
#include "compiler/options.h"
#include "onnx/model.h"
#include "plan/plan.h"

namespace fusee::compiler {

// SHA-256 of the model file and, in the order of the initialisers, of the weights that lie outside
// it.
Sha256Digest ModelDigest(const onnx::Model& model);

// The imported graph as it stands, every node by its reference kernel, no memory shared: what
// "right" means. Errors: kUnimplemented (no reference kernel takes a node's types).
Result<plan::Plan> ReferencePlan(const ImportedModel& model);

// Profiles, pins and formats that give a plan of the same symbols, inputs and outputs as this one.
// Everything else is default. Precondition: verified plan. Errors: kInternal (dimensions that do
// not evaluate).
Result<BuildOptions> OptionsOf(const plan::Plan& plan);

// Reads the model, checks that it is the one the plan was built from, and makes its reference for
// the plan's profile. Errors: as onnx::Load and Import; kFailedPrecondition: another model, or
// other inputs and symbols than the plan's.
Result<plan::Plan> ReferenceFor(const plan::Plan& plan, const std::string& model_path);

}  // namespace fusee::compiler
