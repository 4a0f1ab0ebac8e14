// ONNX model to IR graph: types inputs, applies the profile, runs every node's import rule, gives
// inputs and outputs the formats asked for.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "compiler/functions.h"
#include "compiler/options.h"
#include "ir/graph.h"
#include "onnx/model.h"

namespace fusee::compiler {

// Opsets of ai.onnx that are read, in the model and in its functions.
inline constexpr int64_t kOldestOpset = 7;
inline constexpr int64_t kNewestOpset = 26;

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

// Calls of the model's own functions become the nodes of the function (functions.h), whose values
// are named after the call: "call/inner".
// Errors: kUnimplemented naming the node, operator and remedy (Fusee does not support something);
// kInvalidArgument (the model or the profile is wrong). Inputs in options.pin_if_needed are pinned
// when a rule asks for their value.
Result<ImportedModel> Import(const onnx::Model& model, const BuildOptions& options);

// What is known of one operand of a node that was refused.
struct RefusedOperand {
  std::string name;                             // empty: absent
  ir::ValueInfo info;                           // dtype kInvalid: nothing is known
  Tensor constant;                              // present when its bytes are known
  const onnx::TensorRef* unreadable = nullptr;  // an initialiser that is no tensor here
};

// One reason why a model does not import. Borrows the model.
struct Refusal {
  const onnx::Node* node = nullptr;  // null: the model's inputs, outputs, functions or opset
  int opset = 0;                     // of the node's domain
  Status status;
  std::string remedy;
  // The node's operands in order, then what its nested graphs read from around them.
  std::vector<RefusedOperand> operands;
  // Where the node is one of a function: which, and what the function's attributes stand for.
  const onnx::Function* function = nullptr;
  std::shared_ptr<const AttributeBindings> bindings;
};

// "node 'x'", "function 'pkg::Gelu', node 'x'"; empty without a node.
std::string DescribePlace(const Refusal& refusal);
// What messages begin with: "function 'pkg::Gelu', " or nothing.
std::string DescribeFunction(const Refusal& refusal);

// "f32[1,3], i64[2] constant, ?" as messages list operands.
std::string DescribeOperands(const std::vector<RefusedOperand>& operands);

// An ONNX node that was translated.
struct SurveyedNode {
  const onnx::Node* node = nullptr;
  int opset = 0;
  std::vector<ir::ValueId> inputs;  // of Survey::graph
  const onnx::Function* function = nullptr;
  std::shared_ptr<const AttributeBindings> bindings;
};

struct Survey {
  std::vector<Refusal> refusals;  // in the order in which nodes run
  // Nodes that read what a refused node was to make and no value_info describes: not judged.
  std::vector<const onnx::Node*> unjudged;
  // What was translated, by the source that nodes of the graph name (ir::Node::sources). A node of
  // a function is here once for each call.
  std::map<std::string, SurveyedNode> nodes;
  std::unique_ptr<ir::Graph> graph;  // what could be imported; null: the graph is no order of nodes
};

// Like Import, but goes on behind each refusal, with the types that the model declares for inputs
// and for results of refused nodes. Nothing is pinned that options.pins does not name.
Survey SurveyModel(const onnx::Model& model, const BuildOptions& options);

}  // namespace fusee::compiler
