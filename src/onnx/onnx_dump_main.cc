// Prints what Load sees of each model as one line of JSON: the test program behind
// tests/onnx_oracle_test.py, which compares it with the official parser. Not installed.
//
//   onnx_dump MODEL...            {"path", "error"} or {"path", "ir_version", ..., "graph"}
//   onnx_dump --tensor FILE...    {"path", "error"} or {"path", "type", "dims", "sha256"}
//
// Strings are bytes, written as Latin-1 characters. Floats are printed as their bits. Tensors are
// digests.
#include <fmt/format.h>

#include <bit>
#include <cstdio>

#include "base/digest.h"
#include "onnx/model.h"

namespace fusee::onnx {
namespace {

std::string Quote(std::string_view bytes) {
  std::string out = "\"";
  for (const char c : bytes) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20 || u >= 0x7f) {
      out += fmt::format("\\u{:04x}", u);
    } else {
      out += c;
    }
  }
  return out + '"';
}

template <typename Range, typename Print>
std::string List(const Range& range, Print&& print) {
  std::string out = "[";
  for (const auto& item : range) {
    if (out.size() > 1) out += ',';
    out += print(item);
  }
  return out + ']';
}

std::string Ints(std::span<const int64_t> ints) {
  return List(ints, [](int64_t i) { return fmt::format("{}", i); });
}
std::string Strings(std::span<const std::string_view> strings) { return List(strings, Quote); }
std::string Bits(float f) { return fmt::format("{}", std::bit_cast<uint32_t>(f)); }

std::string Print(const TensorRef& t) {
  const std::string content =
      t.tensor.present() ? fmt::format("\"sha256\":\"{}\"", ToHex(Sha256(t.tensor.bytes())))
                         : fmt::format("\"problem\":{}", Quote(t.problem.ToString()));
  return fmt::format("{{\"name\":{},\"type\":{},\"dims\":{},{}}}", Quote(t.name), t.onnx_type,
                     Ints(t.dims), content);
}

std::string Print(const Graph& graph);

std::string Print(const Attribute& a) {
  return fmt::format(
      "{{\"name\":{},\"type\":{},\"ref\":{},\"i\":{},\"f\":{},\"s\":{},\"ints\":{},\"floats\":{},"
      "\"strings\":{},\"tensors\":{},\"graphs\":{}}}",
      Quote(a.name), static_cast<int>(a.type), Quote(a.ref_attr_name), a.i, Bits(a.f), Quote(a.s),
      Ints(a.ints), List(a.floats, Bits), Strings(a.strings),
      List(a.tensors, [](const TensorRef& t) { return Print(t); }),
      List(a.graphs, [](const auto& g) { return Print(*g); }));
}

std::string Print(const Node& n) {
  return fmt::format(
      "{{\"name\":{},\"op_type\":{},\"domain\":{},\"overload\":{},\"inputs\":{},\"outputs\":{},"
      "\"attributes\":{}}}",
      Quote(n.name), Quote(n.op_type), Quote(n.domain), Quote(n.overload), Strings(n.inputs),
      Strings(n.outputs), List(n.attributes, [](const Attribute& a) { return Print(a); }));
}

std::string Print(const DimDecl& d) {
  return d.value ? fmt::format("{}", *d.value) : Quote(d.name);
}

std::string Print(const ValueDecl& v) {
  return fmt::format(
      "{{\"name\":{},\"kind\":{},\"type\":{},\"shape\":{}}}", Quote(v.name),
      static_cast<int>(v.kind), v.onnx_type,
      v.has_shape ? List(v.shape, [](const DimDecl& d) { return Print(d); }) : "null");
}

std::string Values(std::span<const ValueDecl> values) {
  return List(values, [](const ValueDecl& v) { return Print(v); });
}
std::string Nodes(std::span<const Node> nodes) {
  return List(nodes, [](const Node& n) { return Print(n); });
}

std::string Print(const Graph& g) {
  return fmt::format(
      "{{\"name\":{},\"nodes\":{},\"initializers\":{},\"inputs\":{},\"outputs\":{},\"value_infos\":"
      "{}}}",
      Quote(g.name), Nodes(g.nodes),
      List(g.initializers, [](const TensorRef& t) { return Print(t); }), Values(g.inputs),
      Values(g.outputs), Values(g.value_infos));
}

std::string Opsets(std::span<const std::pair<std::string_view, int64_t>> opsets) {
  return List(opsets,
              [](const auto& o) { return fmt::format("[{},{}]", Quote(o.first), o.second); });
}

std::string Print(const Function& f) {
  return fmt::format(
      "{{\"name\":{},\"domain\":{},\"overload\":{},\"inputs\":{},\"outputs\":{},\"attributes\":{},"
      "\"attribute_defaults\":{},\"nodes\":{},\"value_infos\":{},\"opset_imports\":{}}}",
      Quote(f.name), Quote(f.domain), Quote(f.overload), Strings(f.inputs), Strings(f.outputs),
      Strings(f.attributes),
      List(f.attribute_defaults, [](const Attribute& a) { return Print(a); }), Nodes(f.nodes),
      Values(f.value_infos), Opsets(f.opset_imports));
}

std::string Print(const Model& m) {
  return fmt::format(
      "\"ir_version\":{},\"producer_name\":{},\"producer_version\":{},\"domain\":{},"
      "\"model_version\":{},\"opset_imports\":{},\"metadata\":{},\"graph\":{},\"functions\":{}",
      m.ir_version, Quote(m.producer_name), Quote(m.producer_version), Quote(m.domain),
      m.model_version, Opsets(m.opset_imports),
      List(m.metadata,
           [](const auto& e) { return fmt::format("[{},{}]", Quote(e.first), Quote(e.second)); }),
      Print(m.graph), List(m.functions, [](const Function& f) { return Print(f); }));
}

std::string DumpModel(const std::string& path) {
  const auto model = Load(path);
  return model.ok() ? Print(**model)
                    : fmt::format("\"error\":{}", Quote(model.status().ToString()));
}

std::string DumpTensor(const std::string& path) {
  const auto tensor = LoadTensorFile(path);
  if (!tensor.ok()) return fmt::format("\"error\":{}", Quote(tensor.status().ToString()));
  return fmt::format("\"type\":{},\"dims\":{},\"sha256\":\"{}\"", static_cast<int>(tensor->dtype()),
                     Ints(tensor->shape().dims()), ToHex(Sha256(tensor->bytes())));
}

}  // namespace
}  // namespace fusee::onnx

int main(int argc, char** argv) {
  const bool tensors = argc > 1 && std::string_view(argv[1]) == "--tensor";
  for (int i = tensors ? 2 : 1; i < argc; ++i) {
    const std::string content =
        tensors ? fusee::onnx::DumpTensor(argv[i]) : fusee::onnx::DumpModel(argv[i]);
    fmt::print("{{\"path\":{},{}}}\n", fusee::onnx::Quote(argv[i]), content);
  }
  return 0;
}
