#include "compiler/functions.h"

#include <fmt/format.h>

#include <set>
#include <span>

#include "compiler/import.h"

namespace fusee::compiler {
namespace {

constexpr size_t kNodeBytes = 256;  // what a node takes without its names

size_t SizeOf(const std::vector<std::string_view>& names) {
  size_t size = 0;
  for (const std::string_view name : names) size += sizeof(name) + name.size();
  return size;
}

// The reader bounds how deep graphs nest. Tensors are shared, not copied.
size_t SizeOf(std::span<const onnx::Node> nodes, bool nested) {
  size_t size = 0;
  for (const onnx::Node& n : nodes) {
    size += kNodeBytes + n.name.size() + n.op_type.size() + SizeOf(n.inputs) + SizeOf(n.outputs);
    for (const onnx::Attribute& a : n.attributes) {
      size += sizeof(a) + a.name.size() + a.s.size() + SizeOf(a.strings) +
              a.ints.size() * sizeof(int64_t) + a.floats.size() * sizeof(float);
      if (!nested) continue;
      for (const auto& graph : a.graphs) size += SizeOf(graph->nodes, nested);
    }
  }
  return size;
}

size_t SizeOf(const onnx::Function& f) {
  return SizeOf(f.inputs) + SizeOf(f.outputs) + SizeOf(f.attributes) +
         f.attribute_defaults.size() * sizeof(onnx::Attribute) +
         f.value_infos.size() * sizeof(onnx::ValueDecl) + SizeOf(f.nodes, /*nested=*/true);
}

Status CheckNames(const std::vector<std::string_view>& names, std::string_view what) {
  std::set<std::string_view> seen;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) return InvalidArgument(fmt::format("{} {} has no name", what, i));
    if (!seen.insert(names[i]).second)
      return InvalidArgument(fmt::format("{} '{}' is declared twice", what, names[i]));
  }
  return OkStatus();
}

Status CheckHead(const onnx::Function& f) {
  FUSEE_TRY(CheckNames(f.inputs, "input"));
  FUSEE_TRY(CheckNames(f.outputs, "output"));
  std::vector<std::string_view> attributes = f.attributes;
  for (const onnx::Attribute& a : f.attribute_defaults) {
    attributes.push_back(a.name);
    if (!a.ref_attr_name.empty()) {
      return InvalidArgument(
          fmt::format("the default of attribute '{}' is a reference, expected a value", a.name));
    }
  }
  FUSEE_TRY(CheckNames(attributes, "attribute"));
  for (const auto& [domain, version] : f.opset_imports) {
    if (domain.empty() && (version < kOldestOpset || version > kNewestOpset)) {
      return Unimplemented(fmt::format(
          "opset {} is outside {} to {}; write functions out with onnx.inliner, then convert the "
          "model with onnx.version_converter",
          version, kOldestOpset, kNewestOpset));
    }
  }
  return OkStatus();
}

bool HoldsGraph(const onnx::Attribute& a) {
  return a.type == onnx::AttrType::kGraph || a.type == onnx::AttrType::kGraphs;
}

}  // namespace

std::string FunctionName(const onnx::Function& f) {
  return fmt::format("{}::{}{}{}", f.domain.empty() ? "ai.onnx" : f.domain, f.name,
                     f.overload.empty() ? "" : ":", f.overload);
}

std::string CalleeName(const onnx::Node& node) {
  return fmt::format("{}{}{}{}{}", node.domain, node.domain.empty() ? "" : "::", node.op_type,
                     node.overload.empty() ? "" : ":", node.overload);
}

size_t WrittenBytes(const onnx::Graph& graph) {
  size_t size = SizeOf(graph.nodes, /*nested=*/false);
  for (const auto* list : {&graph.inputs, &graph.outputs}) {
    for (const onnx::ValueDecl& v : *list) size += sizeof(v) + v.name.size();
  }
  for (const onnx::TensorRef& t : graph.initializers) size += sizeof(t) + t.name.size();
  return size;
}

Status FunctionTable::Fill(const onnx::Model& model) {
  for (const onnx::Function& f : model.functions) {
    Entry entry{&f, SizeOf(f), CheckHead(f)};
    if (!entries_.try_emplace({f.domain, f.name, f.overload}, std::move(entry)).second) {
      return InvalidArgument(
          fmt::format("function '{}' is defined twice, expected each domain, name and overload "
                      "once; remove or rename one",
                      FunctionName(f)));
    }
  }
  return OkStatus();
}

const FunctionTable::Entry* FunctionTable::Find(const onnx::Node& node) const {
  if (entries_.empty()) return nullptr;
  const auto it = entries_.find({node.domain, node.op_type, node.overload});
  return it == entries_.end() ? nullptr : &it->second;
}

bool FunctionTable::HasDomain(std::string_view domain) const {
  const auto it = entries_.lower_bound({domain, "", ""});
  return it != entries_.end() && std::get<0>(it->first) == domain;
}

Result<AttributeBindings> BindAttributes(const onnx::Function& function, const onnx::Node& call,
                                         const AttributeBindings* around) {
  AttributeBindings bindings;
  for (const std::string_view name : function.attributes) bindings[name] = nullptr;
  for (const onnx::Attribute& a : function.attribute_defaults) bindings[a.name] = &a;
  std::set<std::string_view> seen;
  for (const onnx::Attribute& a : call.attributes) {
    const auto it = bindings.find(a.name);
    if (it == bindings.end()) {
      return InvalidArgument(fmt::format(
          "attribute '{}' is not one of the {} that function '{}' declares; take it out of the "
          "call",
          a.name, bindings.size(), FunctionName(function)));
    }
    if (!seen.insert(a.name).second)
      return InvalidArgument(fmt::format("attribute '{}' is given twice", a.name));
    FUSEE_TRY(const onnx::Attribute* value, ResolveAttribute(a, around));
    // A reference to what is absent leaves the default.
    if (value != nullptr) it->second = value;
  }
  for (const auto& [name, value] : bindings) {
    if (value == nullptr || !HoldsGraph(*value)) continue;
    return Unimplemented(
        fmt::format("attribute '{}' passes a graph to function '{}', which is not supported; write "
                    "functions out with onnx.inliner.inline_local_functions",
                    name, FunctionName(function)));
  }
  return bindings;
}

Result<const onnx::Attribute*> ResolveAttribute(const onnx::Attribute& attribute,
                                                const AttributeBindings* bindings) {
  if (attribute.ref_attr_name.empty()) return &attribute;
  if (bindings == nullptr) {
    return InvalidArgument(fmt::format(
        "attribute '{}' refers to '{}', which only nodes of a function may; give it a value",
        attribute.name, attribute.ref_attr_name));
  }
  const auto it = bindings->find(attribute.ref_attr_name);
  if (it == bindings->end()) {
    return InvalidArgument(
        fmt::format("attribute '{}' refers to '{}', which is none of the {} attributes that the "
                    "function declares",
                    attribute.name, attribute.ref_attr_name, bindings->size()));
  }
  const onnx::Attribute* value = it->second;
  if (value != nullptr && attribute.type != onnx::AttrType::kUndefined &&
      value->type != attribute.type) {
    return InvalidArgument(
        fmt::format("attribute '{}' refers to '{}', a value of type {}, expected type {} (of "
                    "AttributeProto)",
                    attribute.name, attribute.ref_attr_name, static_cast<int>(value->type),
                    static_cast<int>(attribute.type)));
  }
  return value;
}

}  // namespace fusee::compiler
