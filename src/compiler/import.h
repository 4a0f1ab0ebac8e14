// ONNX model to IR graph: types inputs, applies the profile, runs every node's import rule, gives
// inputs and outputs the formats asked for.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "compiler/options.h"
#include "ir/graph.h"
#include "onnx/model.h"

namespace fusee::compiler {

// A tuned point: a value for every symbol of the graph.
struct ProfilePoint {
  ir::SymbolValues values;
  friend bool operator==(const ProfilePoint&, const ProfilePoint&) = default;
};

// Where a symbol's value is read at run time.
struct SymbolSource {
  std::string name;
  uint32_t input = 0;  // index into the graph's inputs
  int axis = 0;
};

struct ImportedModel {
  std::unique_ptr<ir::Graph> graph;
  std::vector<SymbolSource> symbols;  // in order of first appearance
  std::vector<ProfilePoint>
      buckets;  // ascending; the last is the maximum; one empty point when all is static
  ProfilePoint opt;
  size_t node_count = 0;
  std::map<std::string, size_t> operators;  // ONNX operator -> count
  std::vector<std::string> notes;           // defaults that were taken, for the report
  // One for each input and output where formats were asked for, else empty (io_formats.h).
  std::vector<IoFormat> input_formats, output_formats;
};

// Errors: kUnimplemented naming the node, operator and remedy (Fusee does not support something);
// kInvalidArgument (the model or the profile is wrong). Inputs in options.pin_if_needed are pinned
// when a rule asks for their value.
Result<ImportedModel> Import(const onnx::Model& model, const BuildOptions& options);

// One row per operator that has no import rule at the model's opset: what `fusee inspect
// capability` prints.
struct MissingOperator {
  std::string domain, op;
  int64_t opset = 0;
  std::string reason;
  std::vector<std::string> nodes;
};
std::vector<MissingOperator> FindMissingOperators(const onnx::Model& model);

}  // namespace fusee::compiler
