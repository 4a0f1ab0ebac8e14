// For this room's tests: small ONNX models, written field by field.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/wire.h"
#include "onnx/model.h"

namespace fusee::compiler {

// A serialised NodeProto of any domain. attributes: serialised AttributeProtos.
inline std::string NodeText(std::string_view domain, std::string_view op,
                            const std::vector<std::string_view>& inputs,
                            const std::vector<std::string_view>& outputs,
                            const std::vector<std::string>& attributes = {},
                            std::string_view name = "", std::string_view overload = "") {
  wire::Writer node;
  for (const std::string_view input : inputs) node.Bytes(1, input);
  for (const std::string_view output : outputs) node.Bytes(2, output);
  if (!name.empty()) node.Bytes(3, name);
  node.Bytes(4, op);
  for (const std::string& attribute : attributes) node.Bytes(5, attribute);
  if (!domain.empty()) node.Bytes(7, domain);
  if (!overload.empty()) node.Bytes(8, overload);
  return node.str();
}

// Serialised AttributeProtos: values, and a reference to an attribute of the function around.
inline std::string IntAttribute(std::string_view name, int64_t value) {
  wire::Writer attribute;
  attribute.Bytes(1, name);
  attribute.Varint(3, static_cast<uint64_t>(value));
  attribute.Varint(20, static_cast<uint64_t>(onnx::AttrType::kInt));
  return attribute.str();
}
inline std::string IntsAttribute(std::string_view name, std::initializer_list<int64_t> values) {
  wire::Writer attribute;
  attribute.Bytes(1, name);
  for (const int64_t value : values) attribute.Varint(8, static_cast<uint64_t>(value));
  attribute.Varint(20, static_cast<uint64_t>(onnx::AttrType::kInts));
  return attribute.str();
}
inline std::string FloatAttribute(std::string_view name, float value) {
  wire::Writer attribute;
  attribute.Bytes(1, name);
  attribute.Float(2, value);
  attribute.Varint(20, static_cast<uint64_t>(onnx::AttrType::kFloat));
  return attribute.str();
}
inline std::string ReferenceAttribute(std::string_view name, onnx::AttrType type,
                                      std::string_view to) {
  wire::Writer attribute;
  attribute.Bytes(1, name);
  attribute.Varint(20, static_cast<uint64_t>(type));
  attribute.Bytes(21, to);
  return attribute.str();
}

// A serialised ValueInfoProto. A dimension of -1 has neither size nor name.
inline std::string ValueInfoText(std::string_view name, DType type,
                                 std::initializer_list<int64_t> dims) {
  wire::Writer shape;
  for (const int64_t d : dims) {
    wire::Writer dim;
    if (d >= 0) dim.Varint(1, static_cast<uint64_t>(d));
    shape.Bytes(1, dim.str());
  }
  wire::Writer tensor;
  tensor.Varint(1, static_cast<uint64_t>(type));
  tensor.Bytes(2, shape.str());
  wire::Writer kind;
  kind.Bytes(1, tensor.str());
  wire::Writer value;
  value.Bytes(1, name);
  value.Bytes(2, kind.str());
  return value.str();
}

// A model-local function, written field by field.
class FunctionText {
 public:
  FunctionText(std::string_view domain, std::string_view name,
               const std::vector<std::string_view>& inputs,
               const std::vector<std::string_view>& outputs, int64_t opset = 17) {
    function_.Bytes(1, name);
    for (const std::string_view input : inputs) function_.Bytes(4, input);
    for (const std::string_view output : outputs) function_.Bytes(5, output);
    if (!domain.empty()) function_.Bytes(10, domain);
    if (opset != 0) Import("", opset);
  }
  FunctionText& Import(std::string_view domain, int64_t version) {
    wire::Writer opset;
    if (!domain.empty()) opset.Bytes(1, domain);
    opset.Varint(2, static_cast<uint64_t>(version));
    function_.Bytes(9, opset.str());
    return *this;
  }
  FunctionText& Attribute(std::string_view name) {
    function_.Bytes(6, name);
    return *this;
  }
  // attribute: a serialised AttributeProto.
  FunctionText& Default(std::string_view attribute) {
    function_.Bytes(11, attribute);
    return *this;
  }
  FunctionText& Overload(std::string_view overload) {
    function_.Bytes(13, overload);
    return *this;
  }
  FunctionText& Node(std::string_view op, const std::vector<std::string_view>& inputs,
                     const std::vector<std::string_view>& outputs,
                     const std::vector<std::string>& attributes = {}) {
    return Raw(NodeText("", op, inputs, outputs, attributes));
  }
  FunctionText& Declare(std::string_view name, DType type, std::initializer_list<int64_t> dims) {
    function_.Bytes(12, ValueInfoText(name, type, dims));
    return *this;
  }
  FunctionText& Raw(std::string_view node) {
    function_.Bytes(7, node);
    return *this;
  }
  const std::string& str() const { return function_.str(); }

