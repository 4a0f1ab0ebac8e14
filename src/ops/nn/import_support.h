// Imports one ONNX node built by hand, for tests of definitions: import rule, then shape inference.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "ops/op_def.h"

namespace fusee::ops {

// One node under test. Inputs become graph inputs of the given symbolic shapes.
class ImportCase {
 public:
  ImportCase(std::string_view op, int opset) : opset_(opset) {
    node_.op_type = op;
    node_.name = "n";
    node_.outputs = {"y"};
  }
  // "batch", "2*h + 1", 64: one dimension each.
  ImportCase& Input(std::vector<ir::Dim> shape, DType dtype = DType::kF32) {
    inputs_.push_back(
        graph_.AddInput("x" + std::to_string(inputs_.size()), {dtype, std::move(shape), {}}));
    return *this;
  }
  // An optional operand that is left out.
  ImportCase& Absent() {
    inputs_.emplace_back();
    return *this;
  }
  ImportCase& Domain(std::string_view domain) {
    node_.domain = domain;
    return *this;
  }
  ImportCase& Range(std::string_view symbol, int64_t min, int64_t max) {
    graph_.symbols()[std::string(symbol)] = {min, max};
    return *this;
  }
  ImportCase& Int(std::string_view name, int64_t value) {
    Attribute(name, onnx::AttrType::kInt).i = value;
    return *this;
  }
  ImportCase& Float(std::string_view name, float value) {
    Attribute(name, onnx::AttrType::kFloat).f = value;
    return *this;
  }
  ImportCase& Str(std::string_view name, std::string_view value) {
    Attribute(name, onnx::AttrType::kString).s = value;
    return *this;
  }
  ImportCase& Ints(std::string_view name, std::vector<int64_t> value) {
    Attribute(name, onnx::AttrType::kInts).ints = std::move(value);
    return *this;
  }
  ImportCase& Outputs(std::vector<std::string_view> names) {
    node_.outputs = std::move(names);
    return *this;
  }

  Status Run() {
    const ImportRule* rule = FindImportRule(node_.domain, node_.op_type, opset_);
    if (rule == nullptr) return NotFound("no import rule");
    ImportContext context(graph_, node_, opset_, inputs_);
    FUSEE_TRY(rule->import(context));
    if (!context.UnreadAttrs().empty())
      return Internal("unread attribute " + context.UnreadAttrs()[0]);
    outputs_.assign(context.outputs().begin(), context.outputs().end());
    return OkStatus();
  }

  // After Run succeeded: "f32[batch,64]" of result i, and the attributes of the last node.
  std::string Shape(size_t i = 0) const {
    return ir::ToString(graph_.value(outputs_[i]).info.shape);
  }
  DType Type(size_t i = 0) const { return graph_.value(outputs_[i]).info.dtype; }
  const Attrs& attrs() const { return graph_.node(graph_.order().back()).attrs; }
  const ir::Graph& graph() const { return graph_; }
  // Names of the nodes' operators in order: "Mul Transpose MatMul".
  std::string Operators() const {
    std::string names;
    for (ir::NodeId id : graph_.order())
      names += (names.empty() ? "" : " ") + std::string(graph_.node(id).op);
    return names;
  }
  // Whether the rule left result i out.
  bool Gave(size_t i) const { return i < outputs_.size() && outputs_[i].valid(); }

 private:
  onnx::Attribute& Attribute(std::string_view name, onnx::AttrType type) {
    onnx::Attribute& a = node_.attributes.emplace_back();
    a.name = name;
    a.type = type;
    return a;
  }

  ir::Graph graph_;
  onnx::Node node_;
  int opset_;
  std::vector<ir::ValueId> inputs_;
  std::vector<ir::ValueId> outputs_;
};

inline ir::Dim Sym(std::string_view text) {
  auto dim = ir::Dim::Parse(text);
  FUSEE_CHECK(dim.ok(), "a test's dimension does not parse");
  return *dim;
}

}  // namespace fusee::ops
