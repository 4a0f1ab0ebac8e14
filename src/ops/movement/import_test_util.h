// Imports single ONNX nodes into a graph, without a model file: what the definition tests of the
// movement, reduce and quant families stand on.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "ops/op_def.h"

namespace fusee::ops {

// One graph, to which nodes are added one by one. Names and attributes live as long as it.
class ImportHarness {
 public:
  ir::Graph graph;
  std::string_view domain = "";  // of the nodes to import

  ir::ValueId Input(std::string name, DType dtype, ir::SymShape shape) {
    return graph.AddInput(std::move(name), {dtype, std::move(shape), {}});
  }
  ir::Dim Symbol(const std::string& name, int64_t min, int64_t max) {
    graph.symbols()[name] = {min, max};
    return ir::Dim::Symbol(name);
  }
  ir::ValueId Ints(std::vector<int64_t> values) {
    const fusee::Shape shape = {static_cast<int64_t>(values.size())};
    return graph.AddConstant(graph.FreshName("ints"), Tensor::Of<int64_t>(shape, values));
  }
  ir::ValueId Int(int64_t value) {
    return graph.AddConstant(graph.FreshName("int"), Tensor::Of<int64_t>(fusee::Shape{}, {value}));
  }

  static onnx::Attribute Attr(std::string_view name, int64_t value) {
    onnx::Attribute a;
    a.name = name;
    a.type = onnx::AttrType::kInt;
    a.i = value;
    return a;
  }
  static onnx::Attribute Attr(std::string_view name, int value) {
    return Attr(name, int64_t{value});
  }
  static onnx::Attribute Attr(std::string_view name, float value) {
    onnx::Attribute a;
    a.name = name;
    a.type = onnx::AttrType::kFloat;
    a.f = value;
    return a;
  }
  static onnx::Attribute Attr(std::string_view name, std::vector<int64_t> values) {
    onnx::Attribute a;
    a.name = name;
    a.type = onnx::AttrType::kInts;
    a.ints = std::move(values);
    return a;
  }
  static onnx::Attribute Attr(std::string_view name, const char* value) {
    onnx::Attribute a;
    a.name = name;
    a.type = onnx::AttrType::kString;
    a.s = value;
    return a;
  }
  static std::vector<onnx::Attribute> Attrs() { return {}; }
  template <typename... A>
  static std::vector<onnx::Attribute> Attrs(A... attributes) {
    std::vector<onnx::Attribute> list;
    (list.push_back(std::move(attributes)), ...);
    return list;
  }

  // Runs the import rule that the opset selects.
  Result<std::vector<ir::ValueId>> TryImport(std::string_view op, int opset,
                                             std::vector<ir::ValueId> inputs,
                                             std::vector<onnx::Attribute> attributes = {},
                                             size_t results = 1) {
    const ImportRule* rule = FindImportRule(domain, op, opset);
    if (rule == nullptr) return NotFound("no rule for " + std::string(op));
    onnx::Node& node = nodes_.emplace_back();
    node.op_type = op;
    node.attributes = std::move(attributes);
    for (size_t i = 0; i < results; ++i) {
      node.outputs.push_back(
          names_.emplace_back(graph.FreshName("r" + std::to_string(names_.size()))));
    }
    ImportContext context(graph, node, opset, std::move(inputs));
    FUSEE_TRY(rule->import(context));
    if (!context.UnreadAttrs().empty()) return Internal("an attribute was not read");
    return std::vector<ir::ValueId>(context.outputs().begin(), context.outputs().end());
  }
  // The same for what must work; result 0.
  ir::ValueId Import(std::string_view op, int opset, std::vector<ir::ValueId> inputs,
                     std::vector<onnx::Attribute> attributes = {}, size_t results = 1) {
    auto ids = TryImport(op, opset, std::move(inputs), std::move(attributes), results);
    EXPECT_TRUE(ids.ok()) << op << ": " << ids.status().ToString();
    return ids.ok() ? (*ids)[0] : ir::ValueId();
  }

  // "[batch,12]", and "{batch, 12}" for tracked elements ("untracked" when there are none).
  std::string Shape(ir::ValueId id) const { return ir::ToString(graph.value(id).info.shape); }
  std::string Elements(ir::ValueId id) const {
    const auto& elements = graph.value(id).info.elements;
    if (!elements) return "untracked";
    std::string text = "{";
    for (const ir::Dim& d : *elements) text += (text.size() > 1 ? ", " : "") + d.ToString();
    return text + "}";
  }

 private:
  std::deque<onnx::Node> nodes_;
  std::deque<std::string> names_;
};

}  // namespace fusee::ops
