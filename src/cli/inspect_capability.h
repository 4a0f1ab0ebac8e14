// `fusee inspect capability`: what of a model is supported, printed.
#pragma once

#include <string>

#include "base/status.h"
#include "cli/command.h"
#include "compiler/options.h"
#include "onnx/model.h"

namespace fusee::cli {

// A row for each operator, then every refusal with its operands and a remedy. repro: a file to
// write the first refused node to; empty: none. kUnsupported when something is valid ONNX that
// Fusee does not support; kError when the model is wrong; else kOk. Errors: of writing repro.
Result<ExitCode> InspectCapability(const onnx::Model& model, const compiler::BuildOptions& options,
                                   const std::string& repro, bool json);

}  // namespace fusee::cli
