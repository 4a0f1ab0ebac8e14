// BitShift: a shifted by b bits, left or right as `direction` says (0 left, 1 right). Shifts of the
// type's width and more give 0.
#include "ops/pointwise/elementwise_def.h"

namespace fusee::ops {

using namespace pointwise;  // NOLINT: the family's helpers

namespace {

Status ImportBitShift(ImportContext& context) {
  FUSEE_TRY(const std::string direction, context.Str("direction", ""));
  if (direction != "LEFT" && direction != "RIGHT") {
    return context.Error("attribute 'direction' should be LEFT or RIGHT, got '" + direction + "'");
  }
  return context.EmitAs("BitShift", Attrs{{"direction", int64_t{direction == "RIGHT"}}});
}

}  // namespace

OpDef DefineBitShift() { return Simple("BitShift", InferBinary<kUnsignedInts>, ImportBitShift); }

}  // namespace fusee::ops
