// What an operator's import rule sees of the ONNX node it translates, and how it writes the result.
//
// Every attribute of the node must be read, or named to Ignore: one that nobody looked at makes the
// importer refuse the node, so that an option is never silently without effect.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ir/graph.h"
#include "onnx/model.h"

namespace fusee::ops {

// What an import rule may ask of the importer, which knows the names and values around the node.
class ImportScope {
 public:
  virtual ~ImportScope() = default;
  // Translates the subgraph of a node in the node's place: one value per result of the subgraph.
  // inputs: one per input it declares. Names inside are its own, so the same subgraph may be
  // inlined again and again. Errors: those of importing; kUnimplemented beyond the limits on depth
  // and size.
  virtual Result<std::vector<ir::ValueId>> Inline(const onnx::Graph& subgraph,
                                                  std::span<const ir::ValueId> inputs) = 0;
  // A small value that follows from constants alone; nullopt when it does not, or costs too much.
  virtual std::optional<Tensor> Evaluate(ir::ValueId value) = 0;
  // What an attribute stands for: itself, or, where a node of a model-local function refers to an
  // attribute of the call, that one; null: absent.
  virtual const onnx::Attribute* Resolve(const onnx::Attribute& attribute) const {
    return &attribute;
  }
  // What names of values and nodes begin with: the call that is being written out; empty: none.
  virtual std::string_view NamePrefix() const { return {}; }
  // The bound that the user gives (--bound) a size that only a run tells, by its name.
  virtual std::optional<int64_t> BoundOf(const std::string& name) = 0;
};

class ImportContext {
 public:
  // inputs: one id per ONNX input, invalid where the name is empty. Everything is borrowed; scope
  // may be null.
  ImportContext(ir::Graph& graph, const onnx::Node& node, int opset,
                std::vector<ir::ValueId> inputs, ImportScope* scope = nullptr)
      : graph_(graph),
        node_(node),
        opset_(opset),
        inputs_(std::move(inputs)),
        outputs_(node.outputs.size()),
        scope_(scope) {}

  ir::Graph& graph() { return graph_; }
  const ir::Graph& graph() const { return graph_; }
  const onnx::Node& node() const { return node_; }
  int opset() const { return opset_; }

  // --- operands ---
  size_t input_count() const { return inputs_.size(); }
  bool has_input(size_t i) const { return i < inputs_.size() && inputs_[i].valid(); }
  // The operand; an invalid id when it is absent.
  ir::ValueId input(size_t i) const { return i < inputs_.size() ? inputs_[i] : ir::ValueId(); }
  std::span<const ir::ValueId> inputs() const { return inputs_; }
  // An absent operand reads as a scalar of no type.
  const ir::ValueInfo& info(size_t i) const {
    return has_input(i) ? graph_.value(inputs_[i]).info : kAbsent;
  }
  int rank(size_t i) const { return static_cast<int>(info(i).shape.size()); }

  // An operand that must be known while building (axes, scales): its bytes, or a refusal that names
  // the operand and the way out (--pin).
  Result<Tensor> ConstInput(size_t i, std::string_view meaning);
  Result<std::vector<int64_t>> ConstInts(size_t i, std::string_view meaning);
  // The same of any value of the graph, as a subgraph gives it.
  Result<Tensor> ConstValue(ir::ValueId value, std::string_view meaning);
  // An integer operand whose elements are known at least symbolically (a target shape, pads,
  // starts).
  Result<std::vector<ir::Dim>> DimInput(size_t i, std::string_view meaning);

  // The operand whose value the last refusal of ConstInput, ConstValue or DimInput asked for;
  // invalid when none was.
  ir::ValueId unknown_operand() const { return unknown_operand_; }

  // --- attributes: typed, with ONNX's default ---
  bool HasAttr(std::string_view name) const;
  Result<int64_t> Int(std::string_view name, int64_t fallback);
  Result<int64_t> RequiredInt(std::string_view name);
  Result<double> Float(std::string_view name, double fallback);
  Result<std::string> Str(std::string_view name, std::string fallback);
  Result<std::vector<int64_t>> Ints(std::string_view name, std::vector<int64_t> fallback = {});
  Result<std::vector<double>> Floats(std::string_view name, std::vector<double> fallback = {});
  Result<std::vector<std::string>> Strings(std::string_view name);  // absent: none
  Result<Tensor> TensorAttr(std::string_view name);
  // Null when absent. The graph belongs to the model.
  const onnx::Graph* GraphAttr(std::string_view name);
  // An attribute that has no effect on results (consumed_inputs, a training flag at inference).
  void Ignore(std::string_view name) { read_.insert(std::string(name)); }
  // Names of attributes that were neither read nor ignored.
  std::vector<std::string> UnreadAttrs() const;

