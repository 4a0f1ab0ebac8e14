// Prints a graph. Deterministic: everything is visited in the graph's own order or in name order.
#include "ir/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/digest.h"

namespace fusee::ir {
namespace {

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

bool IsWordChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.';
}

// Must agree with the parser's Word and ValueName.
bool IsBareWord(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsWordChar);
}
bool IsBareName(std::string_view name) {
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == ':' && i + 1 < name.size() && name[i + 1] == ':') {
      ++i;
    } else if (!IsWordChar(name[i]) && name[i] != '/' && name[i] != '-') {
      return false;
    }
  }
  return !name.empty();
}

std::string Word(std::string_view text) {
  return IsBareWord(text) ? std::string(text) : Quote(text);
}
std::string ValueName(std::string_view name) {
  return "%" + (IsBareName(name) ? std::string(name) : Quote(name));
}

template <typename T, typename F>
std::string Join(const T& list, F&& item) {
  std::string text;
  for (const auto& element : list) {
    if (!text.empty()) text += ", ";
    text += item(element);
  }
  return text;
}

std::string DimList(const std::vector<Dim>& dims) {
  return Join(dims, [](const Dim& d) { return d.ToString(); });
}

std::string TypeText(const ValueInfo& info, bool with_elements) {
  std::string text = std::string(DTypeName(info.dtype)) + ToString(info.shape);
  if (with_elements && info.elements) text += "{" + DimList(*info.elements) + "}";
  return text;
}

std::string FloatText(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string AttrText(const AttrValue& value) {
  if (const auto* i = std::get_if<int64_t>(&value)) return std::to_string(*i);
  if (const auto* f = std::get_if<double>(&value)) return FloatText(*f);
  if (const auto* s = std::get_if<std::string>(&value)) return Quote(*s);
  if (const auto* ints = std::get_if<std::vector<int64_t>>(&value)) {
    return "[" + Join(*ints, [](int64_t i) { return std::to_string(i); }) + "]";
  }
  const auto& floats = std::get<std::vector<double>>(value);
  return floats.empty() ? "floats[]" : "[" + Join(floats, FloatText) + "]";
}

// Element i, shortest text that reads back to the same bits.
std::string ElementText(const ConstTensorView& tensor, int64_t i) {
  if (tensor.dtype == DType::kU64) return std::to_string(static_cast<uint64_t>(IntAt(tensor, i)));
  if (!IsFloat(tensor.dtype) && !IsNarrowFloat(tensor.dtype))
    return std::to_string(IntAt(tensor, i));
  const double value = DoubleAt(tensor, i);
  // An infinity read back as a narrow type would saturate.
  if (IsNarrow(tensor.dtype) ? std::isfinite(value) : value == value) {
    // As a double also where a number that is nearly the same would be rounded up (f8e8m0).
    const bool wide = tensor.dtype == DType::kF64 || IsNarrow(tensor.dtype);
    return wide ? fmt::format("{}", value) : fmt::format("{}", static_cast<float>(value));
  }
  const size_t size = static_cast<size_t>(BytesPerElement(tensor.dtype));
  uint64_t bits = 0;  // little-endian hosts only, as the whole of Fusee
  std::memcpy(&bits, static_cast<const char*>(tensor.data) + static_cast<size_t>(i) * size, size);
  return fmt::format("0x{:0{}x}", bits, size * 2);
}

std::string ConstantText(const Tensor& tensor, int64_t max_elements) {
  if (tensor.elements() > max_elements)
    return "digest:" + ToHex(Sha256(tensor.bytes())).substr(0, 16);
  std::string text = "{";
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    if (i > 0) text += ", ";
    text += ElementText(tensor.view(), i);
  }
  return text + "}";
}

class Printer {
 public:
  Printer(const PrintOptions& options, std::string* out) : options_(options), out_(*out) {}

  void PrintGraph(const Graph& graph, const std::string& indent) {
    const std::string inner = indent + "  ";
    out_ += fmt::format("{}graph {} {{\n", indent, Quote(graph.name));
    for (const auto& [name, range] : graph.symbols()) {
      out_ += fmt::format("{}symbol {} in [{}, {}]\n", inner, Dim::Symbol(name).ToString(),
                          range.min, range.max);
    }
    for (ValueId id : graph.inputs()) {
      const Value& v = graph.value(id);
      out_ += fmt::format("{}input {} : {}\n", inner, ValueName(v.name), TypeText(v.info, true));
    }
    for (uint32_t i = 0; i < graph.value_count(); ++i) {
      const Value& v = graph.value(ValueId(i));
      if (!v.alive || !v.constant.present()) continue;
      out_ +=
          fmt::format("{}const {} : {} = {}\n", inner, ValueName(v.name), TypeText(v.info, false),
                      ConstantText(v.constant, options_.max_constant_elements));
    }
    for (NodeId id : graph.order()) PrintNode(graph, graph.node(id), inner);
    for (size_t i = 0; i < graph.outputs().size(); ++i) {
      out_ +=
          fmt::format("{}output {} as {}\n", inner, ValueName(graph.value(graph.outputs()[i]).name),
                      Quote(graph.output_names()[i]));
    }
    for (const Constraint& c : graph.constraints()) {
      out_ += fmt::format("{}constraint ({}, {}) because {}\n", inner, c.a.ToString(),
                          c.b.ToString(), Quote(c.reason));
    }
    for (const PinnedInput& pin : graph.pinned_inputs()) {
      out_ += fmt::format("{}pin {} : {} = {}\n", inner, ValueName(graph.value(pin.value).name),
                          Describe(pin.expected.dtype(), pin.expected.shape()),
                          ConstantText(pin.expected, options_.max_constant_elements));
    }
    out_ += indent + "}\n";
  }

 private:
  void PrintNode(const Graph& graph, const Node& node, const std::string& indent) {
    out_ += indent + Join(node.outputs, [&](ValueId id) {
              return id.valid() ? ValueName(graph.value(id).name) + " : " +
                                      TypeText(graph.value(id).info, true)
                                : std::string("_");
            });
    out_ += fmt::format(" = {}({})", node.op, Join(node.inputs, [&](ValueId id) {
                          return id.valid() ? ValueName(graph.value(id).name) : std::string("_");
                        }));
    if (!node.attrs.values().empty()) {
      out_ += fmt::format(" {{{}}}", Join(node.attrs.values(), [](const auto& attr) {
                            return Word(attr.first) + " = " + AttrText(attr.second);
                          }));
    }
    if (!node.dims.empty()) out_ += fmt::format(" dims({})", DimList(node.dims));
    if (!node.counts.empty()) {
      out_ += fmt::format(" counts({})", Join(node.counts, [](const std::string& s) {
                            return Dim::Symbol(s).ToString();
                          }));
    }
    if (!node.guards.empty()) {
      out_ += fmt::format(" when({})", Join(node.guards, [&](const Guard& guard) {
                            return (guard.holds ? "" : "!") +
                                   ValueName(graph.value(guard.condition).name);
                          }));
    }
    if (options_.sources && !node.sources.empty())
      out_ += fmt::format(" from({})", Join(node.sources, Quote));
    if (!node.regions.empty()) {
      out_ += " regions {\n";
      for (const auto& region : node.regions) PrintGraph(*region, indent + "  ");
      out_ += indent + "}";
    }
    out_ += '\n';
  }

  const PrintOptions& options_;
  std::string& out_;
};

}  // namespace

std::string Print(const Graph& graph, const PrintOptions& options) {
  std::string text;
  Printer(options, &text).PrintGraph(graph, "");
  return text;
}

}  // namespace fusee::ir
