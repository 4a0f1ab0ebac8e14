// Squeeze: a Reshape without the named dimensions of size 1.
#include <fmt/format.h>

#include <algorithm>

#include "ops/movement/tracked.h"

namespace fusee::ops {
namespace {

// Without axes every 1 goes, so the rank must not depend on a run-time size.
Result<std::vector<int64_t>> AllOnes(ImportContext& context) {
  std::vector<int64_t> axes;
  const ir::SymShape& shape = ShapeOf(context, 0);
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == ir::Dim(1)) axes.push_back(static_cast<int64_t>(i));
    if (shape[i].is_constant()) continue;
    const ir::DimRange range = shape[i].Range(context.graph().symbols());
    if (range.min <= 1 && range.max >= 1) {
      return context.Refuse(fmt::format(
          "without axes the rank depends on whether dimension {} ({}) is 1 at run time; name the "
          "axes in the model, or fix the dimension",
          i, shape[i].ToString()));
    }
  }
  return axes;
}

Status Squeeze(ImportContext& context, bool has_axes, std::vector<int64_t> axes) {
  if (has_axes) {
    FUSEE_TRY(axes, NormaliseAxes(context, std::move(axes), context.rank(0)));
  } else {
    FUSEE_TRY(axes, AllOnes(context));
  }
  const ir::SymShape& shape = ShapeOf(context, 0);
  ir::SymShape target;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!std::binary_search(axes.begin(), axes.end(), static_cast<int64_t>(i))) {
      target.push_back(shape[i]);
    } else if (shape[i].is_constant() && shape[i].constant() != 1) {
      return context.Error(fmt::format("dimension {} of {} is not 1", i, ir::ToString(shape)));
    }
  }
  // A symbolic dimension that was named is held to 1 by Reshape's constraint on element counts.
  return context.EmitAs("Reshape", {context.input(0)}, {}, std::move(target));
}

Status ImportSqueezeAttribute(ImportContext& context) {
  FUSEE_TRY(std::vector<int64_t> axes, context.Ints("axes"));
  return Squeeze(context, context.HasAttr("axes"), std::move(axes));
}

Status ImportSqueezeOperand(ImportContext& context) {
  std::vector<int64_t> axes;
  if (context.has_input(1)) {
    FUSEE_TRY(axes, context.ConstInts(1, "axes"));
  }
  return Squeeze(context, context.has_input(1), std::move(axes));
}

}  // namespace

OpDef DefineSqueeze() {
  return {.name = "Squeeze",
          .imports = {{"Squeeze", 1, 12, ImportSqueezeAttribute},
                      {"Squeeze", 13, 1 << 20, ImportSqueezeOperand}}};
}

}  // namespace fusee::ops
