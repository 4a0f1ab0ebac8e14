// What of a model Fusee supports, found out before anything is built.
#pragma once

#include <string>
#include <vector>

#include "compiler/import.h"
#include "compiler/options.h"
#include "onnx/model.h"

namespace fusee::compiler {

// One operator of the model at the opset that the model imports for it.
struct OperatorSupport {
  std::string domain, op;            // domain: "ai.onnx", "com.microsoft", ...
  int64_t opset = 0;                 // 0: the model does not import the domain
  size_t count = 0;                  // nested graphs and bodies of functions included
  std::vector<std::string> refused;  // names of the nodes that are not supported
  std::string reason;                // why the first of them is not; empty: all are supported
};

struct Capability {
  std::vector<OperatorSupport> operators;   // by domain, then name
  std::vector<Refusal> refusals;            // all of them, in the order in which nodes run
  ir::SymbolRanges symbols;                 // of the dimensions that operands' shapes name
  std::vector<const onnx::Node*> unjudged;  // behind a refused node, nothing known of its operands

  // Something is valid ONNX that Fusee does not support.
  bool unsupported() const;
  // The model imports and every node has a kernel.
  bool supported() const { return refusals.empty() && unjudged.empty(); }
};

// Imports as far as it goes, verifies the graph and asks the reference kernels for each node. Runs
// nothing; of the weights only those that lie unaligned are read. The result borrows the model.
Capability FindCapability(const onnx::Model& model, const BuildOptions& options);

// "Conv", "com.microsoft.Gelu": how tables name an operator.
std::string OperatorName(std::string_view domain, std::string_view op);

}  // namespace fusee::compiler