  // --- results ---
  size_t output_count() const { return node_.outputs.size(); }
  // False when the node leaves the optional result i unnamed or does not list it.
  bool wants_output(size_t i) const {
    return i < node_.outputs.size() && !node_.outputs[i].empty();
  }

  // Adds a node with one result, inferring its shape; it carries the ONNX node's name as its
  // source.
  Result<ir::ValueId> Emit(std::string_view op, std::vector<ir::ValueId> inputs, Attrs attrs = {},
                           std::vector<ir::Dim> dims = {});
  // The same with `results` results, all wanted.
  Result<std::vector<ir::ValueId>> EmitMany(std::string_view op, std::vector<ir::ValueId> inputs,
                                            size_t results, Attrs attrs = {},
                                            std::vector<ir::Dim> dims = {});
  // The same for a node with regions.
  Result<std::vector<ir::ValueId>> EmitWithRegions(std::string_view op,
                                                   std::vector<ir::ValueId> inputs,
                                                   std::vector<std::unique_ptr<ir::Graph>> regions,
                                                   size_t results);
  // --- sizes that only a run tells (ir::Node::counts) ---
  // A symbol for axis `axis` of result `result` of the ONNX node: from 0 to the smaller of `most`,
  // what the operands' sizes allow, and the user's bound. Errors: kUnimplemented with the option
  // that would bound it, when neither does.
  Result<ir::Dim> NewCount(size_t result, int axis, const std::optional<ir::Dim>& most);
  // As EmitMany, for a node that finds these symbols, made by NewCount. A node whose operands are
  // all known, and cheap, is computed at once: then results are constants.
  Result<std::vector<ir::ValueId>> EmitFinding(std::string_view op, std::vector<ir::ValueId> inputs,
                                               size_t results, const std::vector<ir::Dim>& counts,
                                               Attrs attrs = {}, std::vector<ir::Dim> dims = {});

  // The elements of an integer value as sizes that a run finds: element i sizes axis axes[i] of
  // result `result`, and is at most `most` (nullopt: only the user's bound holds it). Errors:
  // NewCount's.
  Result<std::vector<ir::Dim>> FoundDims(ir::ValueId value, size_t result,
                                         std::span<const int> axes,
                                         const std::optional<ir::Dim>& most);
  // DimInput where the elements are known, else FoundDims of operand i.
  Result<std::vector<ir::Dim>> FoundDimInput(size_t i, std::string_view meaning, size_t result,
                                             std::span<const int> axes,
                                             const std::optional<ir::Dim>& most);

  // A constant operand.
  ir::ValueId Constant(Tensor tensor);
  // A scalar constant of the given type, rounded from value.
  ir::ValueId Scalar(DType dtype, double value);
  // A result that the node does not list is dropped.
  void SetOutput(size_t i, ir::ValueId value) {
    if (i < outputs_.size()) outputs_[i] = value;
  }
  // ImportScope::Inline of a subgraph of this node.
  Result<std::vector<ir::ValueId>> Inline(const onnx::Graph& subgraph,
                                          std::span<const ir::ValueId> inputs);
  std::span<const ir::ValueId> outputs() const { return outputs_; }

  // Shorthand for the usual rule: one IR node of the same operands, all results in order.
  Status EmitAs(std::string_view op, Attrs attrs = {}, std::vector<ir::Dim> dims = {});
  // The same with the operands given.
  Status EmitAs(std::string_view op, std::vector<ir::ValueId> inputs, Attrs attrs,
                std::vector<ir::Dim> dims = {});

  // kInvalidArgument / kUnimplemented "node 'x' (Op, opset 17): <message>".
  Status Error(std::string_view message) const;
  Status Refuse(std::string_view message) const;
  Result<int> Axis(int64_t axis, int limit) const;
  // InferContext::RequireEqual for what only an import rule sees: dimensions that differ are an
  // error, those that may differ at run time a constraint.
  Status RequireEqual(const ir::Dim& a, const ir::Dim& b, std::string_view what);

 private:
  // FoundDims, every element of the value.
  Result<std::vector<ir::Dim>> FindDims(ir::ValueId value, size_t result, std::span<const int> axes,
                                        const std::optional<ir::Dim>& most);
  const onnx::Attribute* Find(std::string_view name);
  const onnx::Attribute* Resolved(const onnx::Attribute* attribute) const;
  std::string PrefixedName(std::string_view name) const;
  ir::Node MakeNode(std::string_view op, std::vector<ir::ValueId> inputs, Attrs attrs,
                    std::vector<ir::Dim> dims) const;

  inline static const ir::ValueInfo kAbsent;
  ir::Graph& graph_;
  const onnx::Node& node_;
  int opset_;
  std::vector<ir::ValueId> inputs_;
  std::vector<ir::ValueId> outputs_;
  std::set<std::string, std::less<>> read_;
  ir::ValueId unknown_operand_;
  ImportScope* scope_ = nullptr;
};

}  // namespace fusee::ops
