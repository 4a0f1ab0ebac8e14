// What the compiler knows of an operator: its name, shape inference, how ONNX nodes become it, and
// its traits.
//
// Each operator is one `<op>_def.cc` in its family folder with one function `OpDef Define<Op>()`,
// and one line FUSEE_OP(<Op>) in the family's ops.inc. An operator that ONNX has but that is
// spelled by others here (Sum as a chain of Add) has a definition with import rules only (`infer`
// null).
//
// Layer: definitions see ir and onnx, never kernels. Kernels (kernel.h) see neither.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ir/graph.h"
#include "ops/import_context.h"

namespace fusee::ops {

// Shape inference of one node. Reads operands and attributes, writes one ValueInfo per result.
class InferContext {
 public:
  InferContext(const ir::Graph& graph, const ir::Node& node,
               std::vector<ir::Constraint>* constraints)
      : graph_(graph), node_(node), constraints_(constraints), outputs_(node.outputs.size()) {}

  const ir::Node& node() const { return node_; }
  const Attrs& attrs() const { return node_.attrs; }
  std::span<const ir::Dim> dims() const { return node_.dims; }
  // A size that the node finds (ir::Node::counts), which an operator that does so sizes its results
  // by. Errors: kInvalidArgument when the node does not find exactly `expected` sizes.
  Result<ir::Dim> Count(size_t i, size_t expected) const;
  const ir::SymbolRanges& symbols() const { return graph_.symbols(); }

  size_t input_count() const { return node_.inputs.size(); }
  bool has_input(size_t i) const { return i < node_.inputs.size() && node_.inputs[i].valid(); }
  // An operand that is absent where the operator needs one (models are untrusted) reads as a scalar
  // of no type, which every check of types refuses.
  const ir::ValueInfo& input(size_t i) const {
    return has_input(i) ? graph_.value(node_.inputs[i]).info : kAbsent;
  }
  const ir::SymShape& shape(size_t i) const { return input(i).shape; }
  DType dtype(size_t i) const { return input(i).dtype; }
  int rank(size_t i) const { return static_cast<int>(shape(i).size()); }
  // The constant bytes of an operand, or an absent tensor.
  const Tensor& constant(size_t i) const {
    return has_input(i) ? graph_.value(node_.inputs[i]).constant : kNoTensor;
  }

  // Results. The vector has one entry per result of the node, wanted or not. What is set beyond
  // them is dropped: a model may list fewer results than the operator has.
  std::vector<ir::ValueInfo>& outputs() { return outputs_; }
  void SetOutput(size_t i, DType dtype, ir::SymShape shape) {
    if (i < outputs_.size()) outputs_[i] = {dtype, std::move(shape), {}};
  }

  // Both dimensions must be equal. Equal constants or expressions: ok. Two different constants, or
  // ranges that do not meet: kInvalidArgument. Otherwise a run-time constraint is recorded. `what`
  // completes "... must agree".
  Status RequireEqual(const ir::Dim& a, const ir::Dim& b, std::string_view what);
  // Numpy broadcasting of two dimensions, with the rule above for two that are not known to be 1.
  Result<ir::Dim> BroadcastDim(const ir::Dim& a, const ir::Dim& b);
  Result<ir::SymShape> Broadcast(const ir::SymShape& a, const ir::SymShape& b);

  // kInvalidArgument "node 'x' (Op): <message>".
  Status Error(std::string_view message) const;
  // kUnimplemented, the same form: valid ONNX that Fusee does not support.
  Status Refuse(std::string_view message) const;
  // Normalises a possibly negative axis into [0, rank). Errors: kInvalidArgument. For an axis that
  // may equal rank (Unsqueeze, Flatten) pass rank + 1 as limit.
  Result<int> Axis(int64_t axis, int limit) const;

 private:
  inline static const ir::ValueInfo kAbsent;
  inline static const Tensor kNoTensor;
  const ir::Graph& graph_;
  const ir::Node& node_;
  std::vector<ir::Constraint>* constraints_;
  std::vector<ir::ValueInfo> outputs_;
};

// Where an ONNX node becomes this operator. The newest rule with since <= opset that matches wins.
struct ImportRule {
  std::string_view onnx_op;          // "Conv"
  int since = 1;                     // first opset of the domain it holds for
  int until = 1 << 20;               // last opset it holds for
  Status (*import)(ImportContext&);  // adds nodes and sets every result
  std::string_view domain = "";      // "" is ai.onnx
};

enum class OpKind : uint8_t {
  kCompute,  // needs a kernel
  kView,     // result 0 has the bytes of operand 0 under another shape: no step, the memory planner
             // aliases
};

struct OpDef {
  std::string_view name;
  Status (*infer)(InferContext&) = nullptr;  // null: import rules only
  std::vector<ImportRule> imports;
  OpKind kind = OpKind::kCompute;
  // Takes the narrow element types (tensor/dtype.h); of other operators a node with one is refused
  // before their inference sees it.
  bool narrow = false;
  bool pure = true;  // equal operands and attributes give equal results: foldable, CSE-able
};

// All definitions, in the order of the families' ops.inc. Built once, immutable, thread-safe.
std::span<const OpDef> AllOps();
// Null when unknown.
const OpDef* FindOp(std::string_view name);
// The import rule for an ONNX node, or null.
const ImportRule* FindImportRule(std::string_view domain, std::string_view onnx_op, int opset);
// True if some rule imports the operator at any opset (to word the refusal).
bool HasImportRule(std::string_view domain, std::string_view onnx_op);

// Runs the operator's inference on a node that is not in the graph yet. infos gets one entry per
// result.
Status Infer(const ir::Graph& graph, const ir::Node& node, std::vector<ir::Constraint>* constraints,
             std::vector<ir::ValueInfo>* infos);

// Adds a node with inference: what import rules and passes use to build graphs.
// result_names: one per result, "" for an unwanted one.
Result<std::vector<ir::ValueId>> AddInferredNode(ir::Graph& graph, ir::Node node,
                                                 std::span<const std::string> result_names,
                                                 ir::NodeId before = ir::NodeId());

}  // namespace fusee::ops
