// Copy: result 0 has the bytes of operand 0. Never in a model: the compiler inserts it where a view
// may not alias, as from a graph input to a graph output.
#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status InferCopy(InferContext& context) {
  context.outputs()[0] = context.input(0);
  return OkStatus();
}

}  // namespace

OpDef DefineCopy() { return {.name = "Copy", .infer = InferCopy, .narrow = true}; }

}  // namespace fusee::ops
