// Profiles: which shapes a plan is built for. Gives every graph input its symbolic shape and every
// symbol its range.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "compiler/import.h"

namespace fusee::compiler {

// "image:1x1x8x8,8x1x8x8,32x1x8x8" -> name and shapes; "[]" or "scalar" is the shape of rank 0.
// Errors: kInvalidArgument quoting the part that is wrong.
struct NamedProfile {
  std::string name;
  InputProfile profile;
};
Result<NamedProfile> ParseShapeProfile(std::string_view text);

// trtexec's spelling: "a:1x3x8x8,b:1x4": one shape for each of several inputs.
Result<std::vector<std::pair<std::string, std::vector<int64_t>>>> ParseNamedShapes(
    std::string_view text);

// Resolves the declared inputs (those that are no initialisers) against the options. Symbols whose
// minimum equals their maximum become constants. Symbols without a profile: axis 0 gets the default
// buckets 1, 2, 4, 8 and a note; any other axis is refused with the option that would say it.
struct ResolvedInput {
  std::string name;
  DType dtype = DType::kInvalid;
  ir::SymShape shape;
};
struct ResolvedProfile {
  std::vector<ResolvedInput> inputs;
  std::vector<SymbolSource> symbols;
  ir::SymbolRanges ranges;
  std::vector<ProfilePoint> buckets;
  ProfilePoint opt;
  std::vector<std::string> notes;
};
Result<ResolvedProfile> ResolveProfile(std::span<const onnx::ValueDecl* const> inputs,
                                       const BuildOptions& options);

}  // namespace fusee::compiler
