// For this room's tests: small ONNX models, written field by field.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "base/wire.h"
#include "onnx/model.h"

namespace fusee::compiler {

class ModelText {
 public:
  explicit ModelText(int64_t opset = 17) : opset_(opset) {}

  // A dimension of -1 has neither size nor name.
  ModelText& Input(std::string_view name, DType type, std::initializer_list<int64_t> dims) {
    graph_.Bytes(11, Value(name, type, dims));
    return *this;
  }
  ModelText& Declare(std::string_view name, DType type, std::initializer_list<int64_t> dims) {
    graph_.Bytes(13, Value(name, type, dims));
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

  std::string Text() const {
    wire::Writer opset;
    opset.Varint(2, static_cast<uint64_t>(opset_));
    wire::Writer model;
    model.Varint(1, 8);
    model.Bytes(7, graph_.str());
    model.Bytes(8, opset.str());
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
  static std::string Value(std::string_view name, DType type, std::initializer_list<int64_t> dims) {
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

  int64_t opset_;
  wire::Writer graph_;
  std::string text_;
};

}  // namespace fusee::compiler
