// libFuzzer target: any bytes as a model and as a tensor file. Whatever Parse accepts is walked to
// its last byte, so that a view beyond the input is a finding too.
#include <cstdlib>

#include "onnx/model.h"
#include "onnx/mutator_test_util.h"
#include "tensor/tensor_proto.h"

namespace {

using fusee::onnx::Attribute;
using fusee::onnx::Graph;
using fusee::onnx::Node;
using fusee::onnx::TensorRef;
using fusee::onnx::ValueDecl;

// Keeps the reads below from being optimised away.
volatile unsigned g_sum = 0;

void Touch(std::string_view text) {
  for (const char c : text) g_sum = g_sum + static_cast<unsigned char>(c);
}

void Touch(const TensorRef& t) {
  Touch(t.name);
  // Exactly one of the two, always.
  if (t.tensor.present() == !t.problem.ok()) std::abort();
  if (!t.tensor.present()) return;
  if (t.tensor.dtype() == fusee::DType::kBool) {
    for (int64_t i = 0; i < t.tensor.elements(); ++i)
      g_sum = g_sum + (t.tensor.as<bool>()[i] ? 1 : 0);
  }
  for (const std::byte b : t.tensor.bytes()) g_sum = g_sum + static_cast<unsigned>(b);
}

void Touch(const ValueDecl& v) {
  Touch(v.name);
  for (const auto& dim : v.shape) Touch(dim.name);
}

void Touch(const Graph& graph);

void Touch(const Attribute& a) {
  Touch(a.name);
  Touch(a.s);
  for (const auto s : a.strings) Touch(s);
  for (const auto& t : a.tensors) Touch(t);
  for (const auto& g : a.graphs) Touch(*g);
}

void Touch(const Node& n) {
  Touch(n.DisplayName());
  for (const auto s : n.inputs) Touch(s);
  for (const auto s : n.outputs) Touch(s);
  for (const auto& a : n.attributes) Touch(a);
}

void Touch(const Graph& graph) {
  Touch(graph.name);
  for (const auto& n : graph.nodes) Touch(n);
  for (const auto& t : graph.initializers) Touch(t);
  for (const auto& v : graph.inputs) Touch(v);
  for (const auto& v : graph.outputs) Touch(v);
  for (const auto& v : graph.value_infos) Touch(v);
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fusee::onnx::MutateForFuzzer(data, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  fusee::onnx::Limits limits;
  limits.memory_slack_bytes = 1u << 20;
  if (const auto model = fusee::onnx::Parse(bytes, limits); model.ok()) {
    Touch((*model)->graph);
    for (const auto& f : (*model)->functions) {
      for (const auto& n : f.nodes) Touch(n);
      for (const auto& a : f.attribute_defaults) Touch(a);
    }
  }
  fusee::wire::Budget budget{limits.memory_slack_bytes, limits.memory_slack_bytes};
  fusee::wire::Reader in(bytes, &budget);
  fusee::TensorProto proto;
  if (fusee::ReadTensorProto(in, &proto).ok()) {
    TensorRef ref;
    auto tensor = fusee::TensorFromProto(proto, nullptr, &budget);
    if (tensor.ok()) {
      ref.tensor = *tensor;
    } else {
      ref.problem = tensor.status();
    }
    Touch(ref);
  }
  return 0;
}
