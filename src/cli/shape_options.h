// The options that say which shapes a plan is built for, shared by `fusee build` and `fusee bench
// --onnx`.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/status.h"
#include "compiler/options.h"

namespace fusee::cli {

struct ShapeOptions {
  std::vector<std::string> profiles;  // --shape-profile NAME:SHAPE[,SHAPE...]
  std::string fixed, min, opt, max;   // trtexec: --shapes, --minShapes, --optShapes, --maxShapes
  std::vector<std::string> pins;      // --pin NAME=FILE
  std::vector<std::string> bounds;    // --bound NODE/RESULT:AXIS=N

  void Add(CLI::App& app);
  // Errors: kInvalidArgument (malformed, or both spellings for one input), kNotFound (a pin's
  // file).
  Status Apply(compiler::BuildOptions* options) const;
};

}  // namespace fusee::cli
