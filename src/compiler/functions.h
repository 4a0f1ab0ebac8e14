// The functions that a model brings along (ModelProto.functions): which of them a node calls, and
// what its call means. The importer writes their nodes in the place of the call.
//
// A function of the model goes before an operator of the same name; onnx.proto leaves that to the
// runtime, and a model that defines a name means its definition. Functions are untrusted like all
// of a model: here they are checked before use, the importer bounds how often they are written out.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "base/status.h"
#include "onnx/model.h"

namespace fusee::compiler {

// "pkg::Gelu", "pkg::Gelu:overload".
std::string FunctionName(const onnx::Function& function);
// "pkg::Gelu", "Relu": the operator or function that a node names.
std::string CalleeName(const onnx::Node& node);

// Bytes that are read and written each time a nested graph is written out, those nested in it not
// counted: what FunctionTable::Entry::size_bytes is of a function.
size_t WrittenBytes(const onnx::Graph& graph);

// What a function's attributes stand for in one call; null: absent.
using AttributeBindings = std::map<std::string_view, const onnx::Attribute*>;

class FunctionTable {
 public:
  struct Entry {
    const onnx::Function* function = nullptr;
    // Bytes that are read and written each time the function is written out: names and numbers in
    // it, those of nested graphs included.
    size_t size_bytes = 0;
    // Of its head: no formal name empty or twice, an opset that is supported.
    Status checked;
  };

  // Borrows the model. Errors: kInvalidArgument, two functions of one name.
  Status Fill(const onnx::Model& model);

  // The function that a node calls; null: it names an operator.
  const Entry* Find(const onnx::Node& node) const;
  // Some function of the model is in this domain, or none.
  bool HasDomain(std::string_view domain) const;

 private:
  std::map<std::tuple<std::string_view, std::string_view, std::string_view>, Entry> entries_;
};

// Values for all attributes of a function: the call's, else defaults, else absent. around: what
// references in the call stand for. Errors: kInvalidArgument: an attribute the function does not
// declare; kUnimplemented: one that holds a graph.
Result<AttributeBindings> BindAttributes(const onnx::Function& function, const onnx::Node& call,
                                         const AttributeBindings* around);

// What an attribute of a node stands for: itself, or what its reference is bound to; null: absent.
// Errors: kInvalidArgument: a reference outside of functions (bindings null), to a name the
// function does not declare, or to a value of another type.
Result<const onnx::Attribute*> ResolveAttribute(const onnx::Attribute& attribute,
                                                const AttributeBindings* bindings);

}  // namespace fusee::compiler