 private:
  wire::Writer function_;
};

class ModelText {
 public:
  explicit ModelText(int64_t opset = 17) : opset_(opset) {}

  // A dimension of -1 has neither size nor name.
  ModelText& Input(std::string_view name, DType type, std::initializer_list<int64_t> dims) {
    graph_.Bytes(11, ValueInfoText(name, type, dims));
    return *this;
  }
  ModelText& Declare(std::string_view name, DType type, std::initializer_list<int64_t> dims) {
    graph_.Bytes(13, ValueInfoText(name, type, dims));
    return *this;
  }
  ModelText& Output(std::string_view name) {
    wire::Writer value;
    value.Bytes(1, name);
    graph_.Bytes(12, value.str());
    return *this;
  }
  ModelText& Initializer(std::string_view name, DType type, std::initializer_list<int64_t> dims,
                         std::string_view raw) {
    wire::Writer tensor;
    for (const int64_t d : dims) tensor.Varint(1, static_cast<uint64_t>(d));
    tensor.Varint(2, static_cast<uint64_t>(type));
    tensor.Bytes(8, name);
    tensor.Bytes(9, raw);
    graph_.Bytes(5, tensor.str());
    return *this;
  }
  // attributes: serialised AttributeProtos.
  ModelText& Node(std::string_view op, std::initializer_list<std::string_view> inputs,
                  std::initializer_list<std::string_view> outputs,
                  std::initializer_list<std::string> attributes = {}) {
    wire::Writer node;
    for (const std::string_view name : inputs) node.Bytes(1, name);
    for (const std::string_view name : outputs) node.Bytes(2, name);
    node.Bytes(4, op);
    for (const std::string& attribute : attributes) node.Bytes(5, attribute);
    graph_.Bytes(1, node.str());
    return *this;
  }

  // The graph alone, as an attribute of a node that has subgraphs.
  std::string GraphAttribute(std::string_view name) const {
    constexpr uint64_t kGraph = 5;
    wire::Writer attribute;
    attribute.Bytes(1, name);
    attribute.Bytes(6, graph_.str());
    attribute.Varint(20, kGraph);
    return attribute.str();
  }

  // A serialised NodeProto.
  ModelText& Raw(std::string_view node) {
    graph_.Bytes(1, node);
    return *this;
  }

  ModelText& Function(const FunctionText& function) {
    rest_.Bytes(25, function.str());
    return *this;
  }
  ModelText& Import(std::string_view domain, int64_t version) {
    wire::Writer opset;
    opset.Bytes(1, domain);
    opset.Varint(2, static_cast<uint64_t>(version));
    rest_.Bytes(8, opset.str());
    return *this;
  }

  std::string Text() const {
    wire::Writer opset;
    opset.Varint(2, static_cast<uint64_t>(opset_));
    wire::Writer model;
    model.Varint(1, 8);
    model.Bytes(7, graph_.str());
    model.Bytes(8, opset.str());
    model.str() += rest_.str();
    return model.str();
  }
  // The bytes live as long as this.
  std::shared_ptr<const onnx::Model> Read() {
    text_ = Text();
    auto model = onnx::Parse(std::as_bytes(std::span(text_)));
    EXPECT_TRUE(model.ok()) << model.status().message();
    return model.ok() ? *model : std::make_shared<const onnx::Model>();
  }

 private:
  int64_t opset_;
  wire::Writer graph_;
  wire::Writer rest_;  // of the model
  std::string text_;
};

}  // namespace fusee::compiler
