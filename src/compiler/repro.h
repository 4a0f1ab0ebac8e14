// A refused node alone: the smallest ONNX model that is refused for the same reason.
#pragma once

#include <string>

#include "base/status.h"
#include "compiler/import.h"
#include "onnx/model.h"

namespace fusee::compiler {

struct Repro {
  std::string model;  // serialised ModelProto
  // What `fusee inspect capability` and `fusee build` need beside the file to see the same shapes:
  // "--shape-profile x:1x4,8x4" for every operand with a symbolic dimension; empty when there is
  // none.
  std::string options;
};

// The node as it stands, with the opsets of its model. Operands whose bytes are known become
// initialisers, all others inputs of the type and shape that the importer knows; symbolic
// dimensions stay symbolic. Model-local functions are kept where the node calls one; a node of a
// function is written as it is in the call that was refused, with the function's opsets.
// Precondition: refusal.node is set and borrows model. symbols: of the survey. Errors:
// kFailedPrecondition: nothing is known of an operand's type, or a nested graph refers to
// attributes of the function; kResourceExhausted: more than 2 GB, which no ONNX file in one piece
// may have.
Result<Repro> WriteRepro(const onnx::Model& model, const Refusal& refusal,
                         const ir::SymbolRanges& symbols);

}  // namespace fusee::compiler
