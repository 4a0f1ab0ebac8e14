// Unsqueeze: a Reshape with dimensions of size 1 inserted at the named axes of the result.
#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

Status Unsqueeze(ImportContext& context, std::vector<int64_t> axes) {
  const size_t rank = static_cast<size_t>(context.rank(0)) + axes.size();
  FUSEE_TRY(axes, NormaliseAxes(context, std::move(axes), static_cast<int>(rank)));
  const ir::SymShape& shape = ShapeOf(context, 0);
  ir::SymShape target;
  size_t next_axis = 0, next_dim = 0;
  for (size_t i = 0; i < rank; ++i) {
    if (next_axis < axes.size() && axes[next_axis] == static_cast<int64_t>(i)) {
      target.emplace_back(1);
      ++next_axis;
    } else {
      target.push_back(shape[next_dim++]);
    }
  }
  return context.EmitAs("Reshape", {context.input(0)}, {}, std::move(target));
}

Status ImportUnsqueezeAttribute(ImportContext& context) {
  FUSEE_TRY(std::vector<int64_t> axes, context.Ints("axes"));
  return Unsqueeze(context, std::move(axes));
}

Status ImportUnsqueezeOperand(ImportContext& context) {
  FUSEE_TRY(std::vector<int64_t> axes, context.ConstInts(1, "axes"));
  return Unsqueeze(context, std::move(axes));
}

}  // namespace

OpDef DefineUnsqueeze() {
  return {.name = "Unsqueeze",
          .imports = {{"Unsqueeze", 1, 12, ImportUnsqueezeAttribute},
                      {"Unsqueeze", 13, 1 << 20, ImportUnsqueezeOperand}}};
}

}  // namespace fusee::ops
