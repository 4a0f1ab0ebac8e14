// Flatten: a Reshape to two dimensions, split before `axis`.
#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status ImportFlatten(ImportContext& context) {
  FUSEE_TRY(const int64_t attribute, context.Int("axis", 1));
  const int rank = context.rank(0);
  // axis may equal the rank (everything on the left), so a negative one counts from rank.
  if (attribute < -rank || attribute > rank) {
    return context.Error("axis " + std::to_string(attribute) + " is out of range for rank " +
                         std::to_string(rank));
  }
  const auto axis = static_cast<std::ptrdiff_t>(attribute < 0 ? attribute + rank : attribute);
  const ir::SymShape& shape = ShapeOf(context, 0);
  const ir::SymShape left(shape.begin(), shape.begin() + axis);
  const ir::SymShape right(shape.begin() + axis, shape.end());
  return context.EmitAs("Reshape", {context.input(0)}, {},
                        {ir::ElementCount(left), ir::ElementCount(right)});
}

}  // namespace

OpDef DefineFlatten() {
  return {.name = "Flatten", .imports = {{"Flatten", 1, 1 << 20, ImportFlatten}}};
}

}  // namespace fusee::ops
