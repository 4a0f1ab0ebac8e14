// One quantised node on given constants: imported, then computed with the reference kernels.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ops/movement/evaluate_test_util.h"
#include "ops/movement/import_test_util.h"

namespace fusee::ops {

struct QuantisedNode : ImportHarness {
  std::vector<ir::ValueId> operands;
  std::vector<onnx::Attribute> attributes;

  explicit QuantisedNode(std::string_view of = "") { domain = of; }

  QuantisedNode& Absent() {
    operands.emplace_back();
    return *this;
  }
  // A graph input with this value, so that nothing is known of it while importing.
  template <typename T>
  QuantisedNode& Operand(const fusee::Shape& shape, const std::vector<T>& values) {
    const Tensor tensor = Tensor::Of<T>(shape, std::span<const T>(values));
    operands.push_back(
        Input("x" + std::to_string(operands.size()), tensor.dtype(), ir::ToSymShape(shape)));
    known_[operands.back()] = tensor;
    return *this;
  }
  template <typename T>
  QuantisedNode& One(T value) {
    return Operand<T>({}, {value});
  }
  template <typename T>
  QuantisedNode& Constant(const fusee::Shape& shape, const std::vector<T>& values) {
    operands.push_back(
        graph.AddConstant(graph.FreshName("c"), Tensor::Of<T>(shape, std::span<const T>(values))));
    return *this;
  }
  template <typename V>
  QuantisedNode& With(std::string_view name, V value) {
    attributes.push_back(Attr(name, std::move(value)));
    return *this;
  }
  QuantisedNode& WithFloat(std::string_view name, float value) {
    onnx::Attribute& a = attributes.emplace_back();
    a.name = name;
    a.type = onnx::AttrType::kFloat;
    a.f = value;
    return *this;
  }

  // The node's result; absent, with a failed test, when it was refused.
  Tensor Run(std::string_view op, int opset = 1) {
    const auto ids = TryImport(op, opset, operands, std::move(attributes));
    EXPECT_TRUE(ids.ok()) << op << ": " << ids.status().ToString();
    if (!ids.ok()) return {};
    const auto values = EvaluateGraph(graph, known_, *ids);
    EXPECT_TRUE(values.ok()) << op << ": " << values.status().ToString();
    return values.ok() ? (*values)[0] : Tensor();
  }
  StatusCode Refusal(std::string_view op, int opset = 1) {
    return TryImport(op, opset, operands, std::move(attributes)).status().code();
  }

 private:
  std::map<ir::ValueId, Tensor> known_;
};

template <typename T>
std::vector<T> Values(const Tensor& tensor) {
  EXPECT_EQ(tensor.dtype(), DTypeOf<T>());
  if (tensor.dtype() != DTypeOf<T>()) return {};
  return {tensor.as<T>(), tensor.as<T>() + tensor.elements()};
}

using U8 = std::vector<uint8_t>;
using I8 = std::vector<int8_t>;
using I32 = std::vector<int32_t>;
using F32 = std::vector<float>;

}  // namespace fusee::ops
